"""A server's connections: counted, and closed, reset or aborted on demand.

Any program that reaches the port may send anything. Invalid HTTP gets an error in AWS's format and a log line at DEBUG.
A connection whose request comes too slowly or never ends is closed. A client that closes its side of the connection
after a whole request gets its answer, unless a fault lets it wait: it may have gone.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Never

from aiohttp import StreamReader, web
from yarl import URL

from aiocloudmap.local.faults import wait_forever
from aiocloudmap.local.request import RefusedError
from aiocloudmap.local.stats import ServerStats
from aiocloudmap.local.wire import error_response

__all__ = ["Connection", "Connections"]

_NO_LINGER: Final = struct.pack("ii", 1, 0)
_MAX_UNREAD: Final = 4 * 1024 * 1024
"""Bytes allowed before a request starts: the largest request, and what the kernel had buffered."""

_ROOT: Final = URL("/")

_logger = logging.getLogger("aiocloudmap.local")


@dataclass(slots=True, eq=False)
class Connection:
    """One client's connection."""

    transport: asyncio.Transport
    busy: int = 0
    """Requests on it that wait for their answer."""
    muted: bool = False
    """Whether it stays open without answers."""
    unread: int = 0
    """Bytes received since the last request started."""
    body: StreamReader | None = None
    """The body of the last request."""
    paused: bool = False
    """Whether a fault lets that request wait."""
    half_closed: bool = False
    """Whether the client has closed its side."""
    request_timer: asyncio.TimerHandle | None = None
    """Closes it if no request comes; None once one has started."""

    def begin_request(self, body: StreamReader) -> None:
        """Count a request that has started."""
        self.busy += 1
        self.unread, self.body, self.paused = 0, body, False
        self.cancel_timer()
        if self.half_closed and not body.is_eof():
            self.transport.abort()

    def begin_pause(self) -> None:
        """A fault lets the request wait."""
        self.paused = True
        if self.half_closed:
            self.transport.abort()

    def half_close(self) -> bool:
        """The client sends nothing more. Whether it still gets an answer; TLS closes both sides at once."""
        incomplete = self.body is not None and not self.body.is_eof()
        asked = (self.busy or self.unread) and not (self.muted or self.paused or incomplete)
        self.half_closed = bool(asked) and self.transport.get_extra_info("sslcontext") is None
        return self.half_closed

    def cancel_timer(self) -> None:
        """Do not close it for lack of a request."""
        if self.request_timer is not None:
            self.request_timer.cancel()
            self.request_timer = None

    def on_request_timeout(self) -> None:
        """No request has come. A muted connection stays open."""
        if not self.muted:
            self.transport.abort()

    async def reset(self) -> Never:
        """Close with RST: a socket that does not linger sends no FIN."""
        if (sock := self.transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()
        await wait_forever()

    async def truncate(self, request: web.BaseRequest, answer: web.Response) -> Never:
        """Announce the whole body, send half of it, and close."""
        body = bytes(answer.body) if isinstance(answer.body, bytes | bytearray) else b""
        response = web.StreamResponse(headers={**answer.headers, "Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        self.transport.close()
        await wait_forever()


class _Protocol(web.RequestHandler):
    """aiohttp's protocol, without tracebacks for invalid requests."""

    __slots__ = ("_connections",)

    def __init__(self, connections: Connections, **settings: Any) -> None:
        super().__init__(connections, **settings)
        self._connections = connections

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        if not self._connections.may_receive(self, len(data)):
            _logger.debug("a request was too large")
            self._abort()
            return
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001 - aiohttp 3.12 fails on some addresses
            _logger.debug("a request could not be read (%s)", type(error).__name__)
            self._abort()

    async def start(self) -> None:
        """Serve the connection. aiohttp leaves it open if `close` is called during an incomplete head."""
        try:
            await super().start()
        finally:
            if self.transport is not None:
                self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Called by the transport, which stays open if it returns True."""
        if not self._connections.half_close(self):
            return False
        self.close()  # after the answer
        return True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to bytes that are not a request."""
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        _logger.debug("a request was not valid HTTP (%s)", type(exc).__name__)
        refusal = RefusedError("the request is not valid HTTP", code="BadRequestException", status=status)
        response = error_response(refusal)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **_: Any) -> None:
        """Log an invalid request at DEBUG. Failures of the handler are logged by the server."""
        _logger.debug(*args)

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Connections(web.Server):
    """aiohttp's low-level server, which creates the protocols and is notified of each connection.

    The task of a request is cancelled when its client disconnects. A new connection may take `request_timeout` seconds
    for the head of its first request, and `keepalive_timeout` for the later ones.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        stats: ServerStats,
        keepalive_timeout: float,
        request_timeout: float,
    ) -> None:
        self._keepalive_timeout = keepalive_timeout
        super().__init__(handler, handler_cancellation=True, request_factory=self._make_request)
        self._event_loop = asyncio.get_running_loop()
        self._request_timeout = request_timeout
        self._stats = stats
        self._open: dict[Any, Connection] = {}
        self._is_aborted = False

    def __call__(self) -> web.RequestHandler:
        """The protocol of a new connection."""
        return _Protocol(
            self,
            loop=self._event_loop,
            access_log=None,
            keepalive_timeout=self._keepalive_timeout,
            # Decompressed bodies have no size limit, and AWS's clients send no compressed ones.
            auto_decompress=False,
        )

    def _make_request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        """Replace the address, which is not used: aiohttp 3.12 fails on some."""
        return web.BaseRequest(message._replace(url=_ROOT), payload, protocol, writer, task, self._event_loop)

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        """Called by aiohttp's protocol."""
        super().connection_made(handler, transport)
        self._open[handler] = connection = Connection(transport)
        connection.request_timer = self._event_loop.call_later(self._request_timeout, connection.on_request_timeout)
        self._stats.connection_made()
        if self._is_aborted:
            transport.abort()

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        """Called by aiohttp's protocol."""
        super().connection_lost(handler, exc)
        if connection := self._open.pop(handler, None):
            connection.cancel_timer()
            self._stats.connections_open -= 1

    def may_receive(self, handler: Any, size: int) -> bool:
        """Count received bytes. False if too many came before a request started."""
        connection = self._open.get(handler)
        if connection is None or connection.busy:
            return True
        connection.unread += size
        return connection.unread <= _MAX_UNREAD

    def half_close(self, handler: Any) -> bool:
        """The client sends nothing more. Whether it still gets an answer."""
        connection = self._open.get(handler)
        return connection is not None and connection.half_close()

    def of(self, request: web.BaseRequest) -> Connection | None:
        """The connection of a request; None if it has closed."""
        return self._open.get(request.protocol)

    def drop_idle(self, *, silently: bool) -> None:
        """Close the idle connections; silently, keep them open and never answer on them again."""
        for connection in list(self._open.values()):
            if connection.busy == 0 and silently:
                connection.muted = True
            elif connection.busy == 0:
                connection.transport.close()

    async def abort(self) -> None:
        """Abort every connection, also those still being accepted, and wait for their tasks."""
        self._is_aborted = True
        for connection in list(self._open.values()):
            connection.transport.abort()
        # Aborting cancels the connection's task, which ends a few turns of the loop later.
        while self.connections:  # noqa: ASYNC110 - aiohttp has no event for it
            await asyncio.sleep(0)
