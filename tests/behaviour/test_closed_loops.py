"""Event loops that are closed in the middle of a call keep nothing alive."""

from __future__ import annotations

import asyncio
import gc
import weakref


def test_closed_loops_with_a_refresh_in_flight_are_not_kept(stage):
    """A loop per invocation, closed while a stale answer is refreshed: loops and tasks are collected."""
    service = stage.cloud_map(ttl=1, stale_while_revalidate=3600).service("shop/orders")
    asyncio.run(service.resolve())
    loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
    for _ in range(50):
        stage.clock.tick(10)
        stage.faults.delay(5)
        loop = asyncio.new_event_loop()
        loops.add(loop)
        assert stage.ids(loop.run_until_complete(service.resolve())) == ["orders-1"]
        assert service.explain().in_flight is False  # on no running loop
        loop.close()
        stage.clock._timers.clear()
    stage.faults.clear()
    asyncio.run(service.resolve(max_age=0))
    del loop
    gc.collect()
    assert len(loops) == 0
