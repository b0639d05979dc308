"""A service's own attributes, kept by the machinery that keeps instances."""

import asyncio

import pytest

from aiocloudmap import (
    AttributesRefreshed,
    ConfigurationError,
    DeadlineError,
    Discovery,
    EmptyAnswerHeld,
    Instance,
    NamespaceNotFoundError,
    RefreshFailed,
    ServiceAttributes,
    ServiceNotFoundError,
    ThrottledError,
    UnavailableError,
)

OPERATION = "GetServiceAttributes"
TEAM_A = {"OWNER": "team-a"}
TEAM_B = {"OWNER": "team-b"}


@pytest.fixture(autouse=True)
def owned(world):
    """shop/orders belongs to somebody."""
    world.add_service("shop/orders", attributes=TEAM_A)


def asked(stage) -> int:
    """How many GetServiceAttributes there have been."""
    return stage.backend.calls[OPERATION]


async def test_a_service_tells_its_own_attributes_not_those_of_its_instances(stage):
    """As a read-only mapping that knows whose it is and how old."""
    attributes = await stage.cloud_map().service("shop/orders").attributes()
    assert attributes == TEAM_A
    assert isinstance(attributes, ServiceAttributes)
    assert (str(attributes.service), attributes.age, stage.calls) == ("shop/orders", 0.0, 0)


async def test_a_fresh_answer_costs_no_call_and_does_not_suspend(stage):
    """For every handle, whatever its filters: they have nothing to say here."""
    cloud_map = stage.cloud_map()
    first = await cloud_map.service("shop/orders").attributes()
    stage.clock.tick(29)
    again = stage.at_once(cloud_map.service("shop/orders").attributes())
    other = stage.at_once(cloud_map.service("shop/orders", health="ALL", where={"STAGE": "live"}).attributes())
    assert first is again is other
    assert (asked(stage), again.age) == (1, 29.0)


async def test_a_stale_answer_is_given_while_one_call_renews_it(stage):
    """As for instances: stale-while-revalidate."""
    orders = stage.cloud_map().service("shop/orders")
    await orders.attributes()
    stage.world.add_service("shop/orders", attributes=TEAM_B)
    stage.clock.tick(31)
    assert [stage.at_once(orders.attributes()) for _ in range(3)] == [TEAM_A] * 3
    await stage.settle()
    assert stage.at_once(orders.attributes()) == TEAM_B
    assert asked(stage) == 2


async def test_an_outage_is_bridged_until_the_hard_end_and_no_longer(stage):
    """As for instances: stale-if-error, one failed call, no waiting after it."""
    orders = stage.cloud_map(stale_if_error=600).service("shop/orders")
    await orders.attributes()
    stage.faults.server_error()
    stage.clock.tick(100)
    assert await orders.attributes() == TEAM_A
    assert [stage.at_once(orders.attributes()) for _ in range(20)] == [TEAM_A] * 20
    assert asked(stage) == 2
    stage.clock.tick(530)
    with pytest.raises(UnavailableError) as caught:
        await orders.attributes()
    assert caught.value.last_good_age == 630


async def test_a_slow_call_gives_way_to_the_old_answer(stage):
    """As for instances: soft_timeout."""
    orders = stage.cloud_map(soft_timeout=1).service("shop/orders")
    await orders.attributes()
    stage.clock.tick(100)
    with stage.faults.hold():
        waiting = asyncio.ensure_future(orders.attributes())
        await stage.settle()
        await stage.tick(1)
        assert waiting.result() == TEAM_A
    await stage.settle()


async def test_no_answer_within_the_deadline_is_an_error(stage):
    """As for instances: discovery_timeout."""
    orders = stage.cloud_map().service("shop/orders")
    stage.faults.hang()
    waiting = asyncio.ensure_future(orders.attributes())
    await stage.settle()
    await stage.tick(5)
    with pytest.raises(DeadlineError):
        waiting.result()


async def test_no_attributes_are_a_full_answer(stage):
    """Most services have none: nothing to doubt, and no reason to ask again soon."""
    events = []
    orders = stage.cloud_map(on_event=events.append).service("shop/orders")
    await orders.attributes()
    stage.world.add_service("shop/orders", attributes={})
    orders.invalidate()
    assert await orders.attributes() == {}
    stage.clock.tick(29)
    assert stage.at_once(orders.attributes()) == {}
    assert asked(stage) == 2
    assert [type(event) for event in events] == [AttributesRefreshed] * 2
    assert [event.attributes for event in events] == [1, 0]


@pytest.mark.parametrize(
    ("name", "kind"), [("unknown/orders", NamespaceNotFoundError), ("shop/unknown", ServiceNotFoundError)]
)
async def test_what_is_not_there_is_told_apart_and_remembered_for_a_while(stage, name, kind):
    """As for instances: negative_ttl."""
    handle = stage.cloud_map(negative_ttl=5).service(name)
    for _ in range(3):
        with pytest.raises(kind) as caught:
            await handle.attributes()
        assert str(caught.value.service) == name
    assert asked(stage) == 1
    stage.clock.tick(5)
    with pytest.raises(kind):
        await handle.attributes()
    assert asked(stage) == 2


