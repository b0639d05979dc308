"""every_cloud_map(): a test overrides the backend and clock of every CloudMap in the process."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import CloudMap, ConfigurationError, NamespaceNotFoundError, UnavailableError
from aiocloudmap.local import Faults, LocalBackend, World
from aiocloudmap.testing import ManualClock, every_cloud_map, reset

ORDERS = "shop/orders"


def world_with(*instances: str) -> LocalBackend:
    """A backend with these instances of shop/orders."""
    world = World()
    world.add_service(ORDERS, attributes={"OWNER": "+".join(instances)})
    for instance in instances:
        world.register(ORDERS, instance, {"QUEUE_URL": f"https://example.com/{instance}"})
    return LocalBackend(world, Faults())


@pytest.fixture
def made_before():
    """A CloudMap and a handle that a program made at import."""
    cloud_map = CloudMap(region="eu-west-1")
    return cloud_map, cloud_map.service(ORDERS)


async def ids(handle) -> list[str]:
    """The ids of the instances."""
    return [instance.id for instance in await handle.resolve()]


async def test_cloud_maps_made_before_and_inside_use_the_backend(made_before):
    """They share one engine, as they would with AWS."""
    _, handle = made_before
    backend = world_with("a")
    with every_cloud_map(backend=backend):
        assert await ids(handle) == ["a"]
        assert await ids(CloudMap(region="eu-west-1").service(ORDERS)) == ["a"]
        assert backend.calls["DiscoverInstances"] == 1
        assert await ids(CloudMap(region="us-east-1", endpoint_url="http://127.0.0.1:9").service(ORDERS)) == ["a"]
        assert await ids(CloudMap(shared=False).service(ORDERS)) == ["a"]


async def test_no_answer_outlives_the_block(made_before):
    """Neither in handles made before or inside, nor in the counts."""
    cloud_map, handle = made_before
    with every_cloud_map(backend=world_with("a")):
        inside = CloudMap(region="eu-west-1").service(ORDERS)
        assert await ids(handle) == await ids(inside) == ["a"]
        await handle.attributes()
    assert [handle.peek(), inside.peek(), cloud_map.service(ORDERS).peek()] == [None, None, None]
    assert (cloud_map.stats().entries, cloud_map.stats().refreshes) == (0, 0)
    with every_cloud_map(backend=world_with("b")):
        assert await ids(handle) == await ids(inside) == ["b"]
        assert dict(await handle.attributes()) == {"OWNER": "b"}


async def test_every_method_of_a_handle_follows_the_override(made_before):
    """Whichever method is called first."""
    cloud_map, _ = made_before
    handles = {name: CloudMap(region="eu-west-1").service(ORDERS) for name in ("peek", "explain", "attributes", "pick")}
    invalidating = cloud_map.service(ORDERS)
    backend = world_with("a")
    with every_cloud_map(backend=backend):
        await CloudMap(region="eu-west-1").service(ORDERS).resolve()
        assert len(handles["peek"].peek() or ()) == 1
        assert handles["explain"].explain().instances == 1
        assert dict(await handles["attributes"].attributes()) == {"OWNER": "a"}
        assert (await handles["pick"].pick()).id == "a"
        assert backend.calls["DiscoverInstances"] == 1
        invalidating.invalidate()
        await handles["pick"].resolve()
        assert backend.calls["DiscoverInstances"] == 2


async def test_every_handle_uses_the_clock_of_the_test(made_before):
    """Time that the test lets pass ages answers in every handle."""
    _, handle = made_before
    # Far ahead of the machine's clock, by which the answer would stay fresh.
    backend, clock = world_with("a"), ManualClock(monotonic=1e9)
    with every_cloud_map(backend=backend, clock=clock):
        for _ in range(2):
            await handle.resolve()
        assert backend.calls["DiscoverInstances"] == 1
        clock.tick(700)
        await handle.resolve()
        assert backend.calls["DiscoverInstances"] == 2
        again = CloudMap(region="eu-west-1").service(ORDERS)
        assert again.explain().age == 0


async def test_an_unused_handle_follows_a_later_override(made_before):
    """A handle that was not used in between has neither the old answer nor the old clock."""
    _, handle = made_before
    unused = CloudMap(region="eu-west-1").service(ORDERS)
    far, near = ManualClock(monotonic=1e9), ManualClock(monotonic=0)
    with every_cloud_map(backend=world_with("a"), clock=far):
        assert await ids(handle) == await ids(unused) == ["a"]
        await handle.attributes()
    backend = world_with("b")
    with every_cloud_map(backend=backend, clock=near):
        for _ in range(2):
            assert await ids(handle) == ["b"]
            assert dict(await handle.attributes()) == {"OWNER": "b"}
        assert backend.calls.by_operation == {"DiscoverInstances": 1, "GetServiceAttributes": 1}
        near.tick(700)
        assert unused.peek() is None
        assert await ids(unused) == ["b"]
        assert backend.calls["DiscoverInstances"] == 2


async def test_a_cloud_map_with_its_own_backend_is_not_overridden(made_before):
    """It keeps its answers, too."""
    own = CloudMap(backend=world_with("own"))
    assert await ids(own.service(ORDERS)) == ["own"]
    with every_cloud_map(backend=world_with("a")):
        assert len(own.service(ORDERS).peek() or ()) == 1
        assert await ids(CloudMap(backend=world_with("new")).service(ORDERS)) == ["new"]


async def test_a_cloud_map_with_its_own_clock_keeps_it():
    """It still uses the test's backend."""
    own, of_test = ManualClock(), ManualClock()
    handle = CloudMap(clock=own).service(ORDERS)
    with every_cloud_map(backend=world_with("a"), clock=of_test):
        assert await ids(handle) == ["a"]
        of_test.tick(1000)
        assert handle.explain().age == 0
        own.tick(10)
        assert handle.explain().age == 10


