"""Connections per event loop, shared by all engines of the process: who holds them, and when they go.

| when | what happens to a loop's connectors |
|---|---|
| a call | made where there is none; the caller's engine holds them from now on |
| the last holder lets go | closed once the calls in flight have ended; a new call keeps them |
| the loop ends in order (`shutdown_asyncgens`) | closed |
| the loop ended otherwise, a new loop arrives | what is left is closed |
| time passed unseen, or is about to | the idle connections are closed |
| a call after that end | no idle connection is kept: each is closed with its call |
| a fork | the child starts with none; the parent's stay referenced and untouched |
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from aiocloudmap.aws.transport import compat
from aiocloudmap.aws.transport.file_descriptors import Watch
from aiocloudmap.aws.transport.http_session import SharedSession
from aiocloudmap.aws.transport.loop_connections import LoopState
from aiocloudmap.aws.transport.pool import Purpose
from aiocloudmap.aws.transport.tls import ContextCache, TlsSettings
from aiocloudmap.model.interfaces import running_loop

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp
    from aiobotocore.httpsession import AIOHTTPSession

    from aiocloudmap.model.events import DescriptorsLow
    from aiocloudmap.model.policy import ConnectionPolicy

__all__ = ["Purpose", "Transport"]

_GOODBYE: Final = 5.0
"""Seconds that closing the connections of a loop whose thread has died may take."""


class Transport:
    """One bounded connector per (event loop, ConnectionPolicy, TLS settings), shared by all engines of the process.

    `max_connections` bounds each connector: other TLS settings or another policy on the same loop have a bound of
    their own. A proxy's address is part of a request, not of a connector. Making one needs no loop and does no I/O.
    Holders are opaque; one that nobody else refers to any more holds nothing.

    Args:
        tell: Is told when the descriptors of the process run low.

    Raises:
        ConfigurationError: The installed aiobotocore or aiohttp lack something that this stands on.
    """

    def __init__(self, *, tell: Callable[[DescriptorsLow], object] = lambda _: None) -> None:
        compat.check()
        self._inherited: list[object] = []
        self._tell = tell
        self._start()

    def __repr__(self) -> str:
        loops = len(self._loops)
        return f"<Transport: {self.open_connections} open, {self.connectors} connector(s) on {loops} event loop(s)>"

    @property
    def open_connections(self) -> int:
        """Open sockets now, idle ones included, over all event loops. May be read on any thread."""
        return sum(state.open_connections for state in list(self._loops.values()))

    @property
    def connectors(self) -> int:
        """Connectors now, over all event loops."""
        return sum(len(state.connectors) for state in list(self._loops.values()))

    def http_session_class(self, policy: ConnectionPolicy, purpose: Purpose, holder: object) -> type[AIOHTTPSession]:
        """For `AioConfig(http_session_cls=...)`. Clients made with it work on every event loop, several at once.

        Kept per arguments for as long as the holder lives.
        """
        holder = self._referable(holder)
        classes = self._classes.setdefault(holder, {})
        if (kept := classes.get((policy, purpose))) is None:
            members = {
                "policy": policy,
                "purpose": purpose,
                "holder": weakref.ref(holder),
                "state": staticmethod(self._state),
                "count": staticmethod(lambda: self.open_connections),
            }
            kept = classes[policy, purpose] = type("SharedSession", (SharedSession,), members)
        return kept

    def client_session(
        self, policy: ConnectionPolicy, holder: object, *, tls: TlsSettings | None = None, **options: Any
    ) -> aiohttp.ClientSession:
        """A session for the user's own HTTP calls on the running loop's connector. Kept per loop, holder and options.

        Its `close` and `async with` do nothing. Time-outs are aiohttp's own unless the options say otherwise; a call
        queues for a connection as long as it may wait to connect.

        Args:
            policy: The limits.
            holder: On whose behalf.
            tls: Whom to trust, None for what botocore takes from the environment. A request's own `ssl=` wins.
            options: As for `aiohttp.ClientSession`, but for the connector.

        Raises:
            ConfigurationError: No running asyncio loop, or an option that aiohttp or the transport refuses.
        """
        return self._state().client_session(policy, tls or TlsSettings.from_env(), self._referable(holder), options)

    def prepare(self, tls: TlsSettings) -> None:
        """Have the TLS contexts of a call that is about to be made built meanwhile, in a thread.

        Reading the certificate authorities takes tens of milliseconds, and needs no lock of Python's. What goes wrong
        is told by the call.
        """
        building = running_loop().run_in_executor(None, self._contexts.get, tls)
        building.add_done_callback(lambda done: done.cancelled() or done.exception())

    def enter(self, holder: object) -> None:
        """The running loop's connections are held until `leave`. Counted per holder.

        Raises:
            ConfigurationError: No running asyncio loop.
        """
        self._state().enter(self._referable(holder))

    async def leave(self, holder: object) -> None:
        """One `enter` ends. The last one to let go waits for the calls in flight, then closes the connections.

        A response that has begun and of which no byte came for ten seconds is not waited for. Calls that begin
        meanwhile keep the connections. Cancelling it loses nothing: they are then closed with the loop, or by the
        next who lets go.
        """
        await self._state().leave(self._referable(holder))

    async def aclose(self, holder: object) -> None:
        """Give back what a call outside of `enter` and `leave` holds on the running loop; waits as `leave` does.

        Nothing happens where there was no such call.
        """
        loop = running_loop()
        if (state := self._loops.get(loop)) is not None:
            await state.give_back(self._referable(holder))

    def drop_idle(self) -> None:
        """Close idle connections: the running loop's at once, those of other loops before their next use."""
        for state in list(self._loops.values()):
            state.stale = True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if (own := self._loops.get(loop)) is not None:
            own.freshen()

    def drop_all_idle(self) -> None:
        """As `drop_idle`, but nothing waits for a next use: for a process that is about to stand still.

        Loops that rest and belong to this thread are run for a moment, so that their descriptors are gone on return;
        those of the running loop go with its next turn, those of other threads' loops with theirs.
        """
        self.drop_idle()
        running = asyncio._get_running_loop()
        for state in list(self._loops.values()):
            if state.loop is running or not state.stale or state.is_dead:
                continue
            if state.loop.is_running():
                with contextlib.suppress(RuntimeError):  # it has closed this moment
                    state.loop.call_soon_threadsafe(state.freshen)
            elif running is None and state.is_of_this_thread:
                state.loop.run_until_complete(state.close_idle())

    def forget_after_fork(self) -> None:
        """In the child, before anything else: the parent's connections stay referenced, are never used or closed."""
        self._inherited.append((self._loops, self._classes, self._contexts))
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._loops: dict[asyncio.AbstractEventLoop, LoopState] = {}
        self._classes: weakref.WeakKeyDictionary[object, dict[tuple[ConnectionPolicy, Purpose], type[SharedSession]]]
        self._classes = weakref.WeakKeyDictionary()
        self._stand_ins: dict[int, _StandIn] = {}
        self._contexts = ContextCache()
        self._watch = Watch(lambda: self.open_connections, self._tell)

    def _referable(self, holder: object) -> object:
        """The holder, or one that can be weakly referenced in its place."""
        try:
            weakref.ref(holder)
        except TypeError:
            return self._stand_ins.setdefault(id(holder), _StandIn(holder))
        return holder

    def _state(self) -> LoopState:
        loop = running_loop()
        state = self._loops.get(loop) or self._arrive(loop)
        if state.stale:
            state.freshen()
        return state

    def _arrive(self, loop: asyncio.AbstractEventLoop) -> LoopState:
        """A new loop; the time to look after those that have gone."""
        state = LoopState(
            loop, contexts=self._contexts, count=lambda: self.open_connections, on_opened=self._watch.look
        )
        with self._lock:
            gone = [other for other in self._loops.values() if other.is_dead]
            for other in gone:
                del self._loops[other.loop]
            self._loops[loop] = state
        state.start_guard()
        for other in gone:
            _bury(other)
        return state


class _StandIn:
    def __init__(self, holder: object) -> None:
        self.holder = holder


def _bury(state: LoopState) -> None:
    """Close what a loop left behind that did not end in order."""
    if state.loop.is_closed():
        state.abandon()
        return
    # Its thread has died and left it open: nobody runs it, so another thread may, and this one runs a loop already.
    thread = threading.Thread(target=state.run_to_end, name="aiocloudmap-bury", daemon=True)
    thread.start()
    thread.join(_GOODBYE)
