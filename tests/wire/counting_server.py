"""HTTP servers on the loopback that count open connections exactly, and an HTTP proxy.

They run on one event loop in a thread of their own, so they outlive the event loops of the tested code.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from base64 import b64encode
from collections import Counter
from typing import Self
from urllib.parse import urlsplit

from tests.support.client_sockets import client_sockets

_ESTABLISHED = 1


async def _end(servers: list[asyncio.Server], writers: set[asyncio.StreamWriter]) -> None:
    """Close the servers and their connections.

    asyncio creates the transport of a connection some iterations after accepting it. That fails if the server was
    closed in between, and the connection stays open. So accepting is stopped first.
    """
    for server in servers:
        for sock in server.sockets:
            asyncio.get_running_loop().remove_reader(sock)
    await _iterations()
    for server in servers:
        server.close()
    for writer in list(writers):
        writer.transport.abort()
    await _iterations()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def _iterations() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Servers:
    """Servers that answer `{"Instances": []}` to every path except these.

    `/hold` is answered after `release()`, `/begun` with a part of an answer, `/close` with an answer and a close,
    `/silent` not at all, `/echo/...` with the path. CONNECT is never answered.

    Args:
        count: The number of servers, each on its own port.
        tls: The servers' TLS context, None for plain.
    """

    def __init__(self, count: int = 1, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls, self._count = tls, count
        self._sockets = [socket.create_server(("127.0.0.1", 0), backlog=512) for _ in range(count)]
        self.ports = [sock.getsockname()[1] for sock in self._sockets]
        self.connections: set[socket.socket] = set()
        self.requests: Counter[str] = Counter()
        self.accepted = 0
        self.peak = 0
        self.peaks_per_host: Counter[int] = Counter()
        self._writers: set[asyncio.StreamWriter] = set()
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="servers")

    @property
    def urls(self) -> list[str]:
        """One for each server; with `localhost` for TLS, because certificates name it."""
        return [f"http://127.0.0.1:{port}" if self._tls is None else f"https://localhost:{port}" for port in self.ports]

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def open(self) -> int:
        """Connections that neither end has closed."""
        return sum(map(_is_established, list(self.connections)))

    def seen_by_the_system(self) -> int:
        """Open client sockets of this process to these servers, from the kernel's table."""
        return client_sockets(self.ports)

    def release(self) -> None:
        """Answer held requests, and all later ones."""
        self._loop.call_soon_threadsafe(self._released.set)

    def drop_idle(self) -> None:
        """Close every connection, and wait until they are closed."""

        async def drop() -> None:
            for writer in list(self._writers):
                writer.transport.abort()
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(drop(), self._loop).result()

    async def until(self, path: str, count: int) -> None:
        """Wait until `count` requests for the path have arrived."""

        def wait() -> None:
            with self._changed:
                assert self._changed.wait_for(lambda: self.requests[path] >= count, 30), self.requests

        await asyncio.to_thread(wait)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Tests disconnect clients during the handshake.
        self._loop.set_exception_handler(lambda *_: None)
        self._released, self._ended = asyncio.Event(), asyncio.Event()
        servers = [await asyncio.start_server(self._accept, sock=sock, ssl=self._tls) for sock in self._sockets]
        self._ready.set()
        await self._ended.wait()
        await _end(servers, self._writers)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        port = sock.getsockname()[1]
        self.connections.add(sock)
        self._writers.add(writer)
        self.accepted += 1
        self.peak = max(self.peak, self.open)
        here = [other for other in list(self.connections) if _port_of(other) == port]
        self.peaks_per_host[port] = max(self.peaks_per_host[port], sum(map(_is_established, here)))
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await self._talk(reader, writer)
        self.connections.discard(sock)
        self._writers.discard(writer)
        writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            for line in head.split("\r\n"):
                name, _, value = line.partition(":")
                if name.lower() == "content-length":
                    await reader.readexactly(int(value))
            path = head.split(" ")[1]
            with self._changed:
                self.requests[path] += 1
                self._changed.notify_all()
            if path == "/hold":
                await self._released.wait()
            if path == "/silent" or head.startswith("CONNECT"):
                await asyncio.Event().wait()
            body = path.encode() if path.startswith("/echo") else b'{"Instances": []}'
            length = len(body) + (path == "/begun")
            end = "close" if path == "/close" else "keep-alive"
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: {end}\r\n\r\n".encode() + body)
            await writer.drain()
            if path == "/close":
                return


class Proxy:
    """An HTTP proxy that sends every call to the loopback, whatever the host, with or without CONNECT.

    Args:
        tls: The proxy's TLS context, None for plain.
        credentials: Required credentials, as "user:password", or None.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, credentials: str | None = None) -> None:
        self._tls = tls
        self._wanted = None if credentials is None else "Basic " + b64encode(credentials.encode()).decode()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.asked: list[str] = []
        self.shown: list[str | None] = []
        """The Proxy-Authorization of each call."""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="proxy")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}" if self._tls is None else f"https://localhost:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda *_: None)
        self._ended = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        server = await asyncio.start_server(self._accept, sock=self._socket, ssl=self._tls)
        self._ready.set()
        await self._ended.wait()
        await _end([server], self._writers)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head.split("\r\n")[0])
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            self.shown.append(headers.get("Proxy-Authorization"))
            if self._wanted not in (None, self.shown[-1]):
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                writer.close()
                return
            target = head.split(" ")[1]
            port = urlsplit(target if "://" in target else f"//{target}").port
            onward, back = await asyncio.open_connection("127.0.0.1", port)
            self._writers.add(back)
            if head.startswith("CONNECT"):
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                back.write(head.encode())
            await asyncio.gather(_pump(reader, back), _pump(onward, writer))
        writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


def _is_established(sock: socket.socket) -> bool:
    """Whether neither end has sent a close."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED
    except OSError:
        return False


def _port_of(sock: socket.socket) -> int:
    try:
        return sock.getsockname()[1]
    except OSError:
        return 0
