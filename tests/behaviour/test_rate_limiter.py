"""Client-side rate limiting: who waits, who gets the old answer, and how calls resume after throttling."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import ConnectionPolicy, ThrottledError


def limited(stage, rate, **settings):
    """A CloudMap limited to `rate` calls a second."""
    return stage.cloud_map(connections=ConnectionPolicy(max_calls_per_second=rate), **settings)


def services(stage, cloud_map, count):
    """Register services and return a handle for each."""
    for number in range(count):
        stage.world.register(f"shop/s{number}", "a", {"N": str(number)})
    return [cloud_map.service(f"shop/s{number}") for number in range(count)]


async def fetch(stage, handles):
    """Fetch an answer for each handle, slowly enough to stay below the limit."""
    for handle in handles:
        await handle.resolve()
        stage.clock.tick(0.25)


async def test_calls_beyond_the_burst_wait(stage):
    """Eight calls go at once, the rest at eight a second, and every caller is answered."""
    cloud_map = limited(stage, 8)
    asking = [asyncio.create_task(handle.resolve()) for handle in services(stage, cloud_map, 20)]
    await stage.settle()
    assert stage.calls == cloud_map.stats().refreshes == 8
    await stage.tick(1)
    assert stage.calls == 16
    await stage.tick(0.5)
    assert [len(snapshot) for snapshot in await asyncio.gather(*asking)] == [1] * 20
    assert stage.calls == 20


async def test_a_caller_beyond_the_queue_is_refused_at_once(stage):
    """The queue holds half of discovery_timeout. Further callers get an error with retry_after."""
    cloud_map = limited(stage, 2)
    *handles, last = services(stage, cloud_map, 8)
    asking = [asyncio.create_task(handle.resolve()) for handle in handles]
    await stage.settle()
    with pytest.raises(ThrottledError, match="max_calls_per_second") as caught:
        stage.at_once(last.resolve())
    assert caught.value.retry_after == 0.5
    stage.clock.tick(0.5)
    asking.append(asyncio.create_task(last.resolve()))
    await stage.settle()
    await stage.tick(3)
    assert [len(snapshot) for snapshot in await asyncio.gather(*asking)] == [1] * 8


async def test_many_stale_answers_are_returned_at_once_and_refreshed_slowly(stage):
    """Fifty expired answers are returned without waiting and refreshed at ten a second, each once."""
    cloud_map = limited(stage, 10, stale_while_revalidate=300)
    handles = services(stage, cloud_map, 50)
    await fetch(stage, handles)
    stage.clock.tick(60)
    before, calls = stage.calls, []
    for _ in range(100):
        for handle in handles:
            assert len(stage.at_once(handle.resolve())) == 1
        await stage.tick(0.125)
        calls.append(stage.calls - before)
    assert max(late - early for early, late in zip(calls, calls[8:], strict=False)) <= 10 + 10
    assert calls[-1] == 50


async def test_after_throttling_the_rate_recovers_slowly(stage):
    """After the wait five calls go at once, and each answer raises the rate by one a second."""
    cloud_map = limited(stage, 200)
    handles = services(stage, cloud_map, 30)
    with stage.faults.throttle(next=1), pytest.raises(ThrottledError) as caught:
        await cloud_map.service("shop/orders").resolve()
    stage.clock.tick(caught.value.retry_after)
    before = stage.calls
    got: dict[int, int] = {}
    for tenths in range(80):
        asking = [asyncio.create_task(handle.resolve()) for handle in handles if not handle.peek()]
        await stage.tick(0.1)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        got[tenths] = stage.calls - before
    assert got[0] == 5
    assert got[79] == 30
    assert all(handle.peek() for handle in handles)


async def test_throttling_refuses_waiting_calls(stage):
    """Waiting callers get a ThrottledError, and AWS is not asked for them."""
    cloud_map = limited(stage, 8)
    stage.faults.throttle(next=1)
    stage.faults.hold()
    asking = [asyncio.create_task(handle.resolve()) for handle in services(stage, cloud_map, 9)]
    await stage.settle()
    stage.faults.release()
    await stage.settle()
    # Throttling lasts for at least a quarter of a second, and the ninth call is due after half of that.
    await stage.tick(0.125)
    throttled, *others, waited = await asyncio.gather(*asking, return_exceptions=True)
    assert (type(throttled), type(waited)) == (ThrottledError, ThrottledError)
    assert [len(other) for other in others] == [1] * 7
    assert stage.calls == cloud_map.stats().refreshes == 8
    # The call was not made, so it did not fail: the key has no backoff of its own.
    last = cloud_map.service("shop/s8")
    assert (last.explain().failures, cloud_map.stats().failures) == (0, 1)
    stage.clock.tick(waited.retry_after)
    assert len(await last.resolve()) == 1


async def test_a_forced_call_joins_a_waiting_call(stage):
    """A call that has not started yet is new enough for max_age=0."""
    cloud_map = limited(stage, 1)
    first, second = services(stage, cloud_map, 2)
    await first.resolve()
    waiting = await stage.start(second.resolve())
    forced = await stage.start(second.resolve(max_age=0))
    await stage.tick(1)
    assert await waiting is await forced
    assert stage.calls == 2


async def test_a_cancelled_inline_caller_removes_its_waiting_call(stage):
    """With inline refresh, a waiting call ends with its last caller."""
    cloud_map = limited(stage, 1, refresh="inline")
    first, second = services(stage, cloud_map, 2)
    await first.resolve()
    waiting = await stage.start(second.resolve())
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert stage.clock.timers == 0
    await stage.tick(5)
    assert stage.calls == cloud_map.stats().refreshes == 1


async def test_service_attributes_have_their_own_slower_rate(stage):
    """Forty calls at once, then five a second. No resolve() waits for them."""
    cloud_map = limited(stage, 200)
    handles = services(stage, cloud_map, 45)
    asking = [asyncio.create_task(handle.attributes()) for handle in handles]
    await stage.settle()
    assert stage.backend.calls["GetServiceAttributes"] == 40
    assert len(await handles[0].resolve()) == 1
    await stage.tick(1.5)
    await asyncio.gather(*asking)
    assert stage.backend.calls["GetServiceAttributes"] == 45


async def test_callers_beyond_the_queue_are_refused_within_one_loop_turn(stage):
    """Of sixty callers in one turn of the loop, those beyond the queue are refused then, not later."""
    cloud_map = limited(stage, 8)
    handles = services(stage, cloud_map, 60)
    asking = [asyncio.create_task(handle.resolve()) for handle in handles]
    await stage.settle()
    refused = [task.exception() for task in asking if task.done() and task.exception()]
    assert {type(error) for error in refused} == {ThrottledError}
    # Eight at once, and twenty in the queue of two and a half seconds.
    assert len(refused) == 60 - 8 - 20
    await stage.tick(2.75)
    answered = [outcome for outcome in await asyncio.gather(*asking, return_exceptions=True) if outcome not in refused]
    assert [len(snapshot) for snapshot in answered] == [1] * 28
    assert len(await handles[-1].resolve()) == 1
    assert cloud_map.stats().throttled == 0
