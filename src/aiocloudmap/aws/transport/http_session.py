"""What aiobotocore and aiohttp hold instead of a connector of their own: sessions without one.

A `Door` finds the running loop's connector anew at each call; so a session outlives its closing, and a client every
loop.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import HTTPClientError

from aiocloudmap.aws.transport.file_descriptors import find_descriptor_error, too_many_open_files
from aiocloudmap.aws.transport.queue import closed_error
from aiocloudmap.aws.transport.tls import TlsSettings
from aiocloudmap.errors import CloudMapError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

    from aiocloudmap.aws.transport.connector import BoundedConnector
    from aiocloudmap.aws.transport.pool import Purpose
    from aiocloudmap.model.policy import ConnectionPolicy

__all__ = ["Door", "KeptSession", "LoopOfDoors", "SharedSession"]


class LoopOfDoors(Protocol):
    """What a session needs to know of its event loop."""

    closings: int
    sessions: weakref.WeakKeyDictionary[SharedSession, KeptSession]

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        ...

    def connector(self, policy: ConnectionPolicy, tls: TlsSettings, holder: object | None) -> BoundedConnector:
        """The connector for a call that begins now; `holder` holds it from now on."""
        ...


class Door:
    """Stands where a ClientSession expects its connector.

    Args:
        state: The event loop's.
        policy: The limits.
        tls: Whom to trust.
        purpose: What the calls are for.
        holder: On whose behalf they are made, not kept alive by it.
    """

    allowed_protocol_schema_set: Final = aiohttp.TCPConnector.allowed_protocol_schema_set
    _timeout_ceil_threshold: Final = 5.0

    def __init__(
        self,
        state: LoopOfDoors,
        policy: ConnectionPolicy,
        tls: TlsSettings,
        purpose: Purpose,
        holder: weakref.ref[object],
    ) -> None:
        self._loop = state.loop
        self._state, self._policy, self._tls, self._purpose, self._holder = state, policy, tls, purpose, holder

    @property
    def closed(self) -> bool:
        """Only with the loop. aiohttp asks at the start of each request, before it does anything on a loop.

        Raises:
            ConfigurationError: Another event loop is running.
        """
        if (running := asyncio._get_running_loop()) is not None and running is not self._loop:
            raise ConfigurationError(
                "this http_session() was made on another event loop",
                advice="Call CloudMap.http_session() for each use; it costs next to nothing.",
            )
        return self._loop.is_closed()

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        """As `BoundedConnector.connect`, on the connector of this moment."""
        connector = self._state.connector(self._policy, self._tls, self._holder())
        return await connector.connect(req, traces, timeout, self._purpose)

    async def close(self) -> None:
        """Nothing: the transport closes what it opened."""


class _QuietSubclass:
    # aiohttp discourages subclasses that change how requests are made; this one changes only who closes.
    def __init_subclass__(cls) -> None:
        """Not passed on."""


class KeptSession(_QuietSubclass, aiohttp.ClientSession):
    """A ClientSession that owns nothing: `close` and `async with` leave it as it is."""

    async def close(self) -> None:
        """Nothing: the transport closes the connections."""

    def __del__(self, *_: Any) -> None:
        """Nothing is left open, so there is nothing to complain of."""


class _StraightSession(KeptSession):
    """Follows no redirect, as botocore's own sessions do: whoever answers could send a signed request elsewhere."""

    def request(self, method: str, url: Any, **options: Any) -> Any:
        """As ever, but for that."""
        options["allow_redirects"] = False
        return super().request(method, url, **options)


class SharedSession(AIOHTTPSession):  # type: ignore[misc]  # untyped
    """aiobotocore's HTTP session on the connector of whichever loop runs. `Transport` makes the subclasses.

    Closing it does nothing, and it can be used on several loops at once.
    """

    policy: ConnectionPolicy
    purpose: Purpose
    holder: weakref.ref[object]
    state: Callable[[], LoopOfDoors]
    count: Callable[[], int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tls = TlsSettings.of(kwargs.get("verify", True), kwargs.get("client_cert"), kwargs.get("proxies_config"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing: the connector belongs to the loop."""

    async def close(self) -> None:
        """Nothing: the connector belongs to the loop."""

    async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
        if proxy_url is not None and proxy_url.count("://") > 1:
            # botocore puts http:// before whatever is no http address, so that "socks5" would be looked up as a host.
            raise ConfigurationError(
                "the proxy is of a kind that cannot be used",
                advice="Check HTTPS_PROXY and HTTP_PROXY: their URLs begin with http:// or https://.",
            )
        state = self.state()
        session = state.sessions.get(self)
        if session is None:
            door: Any = Door(state, self.policy, self._tls, self.purpose, self.holder)
            session = state.sessions[self] = _StraightSession(
                connector=door,
                connector_owner=False,
                timeout=self._timeout,
                skip_auto_headers={"CONTENT-TYPE"},
                auto_decompress=False,
                # botocore keeps no cookies either, and engines share more than they know.
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return session

    async def send(self, request: Any) -> Any:
        """As aiobotocore's, with this library's own errors bare: wrapped, botocore would retry them.

        Raises:
            CloudMapError: One of the connector's, or ConnectError for a call whose connection was closed by us.
            HTTPClientError: botocore's own, as ever.
        """
        state = self.state()
        closings = state.closings
        try:
            return await super().send(request)
        except CloudMapError:
            raise
        except Exception as error:
            cause = error.kwargs.get("error") if isinstance(error, HTTPClientError) else error
            if isinstance(cause, CloudMapError):
                raise cause from cause.__cause__
            if (reason := find_descriptor_error(error)) is not None:
                raise too_many_open_files(reason, self.count()) from error
            if state.closings != closings:
                raise closed_error() from error
            raise
