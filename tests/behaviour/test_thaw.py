"""A sandbox that is frozen and thawed: time that nobody saw counts all the same."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import ClockJumped, Freshness, ServiceNotFoundError, ThrottledError, UnavailableError


async def miss(cloud_map) -> None:
    """A call that goes to AWS, and by which an engine looks at its clocks."""
    with pytest.raises(ServiceNotFoundError):
        await cloud_map.service("shop/nothing").resolve(max_age=0)


async def test_frozen_time_ages_every_answer(stage):
    """After 45 s in the freezer and a miss of whatever key, an answer is 45 s older: its soft and hard come earlier."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.clock.freeze(45)
    await miss(cloud_map)
    told = service.explain()
    assert told.state is Freshness.STALE
    assert (told.age, told.expires_in) == (45, 585)
    stage.clock.freeze(585)
    await miss(cloud_map)
    assert service.peek() is None


async def test_the_first_miss_after_a_thaw_sees_it_itself(stage):
    """An answer that has passed its hard end in the freezer is not given by the very call that notices."""
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.clock.tick(60)
    stage.clock.freeze(600)
    stage.faults.server_error()
    with pytest.raises(UnavailableError):
        await service.resolve()


async def test_a_thaw_is_told(stage):
    """ClockJumped, with the seconds that passed unseen; once."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    await miss(cloud_map)
    stage.clock.freeze(45)
    await miss(cloud_map)
    await miss(cloud_map)
    assert [event for event in events if isinstance(event, ClockJumped)] == [ClockJumped(45)]


@pytest.mark.parametrize("seconds", [0.5, 1.0])
async def test_a_second_or_less_is_no_thaw(stage, seconds):
    """Clocks drift and are corrected: up to a second nothing happens."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.clock.freeze(seconds)
    await miss(cloud_map)
    assert service.explain().age == 0
    assert not any(isinstance(event, ClockJumped) for event in events)


async def test_a_step_back_is_ignored(stage):
    """A wall clock that is corrected backwards makes no answer younger, and none older."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.clock.set_back(3600)
    await miss(cloud_map)
    told = service.explain()
    assert (told.age, told.expires_in, told.refresh_in) == (0, 630, 30)
    assert not any(isinstance(event, ClockJumped) for event in events)


async def test_a_freeze_after_a_step_back_counts_from_the_step(stage):
    """What is compared is the last look, not the first one."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.clock.set_back(3600)
    await miss(cloud_map)
    stage.clock.freeze(10)
    await miss(cloud_map)
    assert service.explain().age == 10


async def test_passing_time_is_no_thaw(stage):
    """Both clocks moved: nothing was unseen."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.clock.tick(1000)
    await service.resolve()
    assert not any(isinstance(event, ClockJumped) for event in events)


async def test_an_answers_own_age_counts_the_frozen_time(stage):
    """Snapshot.age is right even before anybody has noticed the thaw."""
    snapshot = await stage.cloud_map().service("shop/orders").resolve()
    stage.clock.tick(5)
    stage.clock.freeze(40)
    assert snapshot.age == 45


async def test_max_age_counts_the_frozen_time(stage):
    """An answer from before the freeze is too old for who wants a young one."""
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.clock.freeze(45)
    stage.faults.server_error()
    with pytest.raises(UnavailableError):
        await service.resolve(max_age=10)


async def test_a_remembered_not_found_ends_in_the_freezer(stage):
    """Negative answers age like all others."""
    service = stage.cloud_map(negative_ttl=5).service("shop/new")
    with pytest.raises(ServiceNotFoundError):
        await service.resolve()
    stage.world.register("shop/new", "new-1", {"A": "1"})
    stage.clock.freeze(60)
    assert len(await service.resolve()) == 1


async def test_a_floor_of_throttling_ends_in_the_freezer(stage):
    """Nobody has asked AWS anything meanwhile."""
    cloud_map = stage.cloud_map()
    stage.faults.throttle(next=1)
    with pytest.raises(ThrottledError):
        await cloud_map.service("shop/other").resolve()
    stage.clock.freeze(60)
    assert len(await cloud_map.service("shop/orders").resolve()) == 1


async def test_an_answer_that_was_under_way_during_a_freeze_is_as_old_as_the_freeze(stage):
    """It may have been given before: better counted too old than too young."""
    service = stage.cloud_map().service("shop/orders")
    stage.faults.hold()
    waiting = asyncio.create_task(service.resolve())
    await asyncio.wait_for(stage.faults.until_held(), 10)
    stage.clock.freeze(45)
    stage.faults.release()
    snapshot = await waiting
    assert service.explain().age == 45
    assert snapshot.age == 45
