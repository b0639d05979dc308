"""One connection in the pool: aiohttp's protocol, and a socket that reports when its descriptor is closed."""

from __future__ import annotations

import select
import socket
from contextvars import ContextVar
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from aiohttp.client_proto import ResponseHandler

from aiocloudmap.errors import ConnectError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable

    from aiohttp import ClientRequest, ClientTimeout

    from aiocloudmap.aws.transport.tls import TlsContexts

__all__ = [
    "ConnectAttempt",
    "CountedSocket",
    "Permit",
    "PooledConnection",
    "Purpose",
    "closed_error",
    "current_attempt",
    "max_connect_time",
]

_ABANDONED_AFTER: Final = 10.0
"""Seconds without a byte after which a response that has begun counts as abandoned by its reader."""

_FREEZE_THRESHOLD: Final = 1.0
"""Seconds by which a timer is late if the process was stopped or its event loop blocked."""


class Purpose(Enum):
    """What a connection is used for."""

    DISCOVERY = "discovery"
    """A request to Cloud Map."""

    CLIENT = "client"
    """The user's own call; leaves RESERVED connections free for discovery."""

    # Used as a key several times for each call, and Enum's own hash is a function in Python.
    __hash__ = object.__hash__


class Permit:
    """One open socket, or one attempt to open it. Requests of an equal key may reuse it."""

    def __init__(self, key: Hashable, host: Hashable) -> None:
        self.key, self.host = key, host
        self.purpose: Purpose | None = None
        self.closing = False
        self.holds = 1
        self.idle_since = 0.0
        self.connection: PooledConnection | None = None
        self.sockets: list[CountedSocket] = []


class ConnectAttempt:
    """One attempt to open a connection, for the factories that aiohttp calls without saying for which request."""

    def __init__(self, permit: Permit, request: ClientRequest, contexts: TlsContexts | None) -> None:
        self.permit, self.request, self.contexts = permit, request, contexts
        self.descriptor_error: OSError | None = None


current_attempt: Final[ContextVar[ConnectAttempt]] = ContextVar("aiocloudmap_connect_attempt")


class CountedSocket(socket.socket):
    """A socket that calls `on_closed` once its descriptor is closed, which is later than `transport.close()`.

    asyncio ends a socket through `close`, uvloop through `detach`.
    """

    on_closed: Callable[[], object] | None = None

    def close(self) -> None:
        """As `socket.close`."""
        super().close()
        # A loop that still waits on the descriptor keeps it open.
        if self.fileno() < 0:
            self._report()

    def detach(self) -> int:
        """As `socket.detach`."""
        try:
            return super().detach()
        finally:
            self._report()

    def _report(self) -> None:
        on_closed, self.on_closed = self.on_closed, None
        if on_closed is not None:
            on_closed()


class PooledConnection(ResponseHandler):
    """aiohttp's protocol for one connection. Created within a `ConnectAttempt`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, keepalive_timeout: float) -> None:
        super().__init__(loop)
        self.permit = current_attempt.get().permit
        self.reusable = True
        self._keepalive_timeout = keepalive_timeout
        self._receiving = False
        self._received_at: float | None = None
        self._close_error: ConnectError | None = None

    @property
    def abandoned_at(self) -> float | None:
        """Time on the loop's clock at which the response counts as abandoned; None before its first byte."""
        return None if self._received_at is None else self._received_at + _ABANDONED_AFTER

    def start_call(self, *, reusable: bool) -> None:
        """Start a call; `reusable` allows another call after it."""
        self._received_at = None
        self.reusable = reusable

    def is_usable(self) -> bool:
        """Whether the idle connection may be used: the peer has sent nothing, and it is not too old.

        The timer that closes old connections may not have run yet after the process was stopped.
        """
        permit = self.permit
        return (
            self.is_connected()
            and self._loop.time() - self._keepalive_timeout < permit.idle_since
            and bool(permit.sockets)
            and all(map(_is_quiet, permit.sockets))
        )

    def close(self) -> None:
        """Close at once. A TLS shutdown with a silent peer, or unsent bytes, would hold the descriptor for 30 s."""
        self._abort()
        super().close()

    def end(self, error: ConnectError) -> None:
        """Close during a call, which raises `error`."""
        self._close_error = error
        self._abort()

    def abandon(self) -> None:
        """Drop the transport of a closed loop, so that it emits no warning when its socket is closed."""
        transport: Any = self.transport
        self.transport = None
        # asyncio's TLS transport wraps a protocol, which knows the plain transport below.
        if (protocol := getattr(transport, "_ssl_protocol", None)) is not None:
            transport._closed = True
            transport = getattr(protocol, "_transport", None)
        if hasattr(transport, "_sock"):
            transport._sock = None

    def set_exception(self, exc: Any, *cause: Any) -> None:
        """As aiohttp's, but the error given to `end` comes first."""
        super().set_exception(exc if self._close_error is None else self._close_error, *cause)

    def data_received(self, data: bytes) -> None:
        """As aiohttp's; remembers when."""
        self._received_at = self._loop.time()
        self._receiving = True
        try:
            super().data_received(data)
        finally:
            self._receiving = False

    def _on_read_timeout(self) -> None:
        # A late timer means that the process stood still: the answer may be there, not yet read.
        timer = self._read_timeout_handle
        if timer is not None and self._loop.time() - timer.when() > _FREEZE_THRESHOLD:
            self._reschedule_timeout()
        else:
            super()._on_read_timeout()

    def _abort(self) -> None:
        if self.transport is None:
            return
        if self._receiving:
            # The last byte of a response ends the call at once; uvloop's TLS cannot lose its transport while it reads.
            self._loop.call_soon(self.transport.abort)
        else:
            self.transport.abort()


def _is_quiet(sock: socket.socket) -> bool:
    """Whether there is nothing to read, no end of file and no error. One system call, without waiting.

    Whatever an idle connection has to read makes it unfit for another request, and the loop may not have looked yet.
    """
    descriptor = sock.fileno()
    if descriptor < 0:
        return False
    if not hasattr(select, "poll"):
        readable, _, failed = select.select([descriptor], [], [descriptor], 0)
        return not readable and not failed
    poller = select.poll()
    poller.register(descriptor, select.POLLIN | select.POLLPRI)
    return not poller.poll(0)


def max_connect_time(req: ClientRequest, timeout: ClientTimeout, waited: float) -> float | None:
    """Seconds left for all of connecting, after `waited`; None for no limit.

    aiohttp bounds each single attempt, but not the answer of a proxy.
    """
    if timeout.connect:
        return max(timeout.connect - waited, 0.001)
    if req.proxy is not None and timeout.sock_connect:
        return 2 * timeout.sock_connect + (timeout.sock_read or timeout.sock_connect)
    return None


def closed_error() -> ConnectError:
    """The error of a call whose connection this library closes."""
    return ConnectError(
        "the connection was closed together with those of its event loop",
        advice="Let calls end before the loop does, or await them inside `async with`.",
    )
