"""No reference cycles: finished work is freed at once, without the garbage collector."""

import asyncio
import contextlib
import gc
from collections import Counter

import pytest

from aiocloudmap import UnavailableError


async def forced_call(stage, orders):
    """A caller that forces a new answer."""
    await orders.resolve(max_age=0)


async def shared_calls(stage, orders):
    """Callers that share a fetch, and callers that share the next one."""
    await asyncio.gather(*(orders.resolve(max_age=0) for _ in range(3)))


async def failed_call(stage, orders):
    """A fetch that fails."""
    stage.faults.throttle()
    with contextlib.suppress(UnavailableError):
        await orders.resolve(max_age=0)
    stage.faults.clear()
    stage.clock.tick(60)


async def cancelled_call(stage, orders):
    """A caller that is cancelled during a fetch."""
    stage.faults.hold()
    task = asyncio.create_task(orders.resolve(max_age=0))
    await asyncio.wait_for(stage.faults.until_held(), 5)
    task.cancel()
    await asyncio.wait([task])
    stage.faults.release()


async def late_call(stage, orders):
    """A fetch that exceeds the deadline."""
    stage.faults.hold()
    task = asyncio.create_task(orders.resolve(max_age=0))
    await asyncio.wait_for(stage.faults.until_held(), 5)
    stage.clock.tick(10)
    await asyncio.wait([task])
    task.exception()
    stage.faults.release()


@pytest.mark.parametrize("action", [forced_call, shared_calls, failed_call, cancelled_call, late_call])
async def test_a_finished_call_leaves_no_reference_cycle(stage, action):
    """Only this library's own objects count."""
    orders = await stage.known()
    await action(stage, orders)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            await action(stage, orders)
        await asyncio.sleep(0)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found = Counter(type(value).__qualname__ for value in gc.garbage if is_ours(value))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert found == {}


def is_ours(value) -> bool:
    """Whether the library made the object, or it is one of the library's tasks."""
    return type(value).__module__.startswith("aiocloudmap") or (
        isinstance(value, asyncio.Task) and value.get_name().startswith("aiocloudmap")
    )
