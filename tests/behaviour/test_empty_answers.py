"""Nothing after something: doubted for a while, believed in the end; nothing after nothing is simply the answer."""

from __future__ import annotations

import pytest

from aiocloudmap import CloudMapError, EmptyAnswerHeld, HealthFilter, ServiceNotFoundError, UnavailableError

EPSILON = 0.001


def empty(stage) -> None:
    """The last instance goes."""
    stage.world.deregister("shop/orders", "orders-1")


def gone(stage) -> None:
    """The service goes, and its instances with it."""
    stage.world.deregister("shop/orders", "orders-1")
    stage.world.remove_service("shop/orders")


NOTHINGS = pytest.mark.parametrize("nothing", [empty, gone])


@NOTHINGS
async def test_the_first_nothing_after_something_is_held_off(stage, nothing):
    """Empty and not-found alike: the old answer stays in use, and the hold shows."""
    service = await stage.known()
    nothing(stage)
    stage.clock.tick(60)
    assert len(await service.resolve()) == 1
    assert service.explain().held_empty
    assert len(service.peek()) == 1


async def test_a_hold_is_told_as_an_event(stage):
    """Each doubted answer tells how many instances are kept, and for how long at most."""
    events = []
    service = await stage.known(on_event=events.append)
    empty(stage)
    stage.clock.tick(60)
    await service.resolve()
    stage.clock.tick(12)
    await service.resolve()
    held = [event for event in events if isinstance(event, EmptyAnswerHeld)]
    assert held == [EmptyAnswerHeld(service.query, 1, 30), EmptyAnswerHeld(service.query, 1, 18)]


@NOTHINGS
async def test_a_held_answer_is_refreshed_every_negative_ttl(stage, nothing):
    """AWS is asked again after negative_ttl, not before; until then the old answer is given at once."""
    service = await stage.known(negative_ttl=5)
    nothing(stage)
    stage.clock.tick(60)
    await service.resolve()
    for calls in (2, 3, 4):
        stage.clock.tick(5 - EPSILON)
        assert len(stage.at_once(service.resolve())) == 1
        await stage.settle()
        assert stage.calls == calls
        stage.clock.tick(EPSILON)
        assert len(await service.resolve()) == 1
        assert stage.calls == calls + 1


async def test_while_stale_a_held_answer_is_refreshed_behind(stage):
    """Within the stale period the hold costs no caller a wait, and AWS is asked every negative_ttl."""
    service = await stage.known(negative_ttl=5)
    empty(stage)
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


async def test_empty_is_believed_once_the_hold_time_is_over(stage):
    """The empty answer that comes at empty_hold_time after the first one is the answer; one just before is not."""
    service = await stage.known(empty_hold_time=30)
    empty(stage)
    stage.clock.tick(60)
    await service.resolve()
    stage.clock.tick(30 - EPSILON)
    assert len(await service.resolve()) == 1
    stage.clock.tick(5)
    assert len(await service.resolve()) == 0
    assert not service.explain().held_empty


async def test_empty_is_believed_at_the_very_end_of_the_hold_time(stage):
    """At exactly empty_hold_time after the first empty answer, the next one is believed."""
    service = await stage.known(empty_hold_time=30)
    empty(stage)
    stage.clock.tick(60)
    await service.resolve()
    stage.clock.tick(30)
    assert len(await service.resolve()) == 0


async def test_not_found_is_believed_once_the_hold_time_is_over(stage):
    """A service that stays away is an error in the end, remembered like any not-found."""
    service = await stage.known()
    gone(stage)
    stage.clock.tick(60)
    await service.resolve()
    stage.clock.tick(30)
    with pytest.raises(ServiceNotFoundError):
        await service.resolve()
    calls = stage.calls
    with pytest.raises(ServiceNotFoundError):
        stage.at_once(service.resolve())
    assert stage.calls == calls
    assert service.peek() is None


async def test_an_instance_that_comes_back_ends_the_hold(stage):
    """A non-empty answer is the answer, and the next empty one is doubted for the whole time again."""
    service = await stage.known()
    empty(stage)
    stage.clock.tick(60)
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
async def test_emptiness_of_a_health_filter_is_believed_at_once(stage, health):
    """Who asks for the healthy, or the unhealthy, asks for just this truth."""
    service = await stage.known({"health": health})
    empty(stage)
    stage.clock.tick(60)
    assert len(await service.resolve()) == 0


@pytest.mark.parametrize(
    "filters",
    [{"health": HealthFilter.ALL}, {"health": HealthFilter.HEALTHY_OR_ELSE_ALL}, {"where": {"QUEUE_URL": "x"}}],
)
async def test_other_filters_hold(stage, filters):
    """ALL and HEALTHY_OR_ELSE_ALL are empty by accident more often than by truth; so is an attribute filter."""
    if "where" in filters:
        stage.world.register("shop/orders", "orders-1", {"QUEUE_URL": "x"})
    service = await stage.known(filters)
    empty(stage)
    stage.clock.tick(60)
    assert len(await service.resolve()) == 1


async def test_max_age_zero_returns_the_truth_and_ends_the_hold(stage):
    """Who forces a fetch gets the empty answer, and from then on so does everybody."""
    service = await stage.known()
    empty(stage)
    stage.clock.tick(60)
    await service.resolve()
    assert len(await service.resolve(max_age=0)) == 0
    assert not service.explain().held_empty
    assert len(stage.at_once(service.resolve())) == 0


async def test_max_age_zero_raises_not_found_and_ends_the_hold(stage):
    """The same for a service that is gone."""
    service = await stage.known()
    gone(stage)
    stage.clock.tick(60)
    await service.resolve()
    with pytest.raises(ServiceNotFoundError):
        await service.resolve(max_age=0)
    with pytest.raises(ServiceNotFoundError):
        stage.at_once(service.resolve())


