"""Connections per event loop, shared by all engines of the process: who holds them, and when they are closed.

| when | what happens to the connectors of a loop |
|---|---|
| a call | one is made if it doesn't exist; the caller's engine holds them from now on |
| the last holder lets go | closed once the calls in flight have ended; a new call keeps them |
| the loop ends in order (`shutdown_asyncgens`) | closed |
| the loop ended otherwise, and a new loop appears | closed |
| a freeze or snapshot, before or after | their idle connections are closed |
| a call after the end of its loop | each connection is closed with its call |
| a fork | the child starts without any; the parent's stay referenced and untouched |
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from aiocloudmap.aws.client_config import by_value, copied
from aiocloudmap.aws.transport import compat
from aiocloudmap.aws.transport.http_session import AwsHttpSession, GivenCookies, UnownedSession
from aiocloudmap.aws.transport.loop_connections import ConnectorProxy, LoopRegistry
from aiocloudmap.aws.transport.pool import Purpose
from aiocloudmap.aws.transport.tls import TlsSettings
from aiocloudmap.errors import ConfigurationError
from aiocloudmap.model.interfaces import running_loop

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp
    from aiobotocore.httpsession import AIOHTTPSession

    from aiocloudmap.model.events import DescriptorsLow
    from aiocloudmap.model.policy import ConnectionPolicy

__all__ = ["Purpose", "Transport"]

_MAX_SESSIONS: Final = 32
"""Sessions kept per holder: the options may differ with every call."""

_RESERVED_OPTIONS: Final = ("connector", "connector_owner", "loop")


class Transport:
    """One bounded connector per (event loop, ConnectionPolicy, TLS settings), shared by all engines of the process.

    `max_connections` bounds each connector: other TLS settings or another policy on the same loop have a limit of
    their own. A proxy's address is part of a request, not of a connector. Creating a transport needs no event loop and
    does no I/O. A holder is any weakly referable object; once it is garbage-collected it holds nothing.

    Args:
        notify: Called when the descriptors of the process run low.

    Raises:
        ConfigurationError: The installed aiobotocore or aiohttp lack something that the transport needs.
    """

    def __init__(self, *, notify: Callable[[DescriptorsLow], object] = lambda _: None) -> None:
        compat.check()
        self._loops = LoopRegistry(notify)
        self._classes: weakref.WeakKeyDictionary[object, dict[Any, type[AwsHttpSession]]] = weakref.WeakKeyDictionary()

    def __repr__(self) -> str:
        loops = len(list(self._loops))
        return f"<Transport: {self.open_connections} open, {self.connectors} connector(s) on {loops} event loop(s)>"

    @property
    def open_connections(self) -> int:
        """Open sockets now, idle ones included, over all event loops. Safe on any thread."""
        return self._loops.open_connections

    @property
    def connectors(self) -> int:
        """Connectors now, over all event loops."""
        return sum(len(connections.connectors) for connections in self._loops)

    def http_session_class(self, policy: ConnectionPolicy, purpose: Purpose, holder: object) -> type[AIOHTTPSession]:
        """A class for `AioConfig(http_session_cls=...)`. Its clients work on every event loop, several at once.

        Kept per arguments while the holder lives.
        """
        classes = self._classes.setdefault(holder, {})
        if (kept := classes.get((policy, purpose))) is None:
            members = {"loops": self._loops, "policy": policy, "purpose": purpose, "holder": weakref.ref(holder)}
            kept = classes[policy, purpose] = type("AwsHttpSession", (AwsHttpSession,), members)
        return kept

    def client_session(
        self, policy: ConnectionPolicy, holder: object, *, tls: TlsSettings | None = None, **options: Any
    ) -> aiohttp.ClientSession:
        """A session for the user's own HTTP calls on the running loop's connector. Kept per loop, holder and options.

        Its `close` and `async with` do nothing. Timeouts are aiohttp's own unless the options set them; a call queues
        for a connection as long as it may wait to connect. The options are those of `aiohttp.ClientSession`, without
        the connector. A session keeps no cookies of responses unless it is given a `cookie_jar`. `tls=None` takes the
        settings from the environment, as botocore does.

        Raises:
            ConfigurationError: No running asyncio loop, or an option that aiohttp or the transport rejects.
        """
        connections = self._loops.current()
        if reserved := [name for name in _RESERVED_OPTIONS if name in options]:
            raise ConfigurationError(
                f"invalid http_session() option {reserved[0]!r}: the connections are shared and bounded",
                advice="Leave it out, or make an aiohttp.ClientSession of your own.",
            )
        tls = tls or TlsSettings.from_env()
        kept = connections.client_sessions.setdefault(holder, [])
        arguments = (policy, tls, by_value(options))
        for index, (known, session) in enumerate(kept):
            if known == arguments:
                kept.append(kept.pop(index))
                return session
        proxy: Any = ConnectorProxy(connections, policy, tls, Purpose.CLIENT, weakref.ref(holder))
        try:
            options = copied(options)
            if options.get("cookie_jar") is None:
                options["cookie_jar"] = GivenCookies(options.pop("cookies", None) or {})
            made = UnownedSession(connector=proxy, connector_owner=False, **options)
        except (TypeError, ValueError, AssertionError) as error:
            raise ConfigurationError(
                f"invalid http_session() option: {error}",
                advice="Options are those of aiohttp.ClientSession, without the connector.",
            ) from error
        kept.append((arguments, made))
        del kept[:-_MAX_SESSIONS]
        return made

    def prepare(self, tls: TlsSettings) -> None:
        """Build the TLS contexts of calls that are about to be made. Takes tens of milliseconds: run it in a thread.

        Raises:
            ConfigurationError: As `TlsSettings.contexts`. The call raises it, too.
        """
        self._loops.contexts.get(tls)

    def enter(self, holder: object) -> None:
        """Hold the running loop's connections until `leave`. Counted per holder.

        Raises:
            ConfigurationError: No running asyncio loop.
        """
        self._loops.current().enter(holder)

    async def leave(self, holder: object) -> None:
        """End one `enter`. The last holder waits for the calls in flight, then closes the connections.

        It does not wait for a response of which no byte has come for ten seconds. New calls keep the connections.
        Cancelling it leaves them open until the loop ends or the next holder lets go.
        """
        await self._loops.current().leave(holder)

    async def aclose(self, holder: object) -> None:
        """Give back what calls outside `enter` and `leave` hold on the running loop; waits as `leave` does."""
        if (connections := self._loops.get(running_loop())) is not None:
            await connections.give_back(holder)

    def is_held_beside(self, holder: object) -> bool:
        """Whether the running loop's connections are held by more than calls of this holder."""
        connections = self._loops.get(running_loop())
        return connections is not None and connections.is_held_beside(holder)

    def drop_idle(self) -> None:
        """Close idle connections: the running loop's at once, those of other loops before their next use."""
        for connections in self._loops:
            connections.stale = True
        running = asyncio._get_running_loop()
        if running is not None and (own := self._loops.get(running)) is not None:
            own.drop_idle()

    def drop_all_idle(self) -> None:
        """Close idle connections now, for a process that is about to be frozen.

        Idle loops of this thread are run for a moment, so that their descriptors are closed on return. Those of the
        running loop are closed in its next iteration, and so are those of other threads' loops.
        """
        self.drop_idle()
        running = asyncio._get_running_loop()
        for connections in self._loops:
            loop = connections.loop
            if loop is running or not connections.stale or connections.is_dead:
                continue
            if loop.is_running():
                with contextlib.suppress(RuntimeError):  # it was closed just now
                    loop.call_soon_threadsafe(connections.drop_idle)
            elif running is None and connections.thread is threading.current_thread():
                loop.run_until_complete(connections.close_idle())

    def forget_after_fork(self) -> None:
        """Start without connections in the child; the parent's are neither used nor closed. Call it first."""
        self._loops.forget_after_fork()
