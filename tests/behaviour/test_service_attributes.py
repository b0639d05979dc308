"""attributes(): a service's own attributes, cached by the rules for instances."""

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
    """Give shop/orders an owner."""
    world.add_service("shop/orders", attributes=TEAM_A)


def attribute_calls(stage) -> int:
    """The number of GetServiceAttributes calls so far."""
    return stage.backend.calls[OPERATION]


async def test_attributes_returns_those_of_the_service_not_its_instances(stage):
    """A read-only mapping that knows its service and its age."""
    attributes = await stage.cloud_map().service("shop/orders").attributes()
    assert attributes == TEAM_A
    assert isinstance(attributes, ServiceAttributes)
    assert (str(attributes.service), attributes.age, stage.calls) == ("shop/orders", 0.0, 0)


async def test_a_fresh_answer_costs_no_call_and_does_not_suspend(stage):
    """This holds for every handle of the service, whatever its filters."""
    cloud_map = stage.cloud_map()
    first = await cloud_map.service("shop/orders").attributes()
    stage.clock.tick(29)
    again = stage.at_once(cloud_map.service("shop/orders").attributes())
    other = stage.at_once(cloud_map.service("shop/orders", health="ALL", where={"STAGE": "live"}).attributes())
    assert first is again is other
    assert (attribute_calls(stage), again.age) == (1, 29.0)


async def test_a_stale_answer_is_returned_while_one_call_renews_it(stage):
    """stale-while-revalidate, as for instances."""
    orders = stage.cloud_map().service("shop/orders")
    await orders.attributes()
    stage.world.add_service("shop/orders", attributes=TEAM_B)
    stage.clock.tick(31)
    assert [stage.at_once(orders.attributes()) for _ in range(3)] == [TEAM_A] * 3
    await stage.settle()
    assert stage.at_once(orders.attributes()) == TEAM_B
    assert attribute_calls(stage) == 2


async def test_an_outage_is_bridged_until_the_hard_end(stage):
    """stale-if-error, as for instances: one failed call, and no waiting after it."""
    orders = stage.cloud_map(stale_if_error=600).service("shop/orders")
    await orders.attributes()
    stage.faults.server_error()
    stage.clock.tick(100)
    assert await orders.attributes() == TEAM_A
    assert [stage.at_once(orders.attributes()) for _ in range(20)] == [TEAM_A] * 20
    assert attribute_calls(stage) == 2
    stage.clock.tick(530)
    with pytest.raises(UnavailableError) as caught:
        await orders.attributes()
    assert caught.value.last_good_age == 630


async def test_a_slow_call_returns_the_old_answer_after_soft_timeout(stage):
    """soft_timeout, as for instances."""
    orders = stage.cloud_map(soft_timeout=1).service("shop/orders")
    await orders.attributes()
    stage.clock.tick(100)
    with stage.faults.hold():
        waiting = await stage.start(orders.attributes())
        await stage.tick(1)
        assert waiting.result() == TEAM_A
    await stage.settle()


async def test_no_answer_within_the_deadline_is_an_error(stage):
    """discovery_timeout, as for instances."""
    orders = stage.cloud_map().service("shop/orders")
    stage.faults.hang()
    waiting = await stage.start(orders.attributes())
    await stage.tick(5)
    with pytest.raises(DeadlineError):
        waiting.result()


async def test_a_service_without_attributes_is_an_answer_like_any_other(stage):
    """Most services have no attributes: the empty answer is neither held back nor short-lived."""
    events = []
    orders = stage.cloud_map(on_event=events.append).service("shop/orders")
    await orders.attributes()
    stage.world.add_service("shop/orders", attributes={})
    orders.invalidate()
    assert await orders.attributes() == {}
    stage.clock.tick(29)
    assert stage.at_once(orders.attributes()) == {}
    assert attribute_calls(stage) == 2
    assert [type(event) for event in events] == [AttributesRefreshed] * 2
    assert [event.attributes for event in events] == [1, 0]


@pytest.mark.parametrize(
    ("name", "kind"), [("unknown/orders", NamespaceNotFoundError), ("shop/unknown", ServiceNotFoundError)]
)
async def test_a_missing_namespace_or_service_is_remembered_for_negative_ttl(stage, name, kind):
    """negative_ttl, as for instances."""
    handle = stage.cloud_map(negative_ttl=5).service(name)
    for _ in range(3):
        with pytest.raises(kind) as caught:
            await handle.attributes()
        assert str(caught.value.service) == name
    assert attribute_calls(stage) == 1
    stage.clock.tick(5)
    with pytest.raises(kind):
        await handle.attributes()
    assert attribute_calls(stage) == 2


