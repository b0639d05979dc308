"""aiohttp's protocol of one connection, taught four things: its permit, a quick end, what to say then, and patience."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from aiohttp.client_proto import ResponseHandler

if TYPE_CHECKING:
    import asyncio

    from aiohttp import ClientRequest

    from aiocloudmap.aws.permits import Permit
    from aiocloudmap.aws.tls import TlsContexts
    from aiocloudmap.errors import ConnectError

__all__ = ["Attempt", "Handler", "attempt"]

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
