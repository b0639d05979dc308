"""Process snapshots: answers survive a restore and are as old as they really are."""

from __future__ import annotations

import asyncio

from aiocloudmap import ClockJumped, CloudMap, Freshness
from aiocloudmap.local import LocalCloudMap
from aiocloudmap.testing import ManualClock


async def test_answers_age_by_the_time_in_the_snapshot(stage):
    """The restore makes no call to AWS and emits one event."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    service = cloud_map.service("shop/orders")
    before = await service.resolve()
    cloud_map.before_snapshot()
    stage.clock.freeze(45)
    cloud_map.after_restore()
    explained = service.explain()
    assert (explained.state, explained.age, explained.expires_in) == (Freshness.STALE, 45, 585)
    assert service.peek() is before
    assert [event for event in events if isinstance(event, ClockJumped)] == [ClockJumped(45)]
    assert stage.calls == 1


async def test_an_expired_answer_is_not_returned_after_a_restore(stage):
    """peek() does not return it either, although it reads only the monotonic clock."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    cloud_map.before_snapshot()
    stage.clock.freeze(24 * 3600)
    cloud_map.after_restore()
    assert service.peek() is None
    assert len(await service.resolve()) == 1


async def test_time_before_the_snapshot_counts_only_once(stage):
    """after_restore() does not count time again that before_snapshot() has counted."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.clock.freeze(10)
    cloud_map.before_snapshot()
    assert service.explain().age == 10
    cloud_map.after_restore()
    assert service.explain().age == 10


def test_both_hooks_work_without_an_event_loop():
    """Lambda calls them without a running loop, even before the first call."""
    clock = ManualClock()
    local = LocalCloudMap()
    local.world.register("shop/orders", "one", {})
    cloud_map = local.cloud_map(in_process=True, clock=clock)
    cloud_map.before_snapshot()
    cloud_map.after_restore()
    asyncio.run(cloud_map.service("shop/orders").resolve())
    cloud_map.before_snapshot()
    clock.freeze(45)
    cloud_map.after_restore()
    assert cloud_map.service("shop/orders").explain().age == 45


def test_neither_hook_opens_anything():
    """They load no AWS library for an unused CloudMap."""
    cloud_map = CloudMap(region="eu-west-1", shared=False)
    cloud_map.before_snapshot()
    cloud_map.after_restore()
    assert cloud_map.stats().open_connections == 0
