"""gRPC connects to all instances of a service through one target, from `Service.grpc_target()`."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from child_process import ChildProcess

from aiocloudmap import AttributeNotFoundError, NamespaceNotFoundError, NoInstancesError

# gRPC's threads and descriptors outlive the event loop, so it runs in a process of its own.
SERVERS_AND_CHANNEL = """
import asyncio, os
os.environ["GRPC_VERBOSITY"] = "NONE"  # it logs every closed connection
import grpc, grpc.aio

async def serve(name):
    async def tell(request, context):
        return name.encode()
    server = grpc.aio.server()
    handlers = {"Tell": grpc.unary_unary_rpc_method_handler(tell)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Orders", handlers),))
    port = server.add_insecure_port(f"{host}:0")
    await server.start()
    return server, port

async def main():
    served = [await serve(name) for name in names]
    say([port for _, port in served])
    target = (await asyncio.to_thread(told)).strip()
    async with grpc.aio.insecure_channel(target, options=[("grpc.lb_policy_name", "round_robin")]) as channel:
        tell = channel.unary_unary("/shop.Orders/Tell")
        answered = set()
        async with asyncio.timeout(20):
            while len(answered) < len(names):
                answered.add((await tell(b"", wait_for_ready=True)).decode())
    say(sorted(answered))
    for server, _ in served:
        await server.stop(None)

asyncio.run(main())
"""


@pytest.mark.skipif(find_spec("grpc") is None, reason="grpcio is not installed")
@pytest.mark.parametrize(("host", "address", "family"), [("127.0.0.1", "127.0.0.1", "ipv4"), ("[::1]", "::1", "ipv6")])
async def test_a_channel_reaches_all_instances(stage, request, host, address, family):
    """Each at its own port, by IPv4 or IPv6 addresses."""
    if family == "ipv6":
        request.getfixturevalue("ipv6")
    with ChildProcess(SERVERS_AND_CHANNEL, host=host, names=["a", "b"]) as child:
        ports = child.said()
        for name, port in zip("ab", ports, strict=True):
            stage.register(name, port, host=address)
        target = await stage.cloud_map.service("shop/orders").grpc_target()
        assert target == f"{family}:{host}:{ports[0]},{host}:{ports[1]}"
        child.tell(target)
        assert child.said() == ["a", "b"]
        child.end()


async def test_the_target_changes_only_with_the_instances(stage):
    """So a program can see when it needs a new channel."""
    orders = stage.cloud_map.service("shop/orders")
    stage.register("b", 50051)
    before = await orders.grpc_target()
    orders.invalidate()
    assert await orders.grpc_target() == before
    stage.register("a", 50052)
    orders.invalidate()
    assert await orders.grpc_target() == "ipv4:127.0.0.1:50052,127.0.0.1:50051"


async def test_without_addresses_there_is_no_target(stage):
    """An empty target would look like an outage."""
    orders = stage.cloud_map.service("shop/orders")
    with pytest.raises(NamespaceNotFoundError):
        await orders.grpc_target()
    stage.cloud_map.clear()
    stage.local.world.add_service("shop/orders")
    with pytest.raises(NoInstancesError):
        await orders.grpc_target()
    stage.cloud_map.clear()
    stage.local.world.register("shop/orders", "a", {"QUEUE_URL": "here"})
    with pytest.raises(AttributeNotFoundError, match="no instance has an address"):
        await orders.grpc_target()
