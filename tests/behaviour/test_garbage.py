"""What is over is gone at once: nothing waits for the garbage collector, which would stop the program to find it."""

import asyncio
import contextlib
import gc
from collections import Counter

import pytest

from aiocloudmap import UnavailableError


async def answered(stage, orders):
    """A caller who insists on a new answer."""
    await orders.resolve(max_age=0)


async def shared(stage, orders):
    """Callers who share a fetch, and callers who share the one after it."""
    await asyncio.gather(*(orders.resolve(max_age=0) for _ in range(3)))


async def failed(stage, orders):
    """A fetch that fails."""
    stage.faults.throttle()
    with contextlib.suppress(UnavailableError):
        await orders.resolve(max_age=0)
    stage.faults.clear()
    stage.clock.tick(60)


async def cancelled(stage, orders):
    """A caller who is cancelled in the middle of it."""
    stage.faults.hold()
    task = asyncio.create_task(orders.resolve(max_age=0))
    await asyncio.wait_for(stage.faults.until_held(), 5)
    task.cancel()
    await asyncio.wait([task])
    stage.faults.release()


async def late(stage, orders):
    """A fetch that takes too long."""
    stage.faults.hold()
    task = asyncio.create_task(orders.resolve(max_age=0))
    await asyncio.wait_for(stage.faults.until_held(), 5)
    stage.clock.tick(10)
    await asyncio.wait([task])
    task.exception()
    stage.faults.release()


@pytest.mark.parametrize("happens", [answered, shared, failed, cancelled, late])
async def test_nothing_is_left_for_the_garbage_collector(stage, happens):
    """Of this library's own objects, that is."""
    orders = await stage.known()
    await happens(stage, orders)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            await happens(stage, orders)
        await asyncio.sleep(0)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found = Counter(type(each).__qualname__ for each in gc.garbage if is_ours(each))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert found == {}


def is_ours(thing) -> bool:
    """Whether the library made it, or is a task that runs for it."""
    return type(thing).__module__.startswith("aiocloudmap") or (
        isinstance(thing, asyncio.Task) and thing.get_name().startswith("aiocloudmap")
    )
