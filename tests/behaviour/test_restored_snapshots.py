"""A process that is stored and restored: answers stay, and are as old as they are."""

from __future__ import annotations

import asyncio

from aiocloudmap import ClockJumped, CloudMap, Freshness
from aiocloudmap.local import LocalCloudMap
from aiocloudmap.testing import ManualClock


async def test_answers_stay_and_are_older_by_the_time_in_the_snapshot(stage):
    """No call to AWS on the way; it is told, once."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    service = cloud_map.service("shop/orders")
    before = await service.resolve()
    cloud_map.before_snapshot()
    stage.clock.freeze(45)
    cloud_map.after_restore()
    told = service.explain()
    assert (told.state, told.age, told.expires_in) == (Freshness.STALE, 45, 585)
    assert service.peek() is before
    assert [event for event in events if isinstance(event, ClockJumped)] == [ClockJumped(45)]
    assert stage.calls == 1


async def test_an_answer_past_its_bound_is_not_given_after_a_restore(stage):
    """Not even by peek(), which looks at no clock but its own."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    cloud_map.before_snapshot()
    stage.clock.freeze(24 * 3600)
    cloud_map.after_restore()
    assert service.peek() is None
    assert len(await service.resolve()) == 1


async def test_time_before_the_snapshot_counts_only_once(stage):
    """What before_snapshot() has seen, after_restore() does not see again."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.clock.freeze(10)
    cloud_map.before_snapshot()
    assert service.explain().age == 10
    cloud_map.after_restore()
    assert service.explain().age == 10


def test_both_work_where_no_event_loop_runs():
    """As Lambda calls them; and before anything has been asked."""
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


def test_neither_opens_anything_where_nothing_was_opened():
    """A CloudMap that has not been asked needs no AWS library for it."""
    cloud_map = CloudMap(region="eu-west-1", shared=False)
    cloud_map.before_snapshot()
    cloud_map.after_restore()
    assert cloud_map.stats().open_connections == 0
