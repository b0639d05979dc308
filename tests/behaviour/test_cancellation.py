"""Cancellation: cancelling one caller never affects another."""

import asyncio
import random

import pytest

from aiocloudmap import CachePolicy, UnavailableError


async def callers_at_the_backend(stage, count=10, **settings):
    """Start callers of one unanswered service, and wait until the backend holds their call."""
    stage.faults.hold()
    orders = stage.cloud_map(**settings).service("shop/orders")
    tasks = [asyncio.create_task(orders.resolve()) for _ in range(count)]
    await asyncio.wait_for(stage.faults.until_held(), 5)
    return orders, tasks


async def cancel(tasks):
    """Cancel tasks and check that each is cancelled."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)


@pytest.mark.parametrize("victim", range(10))
async def test_cancelling_any_one_of_ten_leaves_nine_answers(stage, victim):
    """The first caller is not special: cancelling it does not end the call."""
    _, tasks = await callers_at_the_backend(stage)
    await cancel([tasks.pop(victim)])
    stage.faults.release()
    assert [len(answer) for answer in await asyncio.gather(*tasks)] == [1] * 9
    assert stage.calls == 1


@pytest.mark.parametrize("survivor", range(10))
async def test_cancelling_nine_of_ten_leaves_one_answer(stage, survivor):
    """The last caller is answered, whichever it is and in whatever order the others go."""
    _, tasks = await callers_at_the_backend(stage)
    last = tasks.pop(survivor)
    random.Random(survivor).shuffle(tasks)
    for task in tasks:
        await cancel([task])
    stage.faults.release()
    assert len(await last) == 1
    assert stage.calls == 1


@pytest.mark.parametrize("order", [random.Random(seed).sample(range(10), 10) for seed in range(12)])
async def test_cancelling_all_callers_keeps_the_background_call(stage, order):
    """The call goes on without callers, and its answer serves the next one."""
    orders, tasks = await callers_at_the_backend(stage)
    for index in order:
        await cancel([tasks[index]])
    stage.faults.release()
    await stage.settle()
    assert orders.peek() is not None
    assert len(await orders.resolve()) == 1
    assert stage.calls == 1


async def test_a_caller_joins_a_call_whose_callers_were_all_cancelled(stage):
    """The call under way is still usable."""
    orders, tasks = await callers_at_the_backend(stage)
    await cancel(tasks)
    late = asyncio.create_task(orders.resolve())
    await asyncio.sleep(0)
    stage.faults.release()
    assert len(await late) == 1
    assert stage.calls == 1


async def test_cancelling_at_the_moment_of_an_error_leaves_nothing_unretrieved(stage):
    """A caller is cancelled after its error was set and before it runs: asyncio must not complain."""
    stage.faults.server_error()
    orders, tasks = await callers_at_the_backend(stage)
    stage.faults.release()
    while not orders.explain().failures:
        await asyncio.sleep(0)
    await cancel(tasks)


async def test_the_last_inline_caller_ends_the_call(stage):
    """With inline refresh, the call ends with its last caller and is not a failure."""
    cache = CachePolicy(refresh="inline")
    orders, tasks = await callers_at_the_backend(stage, cache=cache)
    await cancel(tasks[:9])
    assert stage.faults.held == 1
    await cancel(tasks[9:])
    assert stage.faults.held == 0
    assert orders.explain().failures == 0
    stage.faults.release()
    assert len(await orders.resolve()) == 1
    assert stage.calls == 2


async def test_a_call_cancelled_from_outside_raises_a_named_error(stage):
    """If a program cancels all other tasks, callers get an UnavailableError and the key still works."""
    orders, (caller,) = await callers_at_the_backend(stage, count=1)
    (call,) = [task for task in asyncio.all_tasks() if task.get_name().startswith("aiocloudmap")]
    call.cancel()
    with pytest.raises(UnavailableError, match="cancelled"):
        await caller
    stage.faults.release()
    assert len(await orders.resolve()) == 1


async def test_cancelling_a_forced_caller_leaves_the_call_under_way(stage):
    """A forced caller waits for the next call. Cancelling it does not affect the current one."""
    orders, tasks = await callers_at_the_backend(stage, count=2)
    forced = [asyncio.create_task(orders.resolve(max_age=0)) for _ in range(2)]
    await stage.settle()
    await cancel(forced)
    stage.faults.release()
    assert [len(answer) for answer in await asyncio.gather(*tasks)] == [1, 1]
