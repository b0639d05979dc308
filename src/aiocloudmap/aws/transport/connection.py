"""aiohttp's protocol of one connection, taught four things: its permit, a quick end, what to say then, and patience."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from aiohttp.client_proto import ResponseHandler

from aiocloudmap.aws.transport.counted_socket import is_quiet

if TYPE_CHECKING:
    import asyncio

    from aiohttp import ClientRequest

    from aiocloudmap.aws.transport.pool import Bound, Permit
    from aiocloudmap.aws.transport.tls import TlsContexts
    from aiocloudmap.errors import ConnectError

__all__ = ["Attempt", "Expiry", "Handler", "attempt", "is_usable"]


_ABANDONED: Final = 10.0
"""Seconds without a byte after which a response that has begun is taken for one that nobody reads."""

_STOOD_STILL: Final = 1.0
"""Seconds by which a timer is late where the process was stopped, or its event loop blocked."""


class Attempt:
    """One try to open a connection, for the factories that aiohttp calls on the way without saying for whom.

    Args:
        permit: What the connection is opened under.
        request: The request it is for; on the way through a proxy, aiohttp asks for a second one.
        contexts: TLS contexts, None for a plain connection.
    """

    __slots__ = ("contexts", "exhausted", "permit", "request")

    def __init__(self, permit: Permit[Handler], request: ClientRequest, contexts: TlsContexts | None) -> None:
        self.permit, self.request, self.contexts = permit, request, contexts
        self.exhausted: OSError | None = None


attempt: Final[ContextVar[Attempt]] = ContextVar("aiocloudmap_attempt")


class Handler(ResponseHandler):
    """One connection. Made by aiohttp's connector within an attempt."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.permit = attempt.get().permit
        self.fit_for_reuse = True
        self._receiving = False
        self._heard: float | None = None
        self._farewell: ConnectError | None = None

    @property
    def abandoned_at(self) -> float | None:
        """When, on the loop's clock, the response will count as abandoned; None before its first byte."""
        return None if self._heard is None else self._heard + _ABANDONED

    def begin(self, *, reuse: bool) -> None:
        """A call begins.

        Args:
            reuse: Whether another call may follow on this connection.
        """
        self._heard = None
        self.fit_for_reuse = reuse

    def close(self) -> None:
        """At once: a TLS goodbye to a silent peer, or unsent bytes, would hold the descriptor for half a minute."""
        self._abort()
        super().close()

    def end(self, farewell: ConnectError) -> None:
        """Close under a call, which ends in `farewell`."""
        self._farewell = farewell
        self._abort()

    def abandon(self) -> None:
        """Forget the transport of a closed loop, so that nobody complains of it once its socket is closed."""
        transport: Any = self.transport
        self.transport = None
        # asyncio's TLS transport wraps a protocol, which knows the plain transport below.
        if (protocol := getattr(transport, "_ssl_protocol", None)) is not None:
            transport._closed = True
            transport = getattr(protocol, "_transport", None)
        if hasattr(transport, "_sock"):
            transport._sock = None

    def set_exception(self, exc: Any, *cause: Any) -> None:
        """What the call ends in."""
        super().set_exception(exc if self._farewell is None else self._farewell, *cause)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._heard = self._loop.time()
        self._receiving = True
        try:
            super().data_received(data)
        finally:
            self._receiving = False

    def _on_read_timeout(self) -> None:
        """The peer has been silent for too long: unless it was the process that stood still, and nobody has looked."""
        timer = self._read_timeout_handle
        if timer is not None and self._loop.time() - timer.when() > _STOOD_STILL:
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


# MERGED aws/idle: Idle connections: which of them may be used again, and when each is closed.


def is_usable(permit: Permit[Handler], *, idle_after: float) -> bool:
    """Whether an idle connection may be used: the peer has said nothing, and it is not too old.

    The timer that closes the old ones has not run yet where the process was stopped, or the loop was at rest.

    Args:
        permit: The connection's.
        idle_after: What became idle then, or before, is too old.
    """
    handler = permit.connection
    return (
        handler is not None
        and handler.is_connected()
        and idle_after < permit.idle_since
        and bool(permit.sockets)
        and all(map(is_quiet, permit.sockets))
    )


class Expiry:
    """Closes each idle connection when its time is over. One timer for all: they become idle in order.

    Args:
        bound: Keeps them.
        keepalive_timeout: Seconds that each is kept.
        loop: The event loop of the connections.
    """

    def __init__(self, bound: Bound[Handler], keepalive_timeout: float, loop: asyncio.AbstractEventLoop) -> None:
        self._bound, self._keepalive_timeout, self._loop = bound, keepalive_timeout, loop
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """A connection has become idle."""
        if self._timer is None and self._bound.idle:
            oldest = next(iter(self._bound.idle))
            self._timer = self._loop.call_at(oldest.idle_since + self._keepalive_timeout, self._expire)

    def stop(self) -> None:
        """Close none of them any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        self._timer = None
        limit = self._loop.time() - self._keepalive_timeout
        for permit in list(self._bound.idle):
            if permit.idle_since <= limit:
                self._bound.close(permit)
        self.watch()