async def test_a_service_that_is_suddenly_not_found_is_doubted(stage):
    """As for its instances: a moment between deletion and creation is no reason to fail."""
    events = []
    orders = stage.cloud_map(on_event=events.append, empty_hold_time=30).service("shop/orders")
    await orders.attributes()
    stage.world.remove_service("shop/orders")
    orders.invalidate()
    assert await orders.attributes() == TEAM_A
    assert [(type(event), event.kept) for event in events[1:]] == [(EmptyAnswerHeld, 1)]
    assert "attribute(s) of its own" in str(events[1])
    stage.clock.tick(31)
    with pytest.raises(ServiceNotFoundError):
        await orders.attributes()


async def test_callers_at_once_share_one_call(stage):
    """A hundred, by handles of their own; the cancelling of one harms nobody."""
    cloud_map = stage.cloud_map()
    with stage.faults.hold():
        handles = [cloud_map.service("shop/orders", where={"N": str(n)}) for n in range(100)]
        callers = [asyncio.ensure_future(handle.attributes()) for handle in handles]
        await stage.settle()
        callers[0].cancel()
        await stage.settle()
    answers = await asyncio.gather(*callers[1:])
    assert answers == [TEAM_A] * 99
    stats = cloud_map.stats()
    assert (asked(stage), stats.misses, stats.coalesced, stats.refreshes, stats.entries) == (1, 100, 99, 1, 1)


async def test_throttling_of_one_plane_does_not_hold_up_the_other(stage):
    """AWS counts calls to the control plane apart from DiscoverInstances."""
    cloud_map = stage.cloud_map()
    orders, payments = cloud_map.service("shop/orders"), cloud_map.service("shop/payments")
    stage.world.register("shop/payments", "payments-1", {})
    with stage.faults.throttle(operation=OPERATION), pytest.raises(ThrottledError):
        await orders.attributes()
    assert len(await orders.resolve()) == 1
    with pytest.raises(ThrottledError):  # the floor is the engine's
        await payments.attributes()
    assert asked(stage) == 1
    stage.clock.tick(31)
    with stage.faults.throttle(operation="DiscoverInstances"), pytest.raises(ThrottledError):
        await payments.resolve()
    assert await payments.attributes() == {}
    assert cloud_map.stats().throttled == 2


async def test_invalidating_a_service_covers_its_attributes(stage):
    """By handle, by name, or all: the next caller asks, for instances and for attributes."""
    cloud_map = stage.cloud_map()
    orders, others = cloud_map.service("shop/orders"), cloud_map.service("shop/payments")
    stage.world.add_service("shop/payments", attributes=TEAM_B)
    await asyncio.gather(orders.resolve(), orders.attributes(), others.attributes())
    orders.invalidate()
    await asyncio.gather(orders.resolve(), orders.attributes(), others.attributes())
    assert (stage.calls, asked(stage)) == (2, 3)
    assert cloud_map.invalidate("shop/orders") == 2
    await asyncio.gather(orders.resolve(), orders.attributes(), others.attributes())
    assert (stage.calls, asked(stage)) == (3, 4)
    assert cloud_map.invalidate() == 3
    await asyncio.gather(orders.attributes(), others.attributes())
    assert asked(stage) == 6


async def test_cleared_attributes_are_forgotten(stage):
    """Nothing is left to bridge an outage with."""
    cloud_map = stage.cloud_map()
    orders = cloud_map.service("shop/orders")
    await orders.attributes()
    assert (cloud_map.stats().entries, cloud_map.clear(), cloud_map.stats().entries) == (1, 1, 0)
    stage.faults.server_error()
    with pytest.raises(UnavailableError):
        await orders.attributes()


async def test_time_that_passed_unseen_ages_attributes_too(stage):
    """A frozen sandbox: the wall clock has run, the monotonic one has not."""
    cloud_map = stage.cloud_map()
    orders = cloud_map.service("shop/orders")
    await orders.attributes()
    stage.world.add_service("shop/orders", attributes=TEAM_B)
    stage.clock.freeze(3600)
    with pytest.raises(ServiceNotFoundError):  # any call that goes the cold way looks at the clock
        await cloud_map.service("shop/unknown").resolve()
    assert await orders.attributes() == TEAM_B


async def test_explain_speaks_of_instances(stage):
    """What became of the attributes is told by events."""
    events = []
    orders = stage.cloud_map(on_event=events.append).service("shop/orders")
    await orders.resolve()
    with stage.faults.reset(operation=OPERATION), pytest.raises(UnavailableError):
        await orders.attributes()
    assert (orders.explain().instances, orders.explain().last_error) == (1, None)
    assert [str(event.query.service) for event in events if isinstance(event, RefreshFailed)] == ["shop/orders"]


async def test_a_shared_namespace_needs_its_owner(stage):
    """As for instances: owner_account."""
    cloud_map, owner = stage.cloud_map(), "210987654321"
    stage.world.add_service("theirs/orders", attributes=TEAM_B, owner_account=owner)
    with pytest.raises(NamespaceNotFoundError):
        await cloud_map.service("theirs/orders").attributes()
    assert await cloud_map.service("theirs/orders", owner_account=owner).attributes() == TEAM_B


async def test_a_backend_that_only_discovers_says_so(stage):
    """It is a setting that is wrong: told plainly, and never remembered."""

    class Fixed:
        async def discover(self, query):
            return Discovery((Instance("a", query.service),))

    orders = stage.cloud_map(backend=Fixed()).service("shop/orders")
    assert len(await orders.resolve()) == 1
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="Fixed has no attributes of services"):
            await orders.attributes()
