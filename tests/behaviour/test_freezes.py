"""Frozen sandboxes: time that passes during a freeze ages every answer."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import ClockJumped, Freshness, ServiceNotFoundError, ThrottledError, UnavailableError


async def miss(cloud_map) -> None:
    """Make a call that goes to AWS, which makes the engine check its clocks."""
    with pytest.raises(ServiceNotFoundError):
        await cloud_map.service("shop/nothing").resolve(max_age=0)


def jumps(events) -> list[ClockJumped]:
    """The reports of a freeze among these events."""
    return [event for event in events if isinstance(event, ClockJumped)]


async def test_frozen_time_ages_every_answer(stage):
    """After a freeze of 45 s and any miss, every answer is 45 s older."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.clock.freeze(45)
    await miss(cloud_map)
    explained = service.explain()
    assert explained.state is Freshness.STALE
    assert (explained.age, explained.expires_in) == (45, 585)
    stage.clock.freeze(585)
    await miss(cloud_map)
    assert service.peek() is None


async def test_the_first_miss_after_a_freeze_notices_it(stage):
    """The call that notices the freeze does not return an answer past its hard end."""
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.clock.tick(60)
    stage.clock.freeze(600)
    stage.faults.server_error()
    with pytest.raises(UnavailableError):
        await service.resolve()


async def test_a_freeze_emits_one_event(stage):
    """ClockJumped reports the seconds that passed unnoticed, once."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    await miss(cloud_map)
    stage.clock.freeze(45)
    await miss(cloud_map)
    await miss(cloud_map)
    assert jumps(events) == [ClockJumped(45)]


@pytest.mark.parametrize("seconds", [0.5, 1.0])
async def test_a_second_or_less_is_not_a_freeze(stage, seconds):
    """Clocks drift and are corrected: up to a second nothing happens."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.clock.freeze(seconds)
    await miss(cloud_map)
    assert service.explain().age == 0
    assert jumps(events) == []


async def test_a_clock_step_back_is_ignored(stage):
    """A wall clock that is set back changes no age."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.clock.set_back(3600)
    await miss(cloud_map)
    explained = service.explain()
    assert (explained.age, explained.expires_in, explained.refresh_in) == (0, 630, 30)
    assert jumps(events) == []


async def test_a_freeze_after_a_step_back_counts_in_full(stage):
    """The clock is compared with its last reading, not with its first."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.clock.set_back(3600)
    await miss(cloud_map)
    stage.clock.freeze(10)
    await miss(cloud_map)
    assert service.explain().age == 10


async def test_passing_time_is_not_a_freeze(stage):
    """When both clocks move, no time passed unnoticed."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.clock.tick(1000)
    await service.resolve()
    assert jumps(events) == []


async def test_snapshot_age_counts_frozen_time(stage):
    """Snapshot.age is right even before the engine notices the freeze."""
    snapshot = await stage.cloud_map().service("shop/orders").resolve()
    stage.clock.tick(5)
    stage.clock.freeze(40)
    assert snapshot.age == 45


async def test_max_age_counts_frozen_time(stage):
    """An answer from before the freeze is too old for a small max_age."""
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.clock.freeze(45)
    stage.faults.server_error()
    with pytest.raises(UnavailableError):
        await service.resolve(max_age=10)


async def test_a_remembered_not_found_expires_during_a_freeze(stage):
    """Negative answers age like all others."""
    service = stage.cloud_map(negative_ttl=5).service("shop/new")
    with pytest.raises(ServiceNotFoundError):
        await service.resolve()
    stage.world.register("shop/new", "new-1", {"A": "1"})
    stage.clock.freeze(60)
    assert len(await service.resolve()) == 1


async def test_throttling_ends_during_a_freeze(stage):
    """The backoff after throttling counts frozen time."""
    cloud_map = stage.cloud_map()
    stage.faults.throttle(next=1)
    with pytest.raises(ThrottledError):
        await cloud_map.service("shop/other").resolve()
    stage.clock.freeze(60)
    assert len(await cloud_map.service("shop/orders").resolve()) == 1


async def test_an_answer_in_flight_during_a_freeze_is_aged_by_it(stage):
    """AWS may have sent it before the freeze, so the library assumes the greater age."""
    service = stage.cloud_map().service("shop/orders")
    stage.faults.hold()
    waiting = asyncio.create_task(service.resolve())
    await asyncio.wait_for(stage.faults.until_held(), 10)
    stage.clock.freeze(45)
    stage.faults.release()
    snapshot = await waiting
    assert service.explain().age == 45
    assert snapshot.age == 45
