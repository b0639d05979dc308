"""Single flight: which call a caller may join, and what remains when one ends. No call is made."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import CachePolicy, ConnectError, Instance, Query, ServiceName, Snapshot
from aiocloudmap.cache.entry import Entry
from aiocloudmap.cache.singleflight import Call, SingleFlight, Waiter
from aiocloudmap.model.stats import Counts
from aiocloudmap.testing import ManualClock

ORDERS = Query(ServiceName("shop", "orders"))
CARTS = Query(ServiceName("shop", "carts"))
ANSWER = Snapshot(ORDERS.service, [Instance("a", ORDERS.service)])


class Calls(SingleFlight):
    """Single flight, with the steps of a resolver."""

    def __init__(self) -> None:
        self.counts = Counts()
        super().__init__(self.counts, 5.0)

    def ask(self, query: Query = ORDERS, max_age: float | None = None, *, keep: bool = True) -> Waiter:
        """A new waiting caller."""
        return self.join_and_wait(Entry(query, CachePolicy()), max_age, keep=keep)

    def start(self, call: Call) -> Call:
        """Give the call a task that has taken its first step."""
        call.task = asyncio.get_running_loop().create_task(asyncio.sleep(0))
        call.began = True
        return call

    def end(self, call: Call, outcome: object = ANSWER) -> Call | None:
        """End the call with this outcome for all of its waiters."""
        call.done = True
        return self.complete(call, dict.fromkeys(call.waiters, outcome))


@pytest.fixture
def calls() -> Calls:
    """No calls."""
    return Calls()


async def test_callers_of_one_question_share_a_call(calls):
    """Ten callers, one call, and the same outcome object for all."""
    waiters = [calls.ask() for _ in range(10)]
    assert len({waiter.call for waiter in waiters}) == 1
    assert calls.in_flight(ORDERS)
    assert (calls.counts.misses, calls.counts.coalesced) == (10, 9)
    assert calls.end(waiters[0].call) is None
    assert [waiter.future.result() for waiter in waiters] == [ANSWER] * 10
    assert not calls.in_flight(ORDERS)


async def test_another_question_is_another_call(calls):
    """Two questions, two calls."""
    assert calls.ask(ORDERS).call is not calls.ask(CARTS).call


async def test_leaving_returns_a_call_that_is_no_longer_needed(calls):
    """When its last waiter leaves, unless the call is to be kept."""
    kept, dropped = calls.ask(ORDERS, keep=True), calls.ask(CARTS, keep=False)
    other = calls.ask(CARTS, keep=False)
    calls.start(kept.call), calls.start(dropped.call)
    assert calls.leave(kept) is None
    assert calls.leave(other) is None
    assert calls.leave(dropped) is dropped.call
    assert calls.in_flight(ORDERS)


async def test_one_caller_is_enough_to_keep_a_call(calls):
    """An inline caller may leave a call that a background caller has joined."""
    inline, background = calls.ask(keep=False), calls.ask(keep=True)
    calls.start(inline.call)
    assert calls.leave(inline) is None
    assert calls.leave(background) is None
    assert calls.in_flight(ORDERS)


async def test_a_call_that_never_started_ends_with_its_last_waiter(calls):
    """There is no task to cancel."""
    waiter = calls.ask(keep=False)
    assert calls.leave(waiter) is None
    assert not calls.in_flight(ORDERS)


async def test_callers_with_a_max_age_share_a_successor(calls):
    """They do not join a call that began before they asked. The successor follows when that call has ended."""
    early = calls.ask()
    calls.start(early.call)
    late = [calls.ask(max_age=10) for _ in range(5)]
    assert {waiter.call for waiter in late} == {early.call.successor}
    assert not late[0].call.is_current
    assert calls.end(early.call) is late[0].call
    assert late[0].call.is_current
    assert calls.end(late[0].call) is None


async def test_a_waiter_of_a_successor_has_its_own_time_out(calls):
    """The deadline of a call begins when it starts."""
    early = calls.ask()
    calls.start(early.call)
    assert early.timeout is None
    assert calls.ask(max_age=10).timeout == 5.0


async def test_a_call_that_has_not_begun_is_fresh_enough(calls):
    """Until the task's first step, a caller with a max_age may still join."""
    assert calls.ask().call is calls.ask(max_age=10).call


async def test_only_a_max_age_of_zero_insists_on_an_empty_answer(calls):
    """Other callers accept that an empty answer is held off."""
    assert not calls.ask(max_age=10).call.believe_empty
    assert calls.ask(max_age=0).call.believe_empty


async def test_an_invalidated_call_is_not_joined(calls):
    """Later callers get its successor. The call still answers its own waiters."""
    early, other = calls.ask(ORDERS), calls.ask(CARTS)
    calls.start(early.call)
    calls.invalidate(lambda query: query == ORDERS)
    late = calls.ask()
    assert early.call.invalidated
    assert not other.call.invalidated
    assert late.call is early.call.successor
    assert not late.call.invalidated


async def test_a_successor_that_all_waiters_left_is_dropped(calls):
    """The call before it is not disturbed."""
    early = calls.ask()
    calls.start(early.call)
    late = calls.ask(keep=False, max_age=10)
    assert calls.leave(late) is None
    assert calls.end(early.call) is None
    assert not calls.in_flight(ORDERS)


async def test_an_outcome_is_a_value_even_if_it_is_an_error(calls):
    """So asyncio cannot report an exception as never retrieved."""
    waiter = calls.ask()
    error = ConnectError("refused")
    calls.end(waiter.call, error)
    assert waiter.future.result() is error


async def test_a_waiter_gets_none_after_its_time_out(calls):
    """The call goes on."""
    clock, call = ManualClock(), calls.ask().call
    waiter = calls.wait(call, Entry(ORDERS, CachePolicy()), None, 1.0)
    waiting = asyncio.ensure_future(waiter.outcome_in_time(clock))
    await asyncio.sleep(0)
    clock.tick(1.0)
    assert await waiting is None
    assert calls.in_flight(ORDERS)
    assert clock.timers == 0


def test_the_calls_of_a_closed_loop_are_removed():
    """By the next loop that asks."""
    calls = Calls()
    loop = asyncio.new_event_loop()

    async def ask():
        return calls.ask()

    waiter = loop.run_until_complete(ask())
    loop.close()
    assert asyncio.run(ask()).call is not waiter.call
    assert waiter.call not in calls.calls()
    assert not waiter.call.is_current


async def test_event_loops_have_calls_of_their_own(calls):
    """A call on one loop is not joined from another."""
    waiter = calls.ask()

    async def ask_elsewhere():
        assert not calls.in_flight(ORDERS)
        return calls.ask()

    elsewhere = await asyncio.to_thread(lambda: asyncio.run(ask_elsewhere()))
    assert elsewhere.call is not waiter.call


def test_without_a_running_loop_nothing_is_in_flight(calls):
    """Looking is not an error."""
    assert calls.in_flight(ORDERS) is False


async def test_after_a_fork_no_call_is_current(calls):
    """They are the parent's."""
    waiter = calls.ask()
    calls.forget()
    assert calls.calls() == []
    assert calls.complete(waiter.call, {}) is None


async def test_the_repr_shows_the_state_of_a_call(calls):
    """Pending, started or done, and its waiters."""
    early = calls.ask()
    calls.start(early.call)
    late = calls.ask(max_age=10)
    assert repr(early.call) == "<Call for shop/orders started, 1 waiting>"
    assert repr(late.call) == "<Call for shop/orders pending, 1 waiting>"
    calls.end(early.call)
    assert repr(early.call) == "<Call for shop/orders done, 0 waiting>"
