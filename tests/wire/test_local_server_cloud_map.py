"""LocalCloudMap with CloudMap: the same answers and errors over the wire and in process."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.named_faults import NAMED_FAULTS

from aiocloudmap import (
    CachePolicy,
    ConnectionPolicy,
    DeadlineError,
    NamespaceNotFoundError,
    ServiceNotFoundError,
)
from aiocloudmap.local import LocalCloudMap, World
from aiocloudmap.testing import ManualClock

WAYS = pytest.mark.parametrize("in_process", [False, True], ids=["over the wire", "in process"])
ONE_ATTEMPT = ConnectionPolicy(max_attempts=1, discovery_timeout=5)


@pytest.fixture
async def local():
    async with LocalCloudMap() as local:
        local.world.register("shop/orders", "a", {"QUEUE_URL": "https://q"})
        yield local


@WAYS
async def test_both_ways_return_the_same_answer(local, in_process):
    """Instances, attributes, health and revision."""
    async with local.cloud_map(in_process=in_process) as cloud_map:
        snapshot = await cloud_map.service("shop/orders").resolve()
        assert (len(snapshot), snapshot.revision, snapshot[0].health) == (1, 1, "UNKNOWN")
        assert await cloud_map.service("shop/orders").attribute("QUEUE_URL") == "https://q"


@WAYS
@pytest.mark.parametrize(
    ("name", "kind"), [("unknown/orders", NamespaceNotFoundError), ("shop/unknown", ServiceNotFoundError)]
)
async def test_both_ways_raise_not_found_errors(local, in_process, name, kind):
    """Namespace and service have different errors."""
    async with local.cloud_map(in_process=in_process) as cloud_map:
        with pytest.raises(kind) as caught:
            await cloud_map.service(name).resolve()
        assert str(caught.value.service) == name


@WAYS
@pytest.mark.parametrize(("fault", "kind"), NAMED_FAULTS)
async def test_both_ways_raise_the_same_error_for_a_fault(local, in_process, fault, kind):
    """Exactly the same class."""
    getattr(local.faults, fault)()
    async with local.cloud_map(in_process=in_process, connections=ONE_ATTEMPT) as cloud_map:
        with pytest.raises(kind) as caught:
            await cloud_map.service("shop/orders").resolve()
        assert type(caught.value) is kind


@WAYS
async def test_both_ways_end_a_hang_at_the_deadline(local, in_process):
    """With a DeadlineError."""
    local.faults.hang()
    connections = ConnectionPolicy(discovery_timeout=0.2)
    async with local.cloud_map(in_process=in_process, connections=connections) as cloud_map:
        with pytest.raises(DeadlineError):
            await cloud_map.service("shop/orders").resolve()


@WAYS
async def test_a_held_call_is_shared_by_all_callers(local, in_process):
    """Ten callers make one call."""
    local.faults.hold()
    async with local.cloud_map(in_process=in_process) as cloud_map:
        tasks = [asyncio.create_task(cloud_map.service("shop/orders").resolve()) for _ in range(10)]
        async with asyncio.timeout(10):
            await local.faults.until_held()
        assert local.faults.held == 1
        local.faults.release()
        assert len(set(await asyncio.gather(*tasks))) == 1


async def test_two_cloud_maps_share_nothing(local):
    """Each makes its own call."""
    for _ in range(2):
        async with local.cloud_map() as cloud_map:
            await cloud_map.service("shop/orders").resolve()
    assert local.stats.calls["DiscoverInstances"] == 2


async def test_the_worlds_clock_is_the_cloud_maps_clock():
    """One tick moves both."""
    clock = ManualClock()
    local = LocalCloudMap(World(clock=clock))
    local.world.register("shop/orders", "a")
    async with local.cloud_map(in_process=True, cache=CachePolicy(ttl=30, jitter=0)) as cloud_map:
        snapshot = await cloud_map.service("shop/orders").resolve()
        clock.tick(10)
        assert snapshot.age == 10


async def test_settings_override_the_defaults(local):
    """Such as the backend."""
    backend = local.backend()
    async with local.cloud_map(backend=backend, cache=CachePolicy(ttl=0)) as cloud_map:
        await cloud_map.service("shop/orders").resolve()
    assert backend.calls.total == 1
    assert local.stats.calls.total == 0


def test_a_server_in_a_thread_serves_several_loops():
    """With a world from TOML."""
    with LocalCloudMap.from_toml("[shop.orders.instances.a]\n[shop.orders.instances.b]\n") as local:
        cloud_map = local.cloud_map(cache=CachePolicy(ttl=0, stale_while_revalidate=0, stale_if_error=0))

        async def count():
            return len(await cloud_map.service("shop/orders").resolve())

        assert [asyncio.run(count()) for _ in range(3)] == [2, 2, 2]
        assert "LocalCloudMap" in repr(local)
