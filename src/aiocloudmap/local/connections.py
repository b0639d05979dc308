"""A server's connections: counted as they come and go, dropped, reset and cut when told to.

Whoever can reach the port may send anything: what is no HTTP gets AWS's shape of an error and a line at DEBUG, what
comes too slowly or never ends gets the connection closed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Never

from aiohttp import web
from yarl import URL

from aiocloudmap.local.errors import RefusedError
from aiocloudmap.local.faults import for_ever
from aiocloudmap.local.stats import ServerStats
from aiocloudmap.local.wire import refusal_answer

__all__ = ["Connection", "Connections"]

_NO_LINGER: Final = struct.pack("ii", 1, 0)
_MAX_UNREAD: Final = 4 * 1024 * 1024
"""Bytes that may come before a request begins: a whole one of the greatest size, and what the kernel held."""

_ROOT: Final = URL("/")

_logger = logging.getLogger("aiocloudmap.local")


@dataclass(slots=True, eq=False)
class Connection:
    """One client's connection.

    Args:
        transport: Its transport.
        busy: Requests on it that wait for their answer.
        muted: Whether nothing on it is answered any more.
        unread: Bytes that have come since the last request began.
        impatience: Closes it where no request comes; None once one has begun.
    """

    transport: asyncio.Transport
    busy: int = 0
    muted: bool = False
    unread: int = 0
    impatience: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """A request has come."""
        self.busy += 1
        self.unread = 0
        self.be_patient()

    def be_patient(self) -> None:
        """No longer close it for want of a request."""
        if self.impatience is not None:
            self.impatience.cancel()
            self.impatience = None

    def give_up(self) -> None:
        """Nobody waits for ever; but a connection that plays dead stays."""
        if not self.muted:
            self.transport.abort()

    async def reset(self) -> Never:
        """Close with RST: a socket that may not linger has nothing to say goodbye with."""
        if (sock := self.transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()
        await for_ever()

    async def break_off(self, request: web.BaseRequest, whole: web.Response) -> Never:
        """Promise the whole body, send half of it, and close."""
        body = bytes(whole.body) if isinstance(whole.body, bytes | bytearray) else b""
        response = web.StreamResponse(headers={**whole.headers, "Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        self.transport.close()
        await for_ever()


class _Protocol(web.RequestHandler):
    """aiohttp's, without tracebacks for what strangers send."""

    __slots__ = ("_connections",)

    def __init__(self, connections: Connections, **settings: Any) -> None:
        super().__init__(connections, **settings)
        self._connections = connections

    def data_received(self, data: bytes) -> None:
        """Told by the transport."""
        if not self._connections.receives(self, len(data)):
            _logger.debug("a request had no end")
            self._abort()
            return
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001 - aiohttp 3.12 stumbles over some addresses
            _logger.debug("a request could not be read (%s)", type(error).__name__)
            self._abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is answered where no request could be made of what came."""
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        _logger.debug("a request was no HTTP that can be read (%s)", type(exc).__name__)
        refusal = RefusedError("the request is no HTTP that can be read", code="BadRequestException", status=status)
        response = refusal_answer(refusal)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **_: Any) -> None:
        """What aiohttp could not make sense of. A handler that fails is logged by whoever wrote it."""
        _logger.debug(*args)

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Connections(web.Server):
    """aiohttp's low-level server, which is the factory of its protocols and hears of each connection.

    Args:
        handler: Answers a request; its task is cancelled when the client goes.
        stats: Where connections are counted.
        keepalive_timeout: Seconds that idle ones are kept.
        request_timeout: Seconds that a new one may take for the head of its first request; for later ones,
            keepalive_timeout.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        stats: ServerStats,
        keepalive_timeout: float,
        request_timeout: float,
    ) -> None:
        # Packed bodies would be unpacked before anybody could see how large they become; AWS's clients send none.
        self._settings: dict[str, Any] = {
            "access_log": None,
            "keepalive_timeout": keepalive_timeout,
            "auto_decompress": False,
        }
        super().__init__(handler, handler_cancellation=True, request_factory=self._request_of)
        self._event_loop = asyncio.get_running_loop()
        self._request_timeout = request_timeout
        self._stats = stats
        self._open: dict[Any, Connection] = {}
        self._is_cut = False

    def __call__(self) -> web.RequestHandler:
        """The protocol of a new connection."""
        return _Protocol(self, loop=self._event_loop, **self._settings)

    def _request_of(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        """Nobody reads the address, and of some aiohttp 3.12 cannot make a request."""
        return web.BaseRequest(message._replace(url=_ROOT), payload, protocol, writer, task, self._event_loop)

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        """Told by aiohttp's protocol."""
        super().connection_made(handler, transport)
        self._open[handler] = connection = Connection(transport)
        connection.impatience = self._event_loop.call_later(self._request_timeout, connection.give_up)
        self._stats.connection_made()
        if self._is_cut:
            transport.abort()

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        """Told by aiohttp's protocol."""
        super().connection_lost(handler, exc)
        if connection := self._open.pop(handler, None):
            connection.be_patient()
            self._stats.connection_lost()

    def receives(self, handler: Any, size: int) -> bool:
        """Told by the protocol. Whether so much may come."""
        connection = self._open.get(handler)
        if connection is None or connection.busy:
            return True
        connection.unread += size
        return connection.unread <= _MAX_UNREAD

    def of(self, request: web.BaseRequest) -> Connection | None:
        """The connection that a request came by; None where it has gone meanwhile."""
        return self._open.get(request.protocol)

    def drop_idle(self, *, silently: bool) -> None:
        """Close the idle connections; or, silently, never answer on them again."""
        for connection in list(self._open.values()):
            if connection.busy == 0 and silently:
                connection.muted = True
            elif connection.busy == 0:
                connection.transport.close()

    async def cut(self) -> None:
        """Cut every connection at once, those that are being accepted too, and wait for the tasks that served them."""
        self._is_cut = True
        for connection in list(self._open.values()):
            connection.transport.abort()
        # Cutting one cancels its task, whose end is a few turns of the loop away.
        while self.connections:  # noqa: ASYNC110 - aiohttp has no event for it
            await asyncio.sleep(0)
