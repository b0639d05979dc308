"""LocalServer: counts, limits, bad requests, addresses, TLS, threads and stopping."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import json
import logging
import socket
import ssl
import sys
import threading
import weakref

import aiohttp
import pytest
import trustme

from aiocloudmap import ConfigurationError
from aiocloudmap.local import Faults, LocalCloudMap, LocalServer, RefusedError, World, serve_in_thread

TARGET = "Route53AutoNaming_v20170314.DiscoverInstances"
QUESTION = json.dumps({"NamespaceName": "shop", "ServiceName": "orders"})


@pytest.fixture
def world():
    world = World()
    world.register("shop/orders", "a")
    return world


@pytest.fixture
async def server(world):
    async with LocalServer(world) as server:
        yield server


async def eventually(claim) -> None:
    """Wait until it holds, for at most ten seconds."""
    async with asyncio.timeout(10):
        while not claim():
            await asyncio.sleep(0.001)


async def post(http, server, body=QUESTION, **headers):
    # A file, because aiohttp warns about large bodies of bytes.
    file = io.BytesIO(body if isinstance(body, bytes) else body.encode())
    async with http.post(server.endpoint_url, headers={"X-Amz-Target": TARGET, **headers}, data=file) as response:
        return response.status, json.loads(await response.read())


async def test_connections_and_requests_are_counted(server):
    """Open now, the peak, and all so far."""
    server.faults.hold()
    async with aiohttp.ClientSession() as http:
        tasks = [asyncio.create_task(post(http, server)) for _ in range(5)]
        async with asyncio.timeout(10):
            await server.faults.until_held(5)
        stats = server.stats
        assert (stats.connections_open, stats.connections_peak, stats.connections_accepted) == (5, 5, 5)
        assert (stats.requests_open, stats.requests_peak) == (5, 5)
        server.faults.release()
        await asyncio.gather(*tasks)
        await post(http, server)
        assert stats.connections_accepted == 5
        assert stats.calls["DiscoverInstances"] == stats.calls.of("shop/orders") == 6
    await eventually(lambda: stats.connections_open == 0)
    assert (stats.connections_peak, stats.requests_open) == (5, 0)
    stats.reset()
    assert (stats.connections_peak, stats.connections_accepted, stats.calls.total) == (0, 0, 0)


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        ("{", {}, 400, "SerializationException"),
        ("[]", {}, 400, "SerializationException"),
        (b"\xff", {}, 400, "SerializationException"),
        ("[" * 100_000, {}, 400, "SerializationException"),
        ("", {}, 400, "InvalidInput"),
        ("{}", {"X-Amz-Target": ""}, 400, "UnknownOperationException"),
        ("{}", {"X-Amz-Target": "Route53AutoNaming_v20170314.Nothing"}, 400, "UnknownOperationException"),
        ("{}", {"X-Amz-Target": "AmazonSQS.SendMessage"}, 400, "UnknownOperationException"),
        ("x" * (2**20 + 1), {}, 413, "RequestEntityTooLargeException"),
    ],
)
async def test_an_invalid_request_gets_a_clear_error(server, body, headers, status, code):
    """In AWS's format; the server goes on."""
    async with aiohttp.ClientSession() as http:
        got, answer = await post(http, server, body, **headers)
        assert (got, answer["__type"]) == (status, code)
        assert (await post(http, server))[0] == 200


async def test_a_get_request_gets_an_explanation(server):
    """As from a browser."""
    async with aiohttp.ClientSession() as http, http.get(server.endpoint_url) as response:
        assert response.status == 405
        assert "endpoint_url" in (await response.json(content_type=None))["message"]


async def test_a_failing_handler_is_an_internal_failure(server, caplog):
    """It is logged with its traceback; a RefusedError is sent as it is."""

    def broken(_):
        raise ZeroDivisionError

    def refusing(_):
        raise RefusedError("no", code="NoSuchThing")

    server.add_target("Some.Broken", broken)
    server.add_target("Some.Refusing", refusing)
    with caplog.at_level(logging.CRITICAL):
        async with aiohttp.ClientSession() as http:
            first = await post(http, server, **{"X-Amz-Target": "Some.Broken"})
            second = await post(http, server, **{"X-Amz-Target": "Some.Refusing"})
    assert (first[0], first[1]["__type"]) == (500, "InternalFailure")
    assert (second[0], second[1]["__type"]) == (400, "NoSuchThing")


