"""Empty answers: held back for a while after a non-empty one, accepted in the end."""

from __future__ import annotations

import pytest

from aiocloudmap import CloudMapError, EmptyAnswerHeld, HealthFilter, Service, ServiceNotFoundError, UnavailableError

EPSILON = 0.001


def remove_instances(stage) -> None:
    """Remove the last instance."""
    stage.world.deregister("shop/orders", "orders-1")


def remove_service(stage) -> None:
    """Remove the service and its instances."""
    stage.world.deregister("shop/orders", "orders-1")
    stage.world.remove_service("shop/orders")


async def emptied(stage, remove=remove_instances, **settings) -> Service:
    """A handle whose last answer has instances and is a fallback, while AWS has none."""
    service = await stage.known(**settings)
    remove(stage)
    stage.clock.tick(60)
    return service


BOTH_WAYS = pytest.mark.parametrize("remove", [remove_instances, remove_service])


@BOTH_WAYS
async def test_the_first_empty_answer_after_instances_is_held_back(stage, remove):
    """Empty and not-found alike: the old answer stays in use, and explain() reports the hold."""
    service = await emptied(stage, remove)
    assert len(await service.resolve()) == 1
    assert service.explain().held_empty
    assert len(service.peek()) == 1


async def test_each_held_answer_emits_an_event(stage):
    """The event reports how many instances are kept, and for how long at most."""
    events = []
    service = await emptied(stage, on_event=events.append)
    await service.resolve()
    stage.clock.tick(12)
    await service.resolve()
    held = [event for event in events if isinstance(event, EmptyAnswerHeld)]
    assert held == [EmptyAnswerHeld(service.query, 1, 30), EmptyAnswerHeld(service.query, 1, 18)]


@BOTH_WAYS
async def test_a_held_answer_is_refreshed_every_negative_ttl(stage, remove):
    """AWS is asked again after negative_ttl. Until then the old answer is returned at once."""
    service = await emptied(stage, remove, negative_ttl=5)
    await service.resolve()
    for calls in (2, 3, 4):
        stage.clock.tick(5 - EPSILON)
        assert len(stage.at_once(service.resolve())) == 1
        await stage.settle()
        assert stage.calls == calls
        stage.clock.tick(EPSILON)
        assert len(await service.resolve()) == 1
        assert stage.calls == calls + 1


async def test_a_held_stale_answer_is_refreshed_in_the_background(stage):
    """Within the stale period no caller waits, and AWS is asked every negative_ttl."""
    service = await stage.known(negative_ttl=5)
    remove_instances(stage)
    stage.clock.tick(30)
    stage.at_once(service.resolve())
    await stage.settle()
    assert service.explain().held_empty
    for calls in (2, 3):
        stage.clock.tick(5 - EPSILON)
        stage.at_once(service.resolve())
        await stage.settle()
        assert stage.calls == calls
        stage.clock.tick(EPSILON)
        assert len(stage.at_once(service.resolve())) == 1
        await stage.settle()
        assert stage.calls == calls + 1


async def test_an_empty_answer_is_accepted_after_empty_hold_time(stage):
    """An empty answer after empty_hold_time is accepted, one just before is not."""
    service = await emptied(stage, empty_hold_time=30)
    await service.resolve()
    stage.clock.tick(30 - EPSILON)
    assert len(await service.resolve()) == 1
    stage.clock.tick(5)
    assert len(await service.resolve()) == 0
    assert not service.explain().held_empty


async def test_an_empty_answer_is_accepted_exactly_at_empty_hold_time(stage):
    """The hold ends at exactly empty_hold_time after the first empty answer."""
    service = await emptied(stage, empty_hold_time=30)
    await service.resolve()
    stage.clock.tick(30)
    assert len(await service.resolve()) == 0


async def test_not_found_is_accepted_after_empty_hold_time(stage):
    """A service that stays away is an error, remembered like any other not-found."""
    service = await emptied(stage, remove_service)
    await service.resolve()
    stage.clock.tick(30)
    with pytest.raises(ServiceNotFoundError):
        await service.resolve()
    calls = stage.calls
    with pytest.raises(ServiceNotFoundError):
        stage.at_once(service.resolve())
    assert stage.calls == calls
    assert service.peek() is None