async def test_max_age_zero_never_begins_a_hold(stage):
    """Forced while the answer is fresh: the truth replaces it at once."""
    service = await stage.known()
    empty(stage)
    assert len(await service.resolve(max_age=0)) == 0
    assert len(stage.at_once(service.resolve())) == 0


async def test_a_positive_max_age_returns_the_truth_and_leaves_the_hold_to_others(stage):
    """Nothing older than asked for is returned; who did not ask that keeps the doubted answer."""
    service = await stage.known()
    empty(stage)
    stage.clock.tick(60)
    assert len(await service.resolve(max_age=10)) == 0
    assert len(stage.at_once(service.resolve())) == 1
    assert service.explain().held_empty


@NOTHINGS
async def test_a_hold_time_of_zero_believes_nothing_at_once(stage, nothing):
    """empty_hold_time=0 turns the doubt off."""
    service = await stage.known(empty_hold_time=0)
    nothing(stage)
    stage.clock.tick(60)
    try:
        assert len(await service.resolve()) == 0
    except ServiceNotFoundError:
        assert nothing is gone
    else:
        assert nothing is empty


async def test_a_hold_never_passes_the_hard_end(stage):
    """The old answer stays until hard where that comes before the end of the hold."""
    service = await stage.known(ttl=10, stale_while_revalidate=0, stale_if_error=10, empty_hold_time=30)
    empty(stage)
    stage.clock.tick(12)
    assert len(await service.resolve()) == 1
    stage.clock.tick(8 - EPSILON)
    assert len(await service.resolve()) == 1
    stage.clock.tick(EPSILON)
    assert len(await service.resolve()) == 0


async def test_a_held_answer_is_not_given_unasked_beyond_its_hard_end(stage):
    """negative_ttl reaches past hard: at hard the caller asks all the same."""
    service = await stage.known(ttl=10, stale_while_revalidate=0, stale_if_error=4, negative_ttl=100)
    empty(stage)
    stage.clock.tick(12)
    assert len(await service.resolve()) == 1
    stage.clock.tick(2)
    assert service.peek() is None
    assert len(await service.resolve()) == 0


async def test_a_failure_in_the_middle_of_a_hold_does_not_prolong_it(stage):
    """The hold time counts from the first empty answer, whatever fails meanwhile."""
    service = await stage.known()
    empty(stage)
    stage.clock.tick(60)
    await service.resolve()
    stage.clock.tick(5)
    stage.faults.server_error(next=1)
    assert len(await service.resolve()) == 1
    stage.clock.tick(25)
    assert len(await service.resolve()) == 0


async def test_the_old_answer_outlives_the_hold_where_aws_is_down(stage):
    """A hold does not shorten the fallback: after it the next empty answer is believed, and a failure is a failure."""
    service = await stage.known()
    empty(stage)
    stage.clock.tick(60)
    await service.resolve()
    stage.faults.server_error()
    stage.clock.tick(100)
    assert len(await service.resolve()) == 1


async def test_an_empty_first_answer_is_the_answer(stage):
    """Nothing after nothing needs no doubt."""
    empty(stage)
    service = stage.cloud_map().service("shop/orders")
    assert len(await service.resolve()) == 0
    assert not service.explain().held_empty


@pytest.mark.parametrize("negative_ttl", [5, 1])
async def test_an_empty_answer_lives_for_negative_ttl_without_a_stale_period(stage, negative_ttl):
    """At once until negative_ttl, then the caller gets the new answer, not the empty one."""
    empty(stage)
    service = stage.cloud_map(negative_ttl=negative_ttl).service("shop/orders")
    await service.resolve()
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    stage.clock.tick(negative_ttl - EPSILON)
    assert len(stage.at_once(service.resolve())) == 0
    stage.clock.tick(EPSILON)
    assert len(await service.resolve()) == 1
    assert stage.calls == 2


async def test_an_empty_answer_is_no_fallback(stage):
    """Past negative_ttl with AWS down there is an error, not the emptiness of a while ago."""
    empty(stage)
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.faults.server_error()
    stage.clock.tick(5)
    assert service.peek() is None
    with pytest.raises(UnavailableError):
        await service.resolve()


async def test_a_negative_ttl_of_zero_keeps_no_empty_answer(stage):
    """negative_ttl=0: every caller asks again."""
    empty(stage)
    service = stage.cloud_map(negative_ttl=0).service("shop/orders")
    assert [len(await service.resolve()) for _ in range(3)] == [0, 0, 0]
    assert stage.calls == 3


async def test_an_empty_answer_after_an_invalidation_is_doubted_too(stage):
    """What was invalidated stays as fallback, and so as what an empty answer is held against."""
    service = await stage.known()
    empty(stage)
    service.invalidate()
    assert len(await service.resolve()) == 1
    assert service.explain().held_empty


async def test_after_clear_an_empty_answer_is_the_answer(stage):
    """What was forgotten is held against nothing."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    empty(stage)
    cloud_map.clear()
    assert len(await service.resolve()) == 0


@pytest.mark.parametrize("filters", [{"health": HealthFilter.HEALTHY}, {"health": HealthFilter.UNHEALTHY}])
async def test_a_service_that_is_gone_is_believed_at_once_by_a_health_filter(stage, filters):
    """The hold of not-found follows the same rule as that of empty."""
    service = await stage.known(filters)
    gone(stage)
    stage.clock.tick(60)
    with pytest.raises(CloudMapError, match="shop/orders"):
        await service.resolve()
