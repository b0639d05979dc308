"""A server's connections: counted as they come and go, dropped, reset and cut when told to."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Never

from aiohttp import web

from aiocloudmap.local.counts import ServerStats
from aiocloudmap.local.pauses import for_ever

__all__ = ["Connection", "Connections"]

_NO_LINGER: Final = struct.pack("ii", 1, 0)


@dataclass(slots=True, eq=False)
class Connection:
    """One client's connection.

    Args:
        transport: Its transport.
        busy: Requests on it that wait for their answer.
        muted: Whether nothing on it is answered any more.
    """

    transport: asyncio.Transport
    busy: int = 0
    muted: bool = False

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


class Connections(web.Server):
    """aiohttp's low-level server, which is the factory of its protocols and hears of each connection.

    Args:
        handler: Answers a request; its task is cancelled when the client goes.
        stats: Where connections are counted.
        keepalive_timeout: Seconds that idle ones are kept.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        stats: ServerStats,
        keepalive_timeout: float,
    ) -> None:
        super().__init__(handler, handler_cancellation=True, access_log=None, keepalive_timeout=keepalive_timeout)
        self._stats = stats
        self._open: dict[Any, Connection] = {}
        self._is_cut = False

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        """Told by aiohttp's protocol."""
        super().connection_made(handler, transport)
        self._open[handler] = Connection(transport)
        self._stats.connection_made()
        if self._is_cut:
            transport.abort()

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        """Told by aiohttp's protocol."""
        super().connection_lost(handler, exc)
        if self._open.pop(handler, None):
            self._stats.connection_lost()

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