async def test_an_instance_that_returns_ends_the_hold(stage):
    """The next empty answer is held back for the whole time again."""
    service = await emptied(stage)
    await service.resolve()
    stage.clock.tick(20)
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    assert [each.id for each in await service.resolve()] == ["orders-2"]
    assert not service.explain().held_empty
    stage.world.deregister("shop/orders", "orders-2")
    stage.clock.tick(60)
    await service.resolve()
    stage.clock.tick(30 - EPSILON)
    assert len(await service.resolve()) == 1


@pytest.mark.parametrize("health", [HealthFilter.HEALTHY, HealthFilter.UNHEALTHY])
async def test_an_empty_answer_to_a_health_filter_is_accepted_at_once(stage, health):
    """HEALTHY and UNHEALTHY ask for exactly this."""
    service = await emptied(stage, filters={"health": health})
    assert len(await service.resolve()) == 0


@pytest.mark.parametrize(
    "filters",
    [{"health": HealthFilter.ALL}, {"health": HealthFilter.HEALTHY_OR_ELSE_ALL}, {"where": {"QUEUE_URL": "x"}}],
)
async def test_other_filters_hold_back_an_empty_answer(stage, filters):
    """With other filters an empty answer is more likely an accident."""
    if "where" in filters:
        stage.world.register("shop/orders", "orders-1", {"QUEUE_URL": "x"})
    service = await emptied(stage, filters=filters)
    assert len(await service.resolve()) == 1


async def test_max_age_zero_returns_the_empty_answer_and_ends_the_hold(stage):
    """After a forced fetch every caller gets the empty answer."""
    service = await emptied(stage)
    await service.resolve()
    assert len(await service.resolve(max_age=0)) == 0
    assert not service.explain().held_empty
    assert len(stage.at_once(service.resolve())) == 0


async def test_max_age_zero_raises_not_found_and_ends_the_hold(stage):
    """The same for a service that is gone."""
    service = await emptied(stage, remove_service)
    await service.resolve()
    with pytest.raises(ServiceNotFoundError):
        await service.resolve(max_age=0)
    with pytest.raises(ServiceNotFoundError):
        stage.at_once(service.resolve())


async def test_max_age_zero_never_starts_a_hold(stage):
    """A forced empty answer replaces a fresh one at once."""
    service = await stage.known()
    remove_instances(stage)
    assert len(await service.resolve(max_age=0)) == 0
    assert len(stage.at_once(service.resolve())) == 0


async def test_a_positive_max_age_returns_the_empty_answer_but_keeps_the_hold(stage):
    """Callers without max_age keep getting the old answer."""
    service = await emptied(stage)
    assert len(await service.resolve(max_age=10)) == 0
    assert len(stage.at_once(service.resolve())) == 1
    assert service.explain().held_empty


@BOTH_WAYS
async def test_an_empty_hold_time_of_zero_accepts_at_once(stage, remove):
    """empty_hold_time=0 turns holding off."""
    service = await emptied(stage, remove, empty_hold_time=0)
    try:
        assert len(await service.resolve()) == 0
    except ServiceNotFoundError:
        assert remove is remove_service
    else:
        assert remove is remove_instances


async def test_a_hold_never_outlives_the_hard_end(stage):
    """The old answer ends at its hard end if that comes before the end of the hold."""
    service = await stage.known(ttl=10, stale_while_revalidate=0, stale_if_error=10, empty_hold_time=30)
    remove_instances(stage)
    stage.clock.tick(12)
    assert len(await service.resolve()) == 1
    stage.clock.tick(8 - EPSILON)
    assert len(await service.resolve()) == 1
    stage.clock.tick(EPSILON)
    assert len(await service.resolve()) == 0


async def test_negative_ttl_does_not_extend_a_held_answer(stage):
    """If negative_ttl reaches past the hard end, the caller asks at the hard end."""
    service = await stage.known(ttl=10, stale_while_revalidate=0, stale_if_error=4, negative_ttl=100)
    remove_instances(stage)
    stage.clock.tick(12)
    assert len(await service.resolve()) == 1
    stage.clock.tick(2)
    assert service.peek() is None
    assert len(await service.resolve()) == 0


