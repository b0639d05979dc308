"""The books of single flight: who may join which call, and what is left when one ends. Synchronous, no call is made."""

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


class Books(SingleFlight):
    """Single flight, with the steps that a resolver takes."""

    def __init__(self) -> None:
        self.counts = Counts()
        super().__init__(self.counts, 5.0)

    def ask(self, query: Query = ORDERS, max_age: float | None = None, *, keep: bool = True) -> Waiter:
        """A caller that waits."""
        return self.join_and_wait(Entry(query, CachePolicy()), max_age, keep=keep)

    def start(self, call: Call) -> Call:
        """The call's task exists, and has taken its first step."""
        call.task = asyncio.get_running_loop().create_task(asyncio.sleep(0))
        call.began = True
        return call

    def end(self, call: Call, outcome: object = ANSWER) -> Call | None:
        """The call ends with this outcome for all of its waiters."""
        call.done = True
        return self.complete(call, dict.fromkeys(call.waiters, outcome))


@pytest.fixture
def books() -> Books:
    """Empty books."""
    return Books()


async def test_callers_of_one_question_share_a_call(books):
    """Ten callers, one call, and the same outcome object for all."""
    waiters = [books.ask() for _ in range(10)]
    assert len({waiter.call for waiter in waiters}) == 1
    assert books.in_flight(ORDERS)
    assert (books.counts.misses, books.counts.coalesced) == (10, 9)
    assert books.end(waiters[0].call) is None
    assert [waiter.future.result() for waiter in waiters] == [ANSWER] * 10
    assert not books.in_flight(ORDERS)


async def test_another_question_is_another_call(books):
    """Two questions, two calls."""
    assert books.ask(ORDERS).call is not books.ask(CARTS).call


async def test_a_call_that_is_not_needed_is_returned_unless_it_is_kept(books):
    """leave() returns the running call of the last waiter. A call to keep goes on."""
    kept, dropped = books.ask(ORDERS, keep=True), books.ask(CARTS, keep=False)
    other = books.ask(CARTS, keep=False)
    books.start(kept.call), books.start(dropped.call)
    assert books.leave(kept) is None
    assert books.leave(other) is None
    assert books.leave(dropped) is dropped.call
    assert books.in_flight(ORDERS)


async def test_one_caller_who_keeps_the_call_is_enough(books):
    """An inline caller may leave a call that a background caller has joined."""
    inline, background = books.ask(keep=False), books.ask(keep=True)
    books.start(inline.call)
    assert books.leave(inline) is None
    assert books.leave(background) is None
    assert books.in_flight(ORDERS)


async def test_a_call_that_nobody_started_is_dropped_with_its_last_waiter(books):
    """There is no task to cancel."""
    waiter = books.ask(keep=False)
    assert books.leave(waiter) is None
    assert not books.in_flight(ORDERS)


async def test_callers_with_a_max_age_share_a_successor(books):
    """They join no call that began before they asked. The successor is current once that call has ended."""
    early = books.ask()
    books.start(early.call)
    late = [books.ask(max_age=10) for _ in range(5)]
    assert {waiter.call for waiter in late} == {early.call.successor}
    assert not late[0].call.is_current
    assert books.end(early.call) is late[0].call
    assert late[0].call.is_current
    assert books.end(late[0].call) is None


async def test_a_caller_who_waits_for_another_call_first_has_a_time_out_of_its_own(books):
    """The deadline of a call begins when it starts."""
    early = books.ask()
    books.start(early.call)
    assert early.timeout is None
    assert books.ask(max_age=10).timeout == 5.0


async def test_a_call_that_has_not_begun_is_fresh_enough(books):
    """Until the task's first step, a caller with a max_age may still join."""
    assert books.ask().call is books.ask(max_age=10).call


async def test_only_a_max_age_of_zero_insists_on_an_empty_answer(books):
    """Any other caller is content with a held one."""
    assert not books.ask(max_age=10).call.believe_empty
    assert books.ask(max_age=0).call.believe_empty


async def test_an_invalidated_call_is_not_joined(books):
    """After an invalidation callers get the successor. The call still answers its own waiters."""
    early, other = books.ask(ORDERS), books.ask(CARTS)
    books.start(early.call)
    books.invalidate(lambda query: query == ORDERS)
    late = books.ask()
    assert early.call.invalidated
    assert not other.call.invalidated
    assert late.call is early.call.successor
    assert not late.call.invalidated


async def test_a_successor_that_all_waiters_left_is_dropped(books):
    """The call before it is not disturbed."""
    early = books.ask()
    books.start(early.call)
    late = books.ask(keep=False, max_age=10)
    assert books.leave(late) is None
    assert books.end(early.call) is None
    assert not books.in_flight(ORDERS)


async def test_an_outcome_is_a_value_even_if_it_is_an_error(books):
    """No exception of a future or task can be reported as never retrieved."""
    waiter = books.ask()
    error = ConnectError("refused")
    books.end(waiter.call, error)
    assert waiter.future.result() is error


async def test_a_waiter_with_a_time_out_gets_none_after_it(books):
    """The call goes on."""
    clock, call = ManualClock(), books.ask().call
    waiter = books.wait(call, Entry(ORDERS, CachePolicy()), None, 1.0)
    waiting = asyncio.ensure_future(waiter.outcome_in_time(clock))
    await asyncio.sleep(0)
    clock.tick(1.0)
    assert await waiting is None
    assert books.in_flight(ORDERS)
    assert clock.timers == 0


def test_the_calls_of_a_closed_loop_count_as_none():
    """A loop was closed during a call: the next loop to ask removes it."""
    books = Books()
    loop = asyncio.new_event_loop()

    async def ask():
        return books.ask()

    waiter = loop.run_until_complete(ask())
    loop.close()
    assert asyncio.run(ask()).call is not waiter.call
    assert waiter.call not in books.calls()
    assert not waiter.call.is_current


async def test_event_loops_have_calls_of_their_own(books):
    """A call on one loop is not joined from another."""
    waiter = books.ask()

    async def ask_elsewhere():
        assert not books.in_flight(ORDERS)
        return books.ask()

    elsewhere = await asyncio.to_thread(lambda: asyncio.run(ask_elsewhere()))
    assert elsewhere.call is not waiter.call


def test_without_a_running_loop_nothing_is_in_flight(books):
    """Asking is not an error."""
    assert books.in_flight(ORDERS) is False


async def test_after_a_fork_no_call_is_current(books):
    """They are the parent's."""
    waiter = books.ask()
    books.forget()
    assert books.calls() == []
    assert books.complete(waiter.call, {}) is None


async def test_the_repr_shows_the_state_of_a_call(books):
    """Pending, started or done, and its waiters."""
    early = books.ask()
    books.start(early.call)
    late = books.ask(max_age=10)
    assert repr(early.call) == "<Call for shop/orders started, 1 waiting>"
    assert repr(late.call) == "<Call for shop/orders pending, 1 waiting>"
    books.end(early.call)
    assert repr(early.call) == "<Call for shop/orders done, 0 waiting>"
