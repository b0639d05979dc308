"""What the tests for aiohttp, httpx and gRPC share: instances on loopback that answer with their id."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme
from aiohttp import web

from aiocloudmap import CloudMap
from aiocloudmap.local import LocalCloudMap


class Stage:
    """Servers, and a local Cloud Map in which they are instances of `shop/orders`."""

    def __init__(self, exits: contextlib.AsyncExitStack, authority: trustme.CA) -> None:
        self.local = LocalCloudMap()
        self.cloud_map: CloudMap = self.local.cloud_map(in_process=True)
        self.server_names: list[str | None] = []
        """The server names that TLS clients have sent."""
        self.began = asyncio.Event()
        """The first part of an upload has arrived."""
        self.go_on = asyncio.Event()
        """Allows a response in two parts to continue."""
        self._authority = authority
        self._exits = exits

    def register(
        self, id: str, port: int | None, host: str | None = "127.0.0.1", service: str = "orders", **attributes: str
    ) -> None:
        """Register an instance, whether or not a server is running."""
        if host is not None:
            attributes["AWS_INSTANCE_IPV6" if ":" in host else "AWS_INSTANCE_IPV4"] = host
        if port is not None:
            attributes["AWS_INSTANCE_PORT"] = str(port)
        self.local.world.register(f"shop/{service}", id, attributes)

    async def serve(self, id: str, *, host: str = "127.0.0.1", tls_name: str | None = None) -> int:
        """Start a server that responds with its id and the requested host and path; return its port."""

        async def describe(request: web.Request) -> web.StreamResponse:
            return web.json_response({"id": id, "host": request.headers["Host"], "path": request.path})

        app = web.Application()
        app.add_routes(
            [
                web.get("/in-parts", self._in_parts),
                web.get("/break-off", self._break_off),
                web.post("/upload", self._upload),
                web.get("/{path:.*}", describe),
            ]
        )
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        self._exits.push_async_callback(runner.cleanup)
        sock = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        await web.SockSite(runner, sock, ssl_context=None if tls_name is None else self._tls(tls_name)).start()
        return sock.getsockname()[1]

    def refuse(self, host: str = "127.0.0.1") -> int:
        """A port that refuses every connection, and is reserved for the test."""
        sock = socket.socket()
        self._exits.callback(sock.close)
        sock.bind((host, 0))
        return sock.getsockname()[1]

    def mute(self) -> int:
        """A port that accepts connections and never sends anything."""
        listener = socket.create_server(("127.0.0.1", 0))
        self._exits.callback(listener.close)
        return listener.getsockname()[1]

    def swallow(self, host: str = "127.0.0.1") -> int:
        """A port that does not answer at all, since its backlog is full."""
        listener = socket.socket()
        self._exits.callback(listener.close)
        listener.bind((host, 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(3):
            client = socket.socket()
            self._exits.callback(client.close)
            client.setblocking(False)
            client.connect_ex((host, port))
        return port

    async def _in_parts(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"the beginning")
        await self.go_on.wait()
        await response.write(b"the end")
        return response

    async def _break_off(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"the beginning")
        assert request.transport is not None
        request.transport.abort()
        return response

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        got = await request.content.readany()
        self.began.set()
        return web.Response(body=got + await request.content.read())

    def _tls(self, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(name).configure_cert(context)
        context.sni_callback = lambda _, asked, __: self.server_names.append(asked)
        return context


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The certificate authority of the servers."""
    return trustme.CA()


@pytest.fixture
def trust(authority: trustme.CA) -> ssl.SSLContext:
    """A client's TLS context that trusts it."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
async def stage(authority: trustme.CA) -> AsyncIterator[Stage]:
    """Closes all its servers afterwards."""
    async with contextlib.AsyncExitStack() as exits:
        yield Stage(exits, authority)


@pytest.fixture(scope="session")
def ipv6() -> None:
    """Skips the test if the machine has no IPv6 loopback."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 loopback: {error}")


@pytest.fixture
def name_service(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces the machine's name service: every name is 127.0.0.1. The list holds the names that were looked up."""
    looked_up: list[str] = []
    getaddrinfo = socket.getaddrinfo

    def resolve(host, *arguments, **options):
        host = host.decode() if isinstance(host, bytes) else host
        if not host.replace(".", "").isdigit() and ":" not in host:
            looked_up.append(host)
            host = "127.0.0.1"
        return getaddrinfo(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return looked_up