async def test_blocks_nest(made_before):
    """After the inner block the outer override applies again, without the inner answers."""
    _, handle = made_before
    with every_cloud_map(backend=world_with("outer")):
        with every_cloud_map(backend=world_with("inner")):
            assert await ids(handle) == ["inner"]
        assert await ids(handle) == ["outer"]


async def test_calls_and_throttling_end_with_the_block(made_before):
    """A loop shared by several tests runs no calls of an earlier test."""
    _, handle = made_before
    backend = world_with("a")
    backend.faults.throttle(next=1)
    with every_cloud_map(backend=backend, clock=ManualClock()):
        with pytest.raises(UnavailableError):
            await handle.resolve()
    backend.faults.hang()
    with every_cloud_map(backend=backend, clock=ManualClock()):
        waiting = asyncio.create_task(handle.resolve())
        while not backend.calls.of(ORDERS) > 1:
            await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="cancelled"):
        await waiting
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("aiocloudmap")] == []
    with every_cloud_map(backend=world_with("b")):
        assert await ids(handle) == ["b"]


async def test_after_the_block_cloud_maps_use_aws_again(made_before):
    """The missing Region shows it, as only AWS requires one."""
    with every_cloud_map(backend=world_with("a")):
        await CloudMap().service(ORDERS).resolve()
    with pytest.raises(ConfigurationError, match="Region"):
        await CloudMap().service(ORDERS).resolve()


async def test_an_empty_world_is_empty_for_every_cloud_map(made_before):
    """Registrations of earlier tests are gone."""
    _, handle = made_before
    with every_cloud_map(backend=LocalBackend(World())):
        with pytest.raises(NamespaceNotFoundError) as caught:
            await handle.resolve()
    assert caught.value.service == "shop/orders"


@pytest.mark.parametrize("wrong", [{"backend": World()}, {"backend": LocalBackend}, {"clock": 5}])
def test_an_invalid_backend_or_clock_is_refused(wrong):
    """At once, before anything is overridden."""
    with pytest.raises(ConfigurationError, match="expected an object with"):
        with every_cloud_map(**wrong):
            pass


async def test_reset_makes_cloud_maps_read_the_environment_again(made_before, monkeypatch):
    """A CloudMap that was made at import without a Region finds one that was set later."""
    cloud_map = CloudMap()
    with pytest.raises(ConfigurationError, match="Region"):
        await cloud_map.client("sqs")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    first = await cloud_map.client("sqs")
    assert first.meta.region_name == "eu-west-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    reset()
    assert (await cloud_map.client("sqs")).meta.region_name == "us-east-1"
