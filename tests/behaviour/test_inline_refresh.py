"""Inline refresh: no task outlives its callers, as a sandbox that freezes between invocations requires."""

import asyncio

from aiocloudmap import CachePolicy, Freshness

INLINE = CachePolicy(jitter=0, refresh="inline")


async def test_inline_refresh_has_no_stale_period(stage):
    """Past its ttl, an answer is a fallback: the caller waits for the new one."""
    orders = stage.cloud_map(cache=INLINE).service("shop/orders")
    await orders.resolve()
    stage.world.register("shop/orders", "orders-2", {})
    stage.clock.tick(29.9)
    assert orders.explain().state is Freshness.FRESH
    stage.clock.tick(0.1)
    assert orders.explain().state is Freshness.FALLBACK
    assert len(await orders.resolve()) == 2


async def test_the_soft_timeout_cancels_the_call_and_counts_as_a_failure(stage):
    """The old answer is returned after soft_timeout, no task is left, and later callers do not wait again."""
    orders = stage.cloud_map(cache=INLINE).service("shop/orders")
    old = await orders.resolve()
    stage.clock.tick(31)
    stage.faults.hold()
    callers = [asyncio.create_task(orders.resolve()) for _ in range(3)]
    await asyncio.wait_for(stage.faults.until_held(), 5)
    stage.clock.tick(1)
    assert await asyncio.gather(*callers) == [old] * 3
    assert stage.faults.held == 0
    assert orders.explain().failures == 1
    assert await orders.resolve() is old
    assert stage.calls == 2


async def test_a_slow_answer_within_the_soft_timeout_is_used(stage):
    """Inline refresh waits for the call instead of running it in the background."""
    orders = stage.cloud_map(cache=INLINE).service("shop/orders")
    await orders.resolve()
    stage.world.register("shop/orders", "orders-2", {})
    stage.clock.tick(31)
    stage.faults.delay(0.9)
    caller = await stage.start(orders.resolve())
    stage.clock.tick(0.9)
    assert len(await caller) == 2


async def test_a_background_handle_keeps_a_call_that_an_inline_handle_left(stage):
    """Handles for one query share a call. It goes on while one of them allows that."""
    cloud_map = stage.cloud_map()
    inline = cloud_map.service("shop/orders", cache=INLINE)
    background = cloud_map.service("shop/orders")
    stage.faults.hold()
    callers = [asyncio.create_task(handle.resolve()) for handle in (inline, background)]
    await asyncio.wait_for(stage.faults.until_held(), 5)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    stage.faults.release()
    await stage.settle()
    assert background.peek() is not None
    assert stage.calls == 1