async def test_a_service_that_disappears_is_held_back(stage):
    """As for instances: a moment between deletion and creation is not an error."""
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


async def test_concurrent_callers_share_one_call(stage):
    """A hundred handles share one call, and cancelling one caller does not affect the others."""
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
    assert (attribute_calls(stage), stats.misses, stats.coalesced, stats.refreshes, stats.entries) == (1, 100, 99, 1, 1)


async def test_throttling_of_one_plane_does_not_delay_the_other(stage):
    """AWS counts control plane calls apart from DiscoverInstances."""
    cloud_map = stage.cloud_map()
    orders, payments = cloud_map.service("shop/orders"), cloud_map.service("shop/payments")
    stage.world.register("shop/payments", "payments-1", {})
    with stage.faults.throttle(operation=OPERATION), pytest.raises(ThrottledError):
        await orders.attributes()
    assert len(await orders.resolve()) == 1
    with pytest.raises(ThrottledError):  # throttling applies to the whole engine
        await payments.attributes()
    assert attribute_calls(stage) == 1
    stage.clock.tick(31)
    with stage.faults.throttle(operation="DiscoverInstances"), pytest.raises(ThrottledError):
        await payments.resolve()
    assert await payments.attributes() == {}
    assert cloud_map.stats().throttled == 2


async def test_invalidating_a_service_covers_its_attributes(stage):
    """By handle, by name, or all: the next caller asks for instances and for attributes."""
    cloud_map = stage.cloud_map()
    orders, others = cloud_map.service("shop/orders"), cloud_map.service("shop/payments")
    stage.world.add_service("shop/payments", attributes=TEAM_B)
    await asyncio.gather(orders.resolve(), orders.attributes(), others.attributes())
    orders.invalidate()
    await asyncio.gather(orders.resolve(), orders.attributes(), others.attributes())
    assert (stage.calls, attribute_calls(stage)) == (2, 3)
    assert cloud_map.invalidate("shop/orders") == 2
    await asyncio.gather(orders.resolve(), orders.attributes(), others.attributes())
    assert (stage.calls, attribute_calls(stage)) == (3, 4)
    assert cloud_map.invalidate() == 3
    await asyncio.gather(orders.attributes(), others.attributes())
    assert attribute_calls(stage) == 6


async def test_cleared_attributes_are_forgotten(stage):
    """After clear() nothing is left to bridge an outage."""
    cloud_map = stage.cloud_map()
    orders = cloud_map.service("shop/orders")
    await orders.attributes()
    assert (cloud_map.stats().entries, cloud_map.clear(), cloud_map.stats().entries) == (1, 1, 0)
    stage.faults.server_error()
    with pytest.raises(UnavailableError):
        await orders.attributes()


async def test_frozen_time_ages_attributes_too(stage):
    """In a frozen sandbox the wall clock runs and the monotonic clock does not."""
    cloud_map = stage.cloud_map()
    orders = cloud_map.service("shop/orders")
    await orders.attributes()
    stage.world.add_service("shop/orders", attributes=TEAM_B)
    stage.clock.freeze(3600)
    with pytest.raises(ServiceNotFoundError):  # any call that goes to AWS checks the clock
        await cloud_map.service("shop/unknown").resolve()
    assert await orders.attributes() == TEAM_B


async def test_explain_covers_instances_only(stage):
    """Failures of attributes() are reported as events."""
    events = []
    orders = stage.cloud_map(on_event=events.append).service("shop/orders")
    await orders.resolve()
    with stage.faults.reset(operation=OPERATION), pytest.raises(UnavailableError):
        await orders.attributes()
    assert (orders.explain().instances, orders.explain().last_error) == (1, None)
    assert [str(event.query.service) for event in events if isinstance(event, RefreshFailed)] == ["shop/orders"]


async def test_a_shared_namespace_requires_its_owner_account(stage):
    """owner_account, as for instances."""
    cloud_map, owner = stage.cloud_map(), "210987654321"
    stage.world.add_service("theirs/orders", attributes=TEAM_B, owner_account=owner)
    with pytest.raises(NamespaceNotFoundError):
        await cloud_map.service("theirs/orders").attributes()
    assert await cloud_map.service("theirs/orders", owner_account=owner).attributes() == TEAM_B


async def test_a_backend_without_attributes_is_a_configuration_error(stage):
    """The error is raised every time and never remembered."""

    class Fixed:
        async def discover(self, query):
            return Discovery((Instance("a", query.service),))

    orders = stage.cloud_map(backend=Fixed()).service("shop/orders")
    assert len(await orders.resolve()) == 1
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="Fixed has no attributes of services"):
            await orders.attributes()
