"""Every fault on the wire, seen by a plain HTTP client."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import pytest

from aiocloudmap.local import LocalServer, World
from aiocloudmap.testing import ManualClock

HEADERS = {"X-Amz-Target": "Route53AutoNaming_v20170314.DiscoverInstances"}
QUESTION = json.dumps({"NamespaceName": "shop", "ServiceName": "orders"})


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def server(clock):
    world = World(clock=clock)
    world.register("shop/orders", "a", {"QUEUE_URL": "https://q"})
    world.register("shop/orders", "b")
    async with LocalServer(world) as server:
        yield server


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


async def discover(server, http):
    async with http.post(server.endpoint_url, headers=HEADERS, data=QUESTION) as response:
        return response.status, await response.read()


async def test_next_limits_a_fault_to_some_calls(server, http):
    """Later calls succeed."""
    server.faults.throttle(next=2)
    assert [(await discover(server, http))[0] for _ in range(3)] == [400, 400, 200]


async def test_garbage_has_status_200_and_no_json(server, http):
    """The body cannot be parsed."""
    server.faults.garbage()
    status, body = await discover(server, http)
    assert status == 200
    with pytest.raises(ValueError, match=r"codec|JSON|Expecting"):
        json.loads(body)


async def test_empty_has_status_200_and_no_body(server, http):
    """The body has no bytes."""
    server.faults.empty()
    assert await discover(server, http) == (200, b"")


async def test_a_server_error_has_the_given_status(server, http):
    """500 by default."""
    server.faults.server_error(next=1)
    server.faults.server_error(503)
    assert [(await discover(server, http))[0] for _ in range(2)] == [500, 503]


async def test_a_reset_sends_rst(server):
    """The reader gets ECONNRESET."""
    server.faults.reset()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(_raw())
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_a_truncated_body_ends_before_its_length(server, http):
    """The client gets fewer bytes than announced."""
    server.faults.truncate()
    with pytest.raises(aiohttp.ClientPayloadError):
        await discover(server, http)


async def test_a_truncated_list_looks_complete(server, http):
    """Its instances are left out without an error."""
    server.faults.truncate(instances=1)
    _, body = await discover(server, http)
    assert len(json.loads(body)["Instances"]) == 1


async def test_a_hanging_call_ends_when_its_client_disconnects(server, http):
    """Its request and connection are closed."""
    server.faults.hang()
    task = asyncio.create_task(discover(server, http))
    await eventually(lambda: server.stats.requests_open == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: (server.stats.requests_open, server.stats.connections_open) == (0, 0))


async def test_a_held_call_is_answered_when_it_is_released(server, http):
    """The test decides when."""
    server.faults.hold()
    task = asyncio.create_task(discover(server, http))
    async with asyncio.timeout(10):
        await server.faults.until_held()
    assert not task.done()
    server.faults.release()
    assert (await task)[0] == 200


async def test_a_delay_uses_the_worlds_clock(server, http, clock):
    """No test has to wait for it."""
    server.faults.delay(3600)
    task = asyncio.create_task(discover(server, http))
    await eventually(lambda: clock.timers == 1)
    clock.tick(3600)
    assert (await task)[0] == 200


async def test_a_fault_for_one_service_does_not_affect_others(server, http):
    """By the names in the request."""
    server.faults.throttle(service="shop/billing")
    assert (await discover(server, http))[0] == 200


@pytest.mark.parametrize("target", ["AmazonSQS.SendMessage", "Plain"])
@pytest.mark.parametrize(
    "switch_on",
    [
        lambda faults, **scope: faults.fail("InternalFailure", **scope),
        lambda faults, **scope: faults.reset(**scope),
        lambda faults, **scope: faults.hang(**scope),
    ],
)
async def test_faults_spare_other_services_unless_named(server, http, target, switch_on):
    """A program that tests an outage of Cloud Map may use the same server for its queue."""
    server.add_target(target, lambda _: {"MessageId": "1"})
    fault = switch_on(server.faults)
    async with http.post(server.endpoint_url, headers={"X-Amz-Target": target}, data=b"{}") as response:
        assert (response.status, json.loads(await response.read())) == (200, {"MessageId": "1"})
    assert fault.hits == 0
    fault.clear()
    server.faults.throttle(operation=target)
    async with http.post(server.endpoint_url, headers={"X-Amz-Target": target}, data=b"{}") as response:
        assert response.status == 400
    assert (await discover(server, http))[0] == 200


async def test_drop_idle_closes_idle_connections(server, http):
    """Busy connections stay open."""
    await discover(server, http)
    server.faults.hold()
    held = [asyncio.create_task(discover(server, http)) for _ in range(2)]
    async with asyncio.timeout(10):
        await server.faults.until_held(2)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await eventually(lambda: server.stats.connections_open == 3)
    began = time.monotonic()
    server.faults.drop_idle()
    # Far below its timeout for another thread's loop.
    assert time.monotonic() - began < 4
    assert await reader.read() == b""
    writer.close()
    server.faults.release()
    assert [status for status, _ in await asyncio.gather(*held)] == [200, 200]


async def test_drop_idle_can_mute_connections(server):
    """They stay open without answers; new connections get answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(_raw())
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    await eventually(lambda: server.stats.requests_open == 0)
    server.faults.drop_idle(silently=True)
    writer.write(_raw())
    other_reader, other_writer = await asyncio.open_connection("127.0.0.1", server.port)
    other_writer.write(_raw())
    assert b"200 OK" in await other_reader.readuntil(b"\r\n\r\n")
    rest = asyncio.create_task(reader.read())
    for _ in range(20):
        await asyncio.sleep(0)
    server_side = server.stats.calls.total
    rest.cancel()
    writer.close()
    other_writer.close()
    assert server_side == 2


def _raw() -> bytes:
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(QUESTION)}\r\n"
    return f"{head}X-Amz-Target: {HEADERS['X-Amz-Target']}\r\n\r\n{QUESTION}".encode()


async def eventually(claim) -> None:
    """Wait until it holds, for at most ten seconds."""
    async with asyncio.timeout(10):
        while not claim():
            await asyncio.sleep(0.001)
