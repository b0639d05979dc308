"""No more questions a second than allowed: who waits, who is given the old answer, and what comes after a throttle."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import ConnectionPolicy, ThrottledError


def paced(stage, rate, **settings):
    """A CloudMap that may put so many questions a second."""
    return stage.cloud_map(connections=ConnectionPolicy(max_calls_per_second=rate), **settings)


def services(stage, cloud_map, count):
    """Handles for so many services, which exist."""
    for number in range(count):
        stage.world.register(f"shop/s{number}", "a", {"N": str(number)})
    return [cloud_map.service(f"shop/s{number}") for number in range(count)]


async def known(stage, handles):
    """Let all of them have an answer, without hurry."""
    for handle in handles:
        await handle.resolve()
        stage.clock.tick(0.25)


async def test_questions_beyond_the_burst_wait_for_their_turn(stage):
    """Eight go at once, the rest at eight a second, and everybody is answered."""
    cloud_map = paced(stage, 8)
    asking = [asyncio.create_task(handle.resolve()) for handle in services(stage, cloud_map, 20)]
    await stage.settle()
    assert stage.calls == cloud_map.stats().refreshes == 8
    await stage.tick(1)
    assert stage.calls == 16
    await stage.tick(0.5)
    assert [len(snapshot) for snapshot in await asyncio.gather(*asking)] == [1] * 20
    assert stage.calls == 20


async def test_one_who_could_not_be_asked_for_in_time_is_told_at_once(stage):
    """A queue of half the discovery_timeout is long enough; whoever comes then gets a named error that says when."""
    cloud_map = paced(stage, 2)
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


async def test_a_herd_of_stale_answers_waits_for_nothing_and_asks_at_the_pace(stage):
    """Fifty answers are past their ttl at once: all are given at once, and renewed at ten a second, each once."""
    cloud_map = paced(stage, 10, stale_while_revalidate=300)
    handles = services(stage, cloud_map, 50)
    await known(stage, handles)
    stage.clock.tick(60)
    before, calls = stage.calls, []
    for _ in range(100):
        for handle in handles:
            assert len(stage.at_once(handle.resolve())) == 1
        await stage.tick(0.125)
        calls.append(stage.calls - before)
    assert max(late - early for early, late in zip(calls, calls[8:], strict=False)) <= 10 + 10
    assert calls[-1] == 50


async def test_after_a_throttle_a_herd_comes_back_slowly(stage):
    """When the floor ends, five ask and the others wait; each answer lets one more a second through."""
    cloud_map = paced(stage, 200)
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


async def test_a_throttle_takes_their_turns_from_those_who_wait(stage):
    """They are told like everybody else, and AWS is not asked."""
    cloud_map = paced(stage, 8)
    stage.faults.throttle(next=1)
    stage.faults.hold()
    asking = [asyncio.create_task(handle.resolve()) for handle in services(stage, cloud_map, 9)]
    await stage.settle()
    stage.faults.release()
    await stage.settle()
    # The floor ends after a quarter of a second at the earliest, and the ninth has its turn after half of that.
    await stage.tick(0.125)
    throttled, *others, waited = await asyncio.gather(*asking, return_exceptions=True)
    assert (type(throttled), type(waited)) == (ThrottledError, ThrottledError)
    assert [len(other) for other in others] == [1] * 7
    assert stage.calls == cloud_map.stats().refreshes == 8
    # Nothing was asked, so nothing has failed: it may be asked for as soon as anything may.
    last = cloud_map.service("shop/s8")
    assert (last.explain().failures, cloud_map.stats().failures) == (0, 1)
    stage.clock.tick(waited.retry_after)
    assert len(await last.resolve()) == 1


async def test_who_asks_anew_joins_a_question_that_waits_for_its_turn(stage):
    """It has not been put yet, so it is new enough for a max_age of 0."""
    cloud_map = paced(stage, 1)
    first, second = services(stage, cloud_map, 2)
    await first.resolve()
    waiting = asyncio.create_task(second.resolve())
    await stage.settle()
    anew = asyncio.create_task(second.resolve(max_age=0))
    await stage.settle()
    await stage.tick(1)
    assert await waiting is await anew
    assert stage.calls == 2


async def test_who_is_cancelled_while_waiting_for_a_turn_leaves_nothing(stage):
    """Inline, with the last caller goes the question, before it was put."""
    cloud_map = paced(stage, 1, refresh="inline")
    first, second = services(stage, cloud_map, 2)
    await first.resolve()
    waiting = asyncio.create_task(second.resolve())
    await stage.settle()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert stage.clock.timers == 0
    await stage.tick(5)
    assert stage.calls == cloud_map.stats().refreshes == 1


async def test_attributes_of_services_have_a_slower_pace_of_their_own(stage):
    """Forty at once, then five a second, and no resolve waits for them."""
    cloud_map = paced(stage, 200)
    handles = services(stage, cloud_map, 45)
    asking = [asyncio.create_task(handle.attributes()) for handle in handles]
    await stage.settle()
    assert stage.backend.calls["GetServiceAttributes"] == 40
    assert len(await handles[0].resolve()) == 1
    await stage.tick(1.5)
    await asyncio.gather(*asking)
    assert stage.backend.calls["GetServiceAttributes"] == 45


async def test_callers_that_come_all_at_once_are_counted_one_by_one(stage):
    """Sixty in one turn of the loop: those who could not be asked for in time are told then, not at the deadline."""
    cloud_map = paced(stage, 8)
    handles = services(stage, cloud_map, 60)
    asking = [asyncio.create_task(handle.resolve()) for handle in handles]
    await stage.settle()
    told = [task.exception() for task in asking if task.done() and task.exception()]
    assert {type(error) for error in told} == {ThrottledError}
    # Eight at once, and twenty in the two and a half seconds of the queue.
    assert len(told) == 60 - 8 - 20
    await stage.tick(2.75)
    answered = [outcome for outcome in await asyncio.gather(*asking, return_exceptions=True) if outcome not in told]
    assert [len(snapshot) for snapshot in answered] == [1] * 28
    assert len(await handles[-1].resolve()) == 1
    assert cloud_map.stats().throttled == 0
