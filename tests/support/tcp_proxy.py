"""A TCP proxy that can delay, cut, half-close or swallow the bytes of either direction."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

__all__ = ["TcpProxy", "Wire"]

_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Wire:
    """One direction of every connection. A fault applies to all bytes that arrive after it was set.

    Args:
        name: The direction, for the repr.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.passed = 0
        self.met = 0
        self._open = asyncio.Event()
        self.mend()

    def mend(self) -> None:
        """Pass bytes on without delay."""
        self.cut_at: int | None = None
        self.resets = False
        self.half = False
        self.swallows = False
        self._open.set()

    def hold(self) -> None:
        """Delay bytes until `mend`."""
        self._open.clear()

    def cut(self, after: int = 0, *, reset: bool = False) -> None:
        """After this many more bytes of a connection, close both its ends: with FIN, or with RST."""
        self.cut_at, self.resets, self.half = after, reset, False

    def half_close(self, after: int = 0) -> None:
        """After this many more bytes, send FIN in this direction; the other one stays open."""
        self.cut_at, self.resets, self.half = after, False, True

    def swallow(self) -> None:
        """Accept bytes and drop them."""
        self.swallows = True

    async def through(self) -> None:
        """Wait while bytes are held."""
        self.met += not self._open.is_set()
        await self._open.wait()

    def __repr__(self) -> str:
        return f"<Wire {self.name}, {self.passed} bytes passed, {self.met} fault(s)>"


class TcpProxy:
    """Listens on the loopback and passes bytes on to a server. The end of its `async with` cuts every connection.

    Args:
        upstream_url: URL of the server.
    """

    def __init__(self, upstream_url: str) -> None:
        parts = urlsplit(upstream_url)
        self._upstream = (parts.hostname, parts.port)
        self.to_server = Wire("to the server")
        self.to_client = Wire("to the client")
        self.accepted = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The URL for clients, instead of the server's."""
        assert self._listener is not None
        return f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    @property
    def met(self) -> int:
        """How many times a fault has affected bytes, in both directions."""
        return self.to_server.met + self.to_client.met

    def mend(self) -> None:
        """Both directions pass everything on."""
        self.to_server.mend()
        self.to_client.mend()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._listener is not None
        self._listener.close()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
            await asyncio.sleep(0)
        await self._listener.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [writer]
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._upstream)
            writers.append(server_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(self.to_server, reader, server_writer, writers))
                both.create_task(_pump(self.to_client, server_reader, writer, writers))
        except (asyncio.CancelledError, OSError):
            # The proxy ends, or the server does not listen: the client's connection is closed.
            pass
        finally:
            self._tasks.discard(task)
            for each in writers:
                each.close()
            for each in writers:
                with contextlib.suppress(OSError):
                    await each.wait_closed()


async def _pump(
    wire: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, both: list[asyncio.StreamWriter]
) -> None:
    """Move the bytes of one direction of one connection."""
    passed_since: tuple[int | None, int] = (None, 0)
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            if wire.swallows:
                wire.met += 1
                continue
            await wire.through()
            cut_at, passed = wire.cut_at, passed_since[1] if passed_since[0] == wire.cut_at else 0
            kept = data if cut_at is None else data[: max(0, cut_at - passed)]
            passed_since = (cut_at, passed + len(kept))
            wire.passed += len(kept)
            writer.write(kept)
            await writer.drain()
            if cut_at is not None and passed + len(data) > cut_at:
                wire.met += 1
                _end(wire, writer, both)
                return
        if writer.can_write_eof():
            writer.write_eof()


def _end(wire: Wire, writer: asyncio.StreamWriter, both: list[asyncio.StreamWriter]) -> None:
    if wire.half:
        writer.write_eof()
        return
    for each in both:
        if wire.resets and (sock := each.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            each.transport.abort()
        else:
            each.close()
