"""Nobody's cancellation is anybody else's trouble."""

import asyncio
import random

import pytest

from aiocloudmap import CachePolicy, CloudMap, DeadlineError, Discovery, Query, UnavailableError


async def waiting_at_the_backend(stage, count=10, **settings):
    """`count` callers of one cold key, and the backend that does not answer yet."""
    stage.faults.hold()
    orders = stage.cloud_map(**settings).service("shop/orders")
    tasks = [asyncio.create_task(orders.resolve()) for _ in range(count)]
    await asyncio.wait_for(stage.faults.until_held(), 5)
    return orders, tasks


async def cancelled(tasks):
    """Cancel them, and see that each is cancelled."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)


@pytest.mark.parametrize("victim", range(10))
async def test_cancelling_any_one_of_ten_leaves_nine_answers(stage, victim):
    """The first caller is not special: its cancellation does not end the call that it began."""
    _, tasks = await waiting_at_the_backend(stage)
    await cancelled([tasks.pop(victim)])
    stage.faults.release()
    assert [len(answer) for answer in await asyncio.gather(*tasks)] == [1] * 9
    assert stage.calls == 1


@pytest.mark.parametrize("survivor", range(10))
async def test_cancelling_any_nine_of_ten_in_any_order_leaves_one_answer(stage, survivor):
    """The last one left is answered, whichever it is."""
    _, tasks = await waiting_at_the_backend(stage)
    last = tasks.pop(survivor)
    random.Random(survivor).shuffle(tasks)
    for task in tasks:
        await cancelled([task])
    stage.faults.release()
    assert len(await last) == 1
    assert stage.calls == 1


@pytest.mark.parametrize("order", [random.Random(seed).sample(range(10), 10) for seed in range(12)])
async def test_cancelling_all_ten_keeps_the_call_and_the_next_caller_is_answered(stage, order):
    """In the background the call goes on without callers, and what it brings serves the next one."""
    orders, tasks = await waiting_at_the_backend(stage)
    for index in order:
        await cancelled([tasks[index]])
    stage.faults.release()
    await stage.settle()
    assert orders.peek() is not None
    assert len(await orders.resolve()) == 1
    assert stage.calls == 1


async def test_a_caller_that_comes_after_all_were_cancelled_joins_the_call(stage):
    """The key is not poisoned while the call is still under way."""
    orders, tasks = await waiting_at_the_backend(stage)
    await cancelled(tasks)
    late = asyncio.create_task(orders.resolve())
    await asyncio.sleep(0)
    stage.faults.release()
    assert len(await late) == 1
    assert stage.calls == 1


async def test_cancelling_in_the_moment_of_the_answer_leaves_nothing_unretrieved(stage):
    """A caller that was told an error and is cancelled before it runs again; asyncio must not complain of either."""
    stage.faults.server_error()
    orders, tasks = await waiting_at_the_backend(stage)
    stage.faults.release()
    while not orders.explain().failures:
        await asyncio.sleep(0)
    await cancelled(tasks)


async def test_a_cancelled_inline_caller_takes_the_call_along_and_harms_no_other(stage):
    """Where nothing may outlive its callers, the call ends with the last of them, before that one goes."""
    cache = CachePolicy(refresh="inline")
    orders, tasks = await waiting_at_the_backend(stage, cache=cache)
    await cancelled(tasks[:9])
    assert stage.faults.held == 1
    await cancelled(tasks[9:])
    assert stage.faults.held == 0
    assert orders.explain().failures == 0
    stage.faults.release()
    assert len(await orders.resolve()) == 1
    assert stage.calls == 2


async def test_a_call_whose_task_is_cancelled_from_outside_answers_its_callers(stage):
    """Somebody cancels every task but their own: those who wait get a named error, and the key works on."""
    orders, (caller,) = await waiting_at_the_backend(stage, count=1)
    (call,) = [task for task in asyncio.all_tasks() if task.get_name().startswith("aiocloudmap")]
    call.cancel()
    with pytest.raises(UnavailableError, match="cancelled"):
        await caller
    stage.faults.release()
    assert len(await orders.resolve()) == 1


async def test_the_deadline_ends_the_wait_even_where_the_backend_will_not_be_cancelled(stage):
    """A backend that swallows its cancellation holds up nobody, and the next call goes ahead."""
    ended = asyncio.Event()

    class Stubborn:
        async def discover(self, query: Query) -> Discovery:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await ended.wait()
            return await stage.backend.discover(query)

    orders = CloudMap(backend=Stubborn(), clock=stage.clock).service("shop/orders")
    caller = asyncio.create_task(orders.resolve())
    await stage.settle()
    stage.clock.tick(5)
    with pytest.raises(DeadlineError, match="no answer within 5 s"):
        await caller
    ended.set()
    await stage.settle()
    assert orders.peek() is None  # what came after the deadline is nobody's answer


async def test_cancelling_a_caller_of_a_successor_leaves_the_call_under_way_alone(stage):
    """A caller that forces a fetch waits behind the call under way; when it goes, only its own place goes."""
    orders, tasks = await waiting_at_the_backend(stage, count=2)
    forced = [asyncio.create_task(orders.resolve(max_age=0)) for _ in range(2)]
    await stage.settle()
    await cancelled(forced)
    stage.faults.release()
    assert [len(answer) for answer in await asyncio.gather(*tasks)] == [1, 1]
