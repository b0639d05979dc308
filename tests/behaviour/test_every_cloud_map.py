"""A test's word on every CloudMap of the process: those made before, those made meanwhile, and their handles."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import CloudMap, ConfigurationError, NamespaceNotFoundError, UnavailableError
from aiocloudmap.local import Faults, LocalBackend, World
from aiocloudmap.testing import ManualClock, every_cloud_map, reset

ORDERS = "shop/orders"


def world_with(*instances: str) -> LocalBackend:
    """A world of its own, with these instances of shop/orders."""
    world = World()
    world.add_service(ORDERS, attributes={"OWNER": "+".join(instances)})
    for instance in instances:
        world.register(ORDERS, instance, {"QUEUE_URL": f"https://example.com/{instance}"})
    return LocalBackend(world, Faults())


@pytest.fixture
def made_before():
    """What a program makes at import: a CloudMap, and a handle of it."""
    cloud_map = CloudMap(region="eu-west-1")
    return cloud_map, cloud_map.service(ORDERS)


async def ids(handle) -> list[str]:
    """Who is there."""
    return [instance.id for instance in await handle.resolve()]


async def test_those_made_before_and_those_made_meanwhile_ask_the_tests_backend(made_before):
    """And share one engine, as they would in front of AWS."""
    _, handle = made_before
    backend = world_with("a")
    with every_cloud_map(backend=backend):
        assert await ids(handle) == ["a"]
        assert await ids(CloudMap(region="eu-west-1").service(ORDERS)) == ["a"]
        assert backend.calls["DiscoverInstances"] == 1
        assert await ids(CloudMap(region="us-east-1", endpoint_url="http://127.0.0.1:9").service(ORDERS)) == ["a"]
        assert await ids(CloudMap(shared=False).service(ORDERS)) == ["a"]


async def test_no_answer_outlives_the_block_in_any_handle(made_before):
    """Neither in one that was made before, nor in one that was made inside, nor in the counts."""
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


async def test_every_question_to_a_handle_follows(made_before):
    """Whichever of its methods is the first to be called."""
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


async def test_the_tests_clock_is_the_clock_of_all(made_before):
    """Time that a test lets pass makes answers old, wherever their handles come from."""
    _, handle = made_before
    # Far ahead of the machine's own: read by that, the answer would stay fresh.
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


async def test_two_handles_of_one_question_never_read_each_others_answers_by_another_clock(made_before):
    """One that slept through the change has neither the old answer nor the old time."""
    _, handle = made_before
    asleep = CloudMap(region="eu-west-1").service(ORDERS)
    far, near = ManualClock(monotonic=1e9), ManualClock(monotonic=0)
    with every_cloud_map(backend=world_with("a"), clock=far):
        assert await ids(handle) == await ids(asleep) == ["a"]
        await handle.attributes()
    backend = world_with("b")
    with every_cloud_map(backend=backend, clock=near):
        for _ in range(2):
            assert await ids(handle) == ["b"]
            assert dict(await handle.attributes()) == {"OWNER": "b"}
        assert backend.calls.by_operation == {"DiscoverInstances": 1, "GetServiceAttributes": 1}
        near.tick(700)
        assert asleep.peek() is None
        assert await ids(asleep) == ["b"]
        assert backend.calls["DiscoverInstances"] == 2


async def test_one_with_a_backend_of_its_own_is_left_alone(made_before):
    """It was told whom to ask; its answers stay, too."""
    own = CloudMap(backend=world_with("own"))
    assert await ids(own.service(ORDERS)) == ["own"]
    with every_cloud_map(backend=world_with("a")):
        assert len(own.service(ORDERS).peek() or ()) == 1
        assert await ids(CloudMap(backend=world_with("new")).service(ORDERS)) == ["new"]


async def test_one_with_a_clock_of_its_own_keeps_that():
    """And asks the test's backend."""
    own, of_test = ManualClock(), ManualClock()
    handle = CloudMap(clock=own).service(ORDERS)
    with every_cloud_map(backend=world_with("a"), clock=of_test):
        assert await ids(handle) == ["a"]
        of_test.tick(1000)
        assert handle.explain().age == 0
        own.tick(10)
        assert handle.explain().age == 10


async def test_blocks_nest(made_before):
    """The inner word holds until its end; then the outer one does again, without the inner one's answers."""
    _, handle = made_before
    with every_cloud_map(backend=world_with("outer")):
        with every_cloud_map(backend=world_with("inner")):
            assert await ids(handle) == ["inner"]
        assert await ids(handle) == ["outer"]


async def test_calls_under_way_end_with_the_block_and_trouble_does_not_outlive_it(made_before):
    """A loop that several tests share runs nothing of the last one, and its throttling holds up nobody."""
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


async def test_afterwards_they_ask_aws_again(made_before):
    """Here without a Region to ask in, which only the way to AWS notices."""
    with every_cloud_map(backend=world_with("a")):
        await CloudMap().service(ORDERS).resolve()
    with pytest.raises(ConfigurationError, match="Region"):
        await CloudMap().service(ORDERS).resolve()


async def test_without_answers_of_its_own_a_world_is_empty_for_all(made_before):
    """A test that registered nothing finds nothing, whatever the one before it registered."""
    _, handle = made_before
    with every_cloud_map(backend=LocalBackend(World())):
        with pytest.raises(NamespaceNotFoundError) as caught:
            await handle.resolve()
    assert caught.value.service == "shop/orders"


@pytest.mark.parametrize("wrong", [{"backend": World()}, {"backend": LocalBackend}, {"clock": 5}])
def test_what_is_no_backend_and_no_clock_is_refused(wrong):
    """At once, and nothing has changed by then."""
    with pytest.raises(ConfigurationError, match="expected an object with"):
        with every_cloud_map(**wrong):
            pass


async def test_a_reset_makes_those_made_before_read_the_environment_anew(made_before, monkeypatch):
    """A Region that was missing at import is found by the CloudMap that was made then."""
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
