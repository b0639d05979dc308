"""`LocalCloudMap`, asked by our own `CloudMap`: over the wire and in process, with the same answers and errors."""

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
async def test_both_ways_give_the_same_answer(local, in_process):
    """Instances, attributes, health and revision."""
    async with local.cloud_map(in_process=in_process) as cloud_map:
        snapshot = await cloud_map.service("shop/orders").resolve()
        assert (len(snapshot), snapshot.revision, snapshot[0].health) == (1, 1, "UNKNOWN")
        assert await cloud_map.service("shop/orders").attribute("QUEUE_URL") == "https://q"


@WAYS
@pytest.mark.parametrize(
    ("name", "kind"), [("unknown/orders", NamespaceNotFoundError), ("shop/unknown", ServiceNotFoundError)]
)
async def test_both_ways_tell_what_is_not_there(local, in_process, name, kind):
    """Namespace and service are told apart."""
    async with local.cloud_map(in_process=in_process) as cloud_map:
        with pytest.raises(kind) as caught:
            await cloud_map.service(name).resolve()
        assert str(caught.value.service) == name


@WAYS
@pytest.mark.parametrize(("fault", "kind"), NAMED_FAULTS)
async def test_both_ways_make_the_same_error_of_a_fault(local, in_process, fault, kind):
    """One table for the wire, one for the process, and they agree."""
    getattr(local.faults, fault)()
    async with local.cloud_map(in_process=in_process, connections=ONE_ATTEMPT) as cloud_map:
        with pytest.raises(kind) as caught:
            await cloud_map.service("shop/orders").resolve()
        assert type(caught.value) is kind


@WAYS
async def test_both_ways_end_a_hang_at_the_deadline(local, in_process):
    """And nothing is left of it."""
    local.faults.hang()
    connections = ConnectionPolicy(discovery_timeout=0.2)
    async with local.cloud_map(in_process=in_process, connections=connections) as cloud_map:
        with pytest.raises(DeadlineError):
            await cloud_map.service("shop/orders").resolve()


@WAYS
async def test_a_held_call_is_shared_by_all_who_wait(local, in_process):
    """One question, however many ask."""
    local.faults.hold()
    async with local.cloud_map(in_process=in_process) as cloud_map:
        tasks = [asyncio.create_task(cloud_map.service("shop/orders").resolve()) for _ in range(10)]
        async with asyncio.timeout(10):
            await local.faults.until_held()
        assert local.faults.held == 1
        local.faults.release()
        assert len(set(await asyncio.gather(*tasks))) == 1


async def test_two_of_them_share_nothing(local):
    """Each asks for itself."""
    for _ in range(2):
        async with local.cloud_map() as cloud_map:
            await cloud_map.service("shop/orders").resolve()
    assert local.stats.calls["DiscoverInstances"] == 2


async def test_the_worlds_clock_is_the_cloud_maps_clock():
    """One tick for both."""
    clock = ManualClock()
    local = LocalCloudMap(World(clock=clock))
    local.world.register("shop/orders", "a")
    async with local.cloud_map(in_process=True, cache=CachePolicy(ttl=30, jitter=0)) as cloud_map:
        snapshot = await cloud_map.service("shop/orders").resolve()
        clock.tick(10)
        assert snapshot.age == 10


async def test_settings_win(local):
    """As for `CloudMap`."""
    backend = local.backend()
    async with local.cloud_map(backend=backend, cache=CachePolicy(ttl=0)) as cloud_map:
        await cloud_map.service("shop/orders").resolve()
    assert backend.calls.total == 1
    assert local.stats.calls.total == 0


def test_a_file_a_block_and_any_number_of_loops():
    """From TOML, in a thread, asked from one loop after the other."""
    with LocalCloudMap.from_toml("[shop.orders.instances.a]\n[shop.orders.instances.b]\n") as local:
        cloud_map = local.cloud_map(cache=CachePolicy(ttl=0, stale_while_revalidate=0, stale_if_error=0))

        async def count():
            return len(await cloud_map.service("shop/orders").resolve())

        assert [asyncio.run(count()) for _ in range(3)] == [2, 2, 2]
        assert "LocalCloudMap" in repr(local)