@pytest.mark.parametrize("path", ["/", "http://data-127.0.0.1:5556/"])
async def test_a_host_prefix_is_accepted(server, path):
    """From clients that look the prefixed name up in a hosts file, or use the server as their proxy."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"POST {path} HTTP/1.1\r\nHost: data-127.0.0.1:{server.port}\r\nX-Amz-Target: {TARGET}\r\n"
    writer.write(f"{head}Content-Length: {len(QUESTION)}\r\n\r\n{QUESTION}".encode())
    async with asyncio.timeout(10):
        assert b" 200 " in await reader.readline()
    writer.close()


async def test_it_listens_on_the_loopback_by_default(server):
    """Not on other addresses of the machine."""
    assert server.endpoint_url == f"http://127.0.0.1:{server.port}"


async def test_it_can_listen_on_all_addresses(world):
    """The endpoint_url is an address that clients can connect to."""
    async with LocalServer(world, host="0.0.0.0") as server, aiohttp.ClientSession() as http:
        assert server.endpoint_url.startswith("http://127.0.0.1:")
        assert (await post(http, server))[0] == 200


async def test_a_name_with_two_addresses_gets_one_port(world):
    """localhost is both 127.0.0.1 and ::1 on many machines."""
    async with LocalServer(world, host="localhost") as server, aiohttp.ClientSession() as http:
        assert (await post(http, server))[0] == 200


async def test_a_connection_accepted_during_the_stop_is_aborted(world):
    """After any number of turns of the event loop."""
    server = LocalServer(world)
    for turns in range(6):
        await server.start()
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.setblocking(False)
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.stop()
            await eventually(lambda: server.stats.connections_open == 0)
            assert await _is_closed(client), f"after {turns} turns"


async def _is_closed(client):
    try:
        async with asyncio.timeout(10):
            return await asyncio.get_running_loop().sock_recv(client, 1) == b""
    except ConnectionResetError:
        return True


async def test_a_port_that_is_taken_is_a_configuration_error(server, world):
    """The message has the address and the reason."""
    other = LocalServer(world, port=server.port)
    with pytest.raises(ConfigurationError, match=str(server.port)):
        await other.start()
    with pytest.raises(ConfigurationError):
        await LocalServer(world, port=70_000).start()
    with pytest.raises(ConfigurationError, match="running already"):
        await server.start()


async def test_a_stopped_server_has_no_address(world):
    """Asking for it is a ConfigurationError."""
    with pytest.raises(ConfigurationError, match="not running"):
        _ = LocalServer(world).endpoint_url


async def test_it_may_be_stopped_twice_and_started_again(world):
    """The counts go on."""
    server = LocalServer(world)
    for calls in (1, 2):
        async with server, aiohttp.ClientSession() as http:
            await post(http, server)
        await server.stop()
        assert server.stats.calls.total == calls


async def test_it_stops_at_once_with_open_requests(world):
    """Hanging, held, delayed and idle connections are aborted."""
    server = LocalServer(world)
    await server.start()
    server.faults.hang(next=1)
    server.faults.delay(1000, next=1, operation="Other.Delayed")
    server.faults.hold(operation="Other.Held")
    async with aiohttp.ClientSession() as http:
        _, idle = await asyncio.open_connection("127.0.0.1", server.port)
        targets = (TARGET, "Other.Delayed", "Other.Held")
        tasks = [asyncio.create_task(post(http, server, **{"X-Amz-Target": target})) for target in targets]
        await eventually(lambda: (server.stats.requests_open, server.stats.connections_open) == (3, 4))
        async with asyncio.timeout(5):
            await server.stop()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, aiohttp.ClientError) for result in results), results
        assert (server.stats.requests_open, server.stats.connections_open) == (0, 0)
        idle.close()


def test_a_server_in_a_thread_ends_with_the_block(world):
    """Even with a hanging request."""
    with serve_in_thread(LocalServer(world)) as server:
        server.faults.hang()
        with socket.create_connection(("127.0.0.1", server.port)) as hanging:
            hanging.sendall(f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: {TARGET}\r\n\r\n".encode())
            asyncio.run(eventually(lambda: server.stats.requests_open == 1))
    assert [thread for thread in threading.enumerate() if thread.name == "aiocloudmap-local-server"] == []


def test_a_thread_that_cannot_listen_raises_an_error(world):
    """In the calling thread."""
    with serve_in_thread(LocalServer(world)) as server:
        with pytest.raises(ConfigurationError, match=str(server.port)):
            with serve_in_thread(LocalServer(world, port=server.port)):
                pass


def test_faults_may_be_switched_from_another_thread(world):
    """Idle connections are closed when the call returns."""
    with serve_in_thread(LocalServer(world)) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as idle:
            asyncio.run(eventually(lambda: server.stats.connections_open == 1))
            server.faults.drop_idle()
            idle.settimeout(10)
            assert idle.recv(1) == b""
    server.faults.drop_idle()


async def test_a_server_in_a_thread_can_be_used_from_a_loop(world):
    """Its work is done in the other thread."""
    with LocalCloudMap(world) as local:
        async with aiohttp.ClientSession() as http:
            assert (await post(http, local.server))[0] == 200
            local.faults.drop_idle()


async def test_it_serves_tls(world):
    """Faults and stopping work too."""
    authority = trustme.CA()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    async with LocalServer(world, ssl_context=server_side) as server:
        assert server.endpoint_url.startswith("https://")
        connector = aiohttp.TCPConnector(ssl=client_side)
        async with aiohttp.ClientSession(connector=connector) as http:
            assert (await post(http, server))[0] == 200
            server.faults.reset(next=1)
            with pytest.raises(aiohttp.ClientError):
                await post(http, server)
            server.faults.hang()
            hanging = asyncio.create_task(post(http, server))
            await eventually(lambda: server.stats.requests_open == 1)
            await server.stop()
            with pytest.raises(aiohttp.ClientError):
                await hanging


@pytest.mark.skipif(sys.version_info < (3, 13), reason="asyncio cannot abort handshakes")
async def test_the_stop_aborts_tls_handshakes(world):
    """Of a client that connects and sends nothing."""
    server = LocalServer(world, ssl_context=ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
    await server.start()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.setblocking(False)
        await asyncio.sleep(0.05)
        await server.stop()
        assert await _is_closed(client)


async def test_a_handshake_that_ends_after_the_stop_is_aborted(world):
    """As soon as the connection exists."""
    authority = trustme.CA()
    server_side, client_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    authority.configure_trust(client_side)
    server = LocalServer(world, ssl_context=server_side)
    await server.start()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        await asyncio.sleep(0.05)
        await server.stop()
        async with asyncio.timeout(10):
            try:
                reader, writer = await asyncio.open_connection(
                    sock=client, ssl=client_side, server_hostname="127.0.0.1"
                )
            except ConnectionError:
                return
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
    await eventually(lambda: server.stats.connections_open == 0)


async def test_faults_keep_no_reference_to_a_stopped_server(world):
    """Faults may outlive their servers."""
    faults = Faults()
    server = LocalServer(world, faults)
    async with server:
        reference = weakref.ref(server)
    del server
    gc.collect()
    assert reference() is None


@pytest.fixture(scope="module")
def uvloop():
    """uvloop, after it has opened the pipe that it keeps."""
    uvloop = pytest.importorskip("uvloop")
    uvloop.run(asyncio.sleep(0))
    return uvloop


def test_it_works_with_uvloop(world, uvloop):
    """Answers, resets, truncated bodies, dropped connections and the stop."""

    async def main():
        async with LocalServer(world) as server, aiohttp.ClientSession() as http:
            assert (await post(http, server))[0] == 200
            with server.faults.reset(), pytest.raises(aiohttp.ClientError):
                await post(http, server)
            with server.faults.truncate(), pytest.raises(aiohttp.ClientError):
                await post(http, server)
            server.faults.drop_idle()
            await eventually(lambda: server.stats.connections_open == 0)
            server.faults.hang()
            hanging = asyncio.create_task(post(http, server))
            await eventually(lambda: server.stats.requests_open == 1)
            await server.stop()
            with pytest.raises(aiohttp.ClientError):
                await hanging

    uvloop.run(main())