async def test_a_failure_during_a_hold_does_not_extend_it(stage):
    """The hold counts from the first empty answer, whatever fails in between."""
    service = await emptied(stage)
    await service.resolve()
    stage.clock.tick(5)
    stage.faults.server_error(next=1)
    assert len(await service.resolve()) == 1
    stage.clock.tick(25)
    assert len(await service.resolve()) == 0


async def test_an_outage_after_a_hold_keeps_the_old_answer(stage):
    """A hold does not shorten the fallback period."""
    service = await emptied(stage)
    await service.resolve()
    stage.faults.server_error()
    stage.clock.tick(100)
    assert len(await service.resolve()) == 1


async def test_an_empty_first_answer_is_accepted(stage):
    """Without an answer to keep, nothing is held back."""
    remove_instances(stage)
    service = stage.cloud_map().service("shop/orders")
    assert len(await service.resolve()) == 0
    assert not service.explain().held_empty


@pytest.mark.parametrize("negative_ttl", [5, 1])
async def test_an_empty_answer_lives_for_negative_ttl(stage, negative_ttl):
    """It has no stale period: after negative_ttl the caller gets the new answer."""
    remove_instances(stage)
    service = stage.cloud_map(negative_ttl=negative_ttl).service("shop/orders")
    await service.resolve()
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    stage.clock.tick(negative_ttl - EPSILON)
    assert len(stage.at_once(service.resolve())) == 0
    stage.clock.tick(EPSILON)
    assert len(await service.resolve()) == 1
    assert stage.calls == 2


async def test_an_empty_answer_is_not_a_fallback(stage):
    """Past negative_ttl with AWS down, the caller gets an error."""
    remove_instances(stage)
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.faults.server_error()
    stage.clock.tick(5)
    assert service.peek() is None
    with pytest.raises(UnavailableError):
        await service.resolve()


async def test_a_negative_ttl_of_zero_keeps_no_empty_answer(stage):
    """With negative_ttl=0 every caller asks again."""
    remove_instances(stage)
    service = stage.cloud_map(negative_ttl=0).service("shop/orders")
    assert [len(await service.resolve()) for _ in range(3)] == [0, 0, 0]
    assert stage.calls == 3


async def test_an_empty_answer_after_an_invalidation_is_held_back(stage):
    """An invalidated answer stays as fallback, so an empty answer is compared with it."""
    service = await stage.known()
    remove_instances(stage)
    service.invalidate()
    assert len(await service.resolve()) == 1
    assert service.explain().held_empty


async def test_an_empty_answer_after_clear_is_accepted(stage):
    """clear() leaves nothing to keep."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    remove_instances(stage)
    cloud_map.clear()
    assert len(await service.resolve()) == 0


@pytest.mark.parametrize("filters", [{"health": HealthFilter.HEALTHY}, {"health": HealthFilter.UNHEALTHY}])
async def test_a_health_filter_accepts_not_found_at_once(stage, filters):
    """Not-found follows the same rule as an empty answer."""
    service = await emptied(stage, remove_service, filters=filters)
    with pytest.raises(CloudMapError, match="shop/orders"):
        await service.resolve()


async def test_a_hold_ends_although_a_refresh_fails_during_it(stage):
    """An answer of an hour's ttl is not served for the rest of the hour: the next empty answer is believed."""
    service = await stage.known(ttl=3600, empty_hold_time=30)
    stage.world.deregister("shop/orders", "orders-1")
    stage.clock.tick(10)
    assert stage.ids(await service.resolve(max_age=5)) == []
    assert stage.ids(await service.resolve()) == ["orders-1"]
    stage.clock.tick(6)
    stage.faults.server_error()
    assert stage.ids(await service.resolve()) == ["orders-1"]
    await stage.settle()
    stage.faults.clear()
    for _ in range(6):
        await stage.tick(6)
        await service.resolve()
        await stage.settle()
    assert stage.ids(await service.resolve()) == []
