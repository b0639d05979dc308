"""LocalServer and clients that close their side of the connection, as `nc -N` does."""

from __future__ import annotations

import asyncio
import json

import pytest

from aiocloudmap.local import LocalServer, World

BODY = json.dumps({"NamespaceName": "shop", "ServiceName": "orders"}).encode()
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Route53AutoNaming_v20170314.DiscoverInstances\r\n"
REQUEST = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
LARGE = HEAD + b"Content-Length: 900000\r\n\r\n" + BODY.ljust(900_000)


@pytest.fixture
async def server():
    world = World()
    for number in range(1000):
        world.register("shop/orders", f"orders-{number}", {"QUEUE_URL": "https://q" * 100})
    async with LocalServer(world) as server:
        yield server


async def sent(server, *parts):
    """What comes back after these parts and the end of the client's side."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    writer.write_eof()
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def eventually(claim) -> None:
    """Wait until it holds, for at most ten seconds."""
    async with asyncio.timeout(10):
        while not claim():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("parts", [(REQUEST,), (REQUEST[:200], REQUEST[200:]), (LARGE,)], ids=["one", "two", "large"])
async def test_a_whole_request_is_answered(server, parts):
    """Then the server closes its side too."""
    head, _, body = (await sent(server, *parts)).partition(b"\r\n\r\n")
    assert b" 200 " in head
    assert len(json.loads(body)["Instances"]) == 100
    await eventually(lambda: (server.stats.requests_open, server.stats.connections_open) == (0, 0))


async def test_a_request_after_an_answered_one_is_answered_too(server):
    """On a kept connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    writer.write(REQUEST)
    writer.write_eof()
    async with asyncio.timeout(10):
        assert b" 200 " in (await reader.read())[:20]
    writer.close()


async def test_an_error_is_an_answer_too(server):
    """For a fault and for bytes that are not a request."""
    server.faults.throttle()
    assert b" 400 " in (await sent(server, REQUEST))[:20]
    assert b" 400 " in (await sent(server, b"nonsense\r\n\r\n"))[:20]


@pytest.mark.parametrize("part", [b"", HEAD, REQUEST[:-1], LARGE[:500_000]], ids=["none", "head", "body", "large"])
async def test_an_incomplete_request_is_closed_at_once(server, part):
    """It can never be completed."""
    assert await sent(server, part) == b""
    await eventually(lambda: (server.stats.requests_open, server.stats.connections_open) == (0, 0))


@pytest.mark.parametrize("kind", ["hang", "hold", "delay"])
async def test_a_client_that_waits_for_a_fault_may_have_gone(server, kind):
    """Its request ends, as with any client that disconnects."""
    getattr(server.faults, kind)(*([3600] if kind == "delay" else []))
    assert await sent(server, REQUEST) == b""
    await eventually(lambda: (server.stats.requests_open, server.stats.connections_open) == (0, 0))
    assert server.faults.held == 0
