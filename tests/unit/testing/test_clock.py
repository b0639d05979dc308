"""ManualClock: time that a test moves by hand."""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiocloudmap.testing import ManualClock


def test_time_stands_still_unless_it_is_ticked():
    """A tick moves both clocks."""
    clock = ManualClock(monotonic=10, time=1000)
    assert (clock.monotonic(), clock.time()) == (10, 1000)
    clock.tick(2.5)
    assert (clock.monotonic(), clock.time()) == (12.5, 1002.5)


def test_freeze_and_set_back_move_the_wall_clock_alone():
    """The monotonic clock does not change."""
    clock = ManualClock(monotonic=10, time=1000)
    clock.freeze(45)
    assert (clock.monotonic(), clock.time()) == (10, 1045)
    clock.set_back(100)
    assert (clock.monotonic(), clock.time()) == (10, 945)


def test_time_does_not_run_backwards():
    """A negative tick is refused; the message names set_back."""
    clock = ManualClock()
    before = clock.monotonic()
    with pytest.raises(ValueError, match="set_back"):
        clock.tick(-1)
    assert clock.monotonic() == before


def test_timers_are_called_in_the_tick_that_reaches_them():
    """Not earlier, and only once."""
    clock, called = ManualClock(), []
    clock.call_later(5, lambda: called.append("a"))
    clock.tick(4.999)
    assert called == []
    clock.tick(0.001)
    assert called == ["a"]
    clock.tick(100)
    assert called == ["a"]


def test_timers_are_called_in_order_each_at_its_own_time():
    """One long tick is the same as many short ones."""
    clock, called = ManualClock(monotonic=0), []
    for delay in (3, 1, 2, 1):
        clock.call_later(delay, lambda delay=delay: called.append((delay, clock.monotonic())))
    clock.tick(10)
    assert called == [(1, 1), (1, 1), (2, 2), (3, 3)]
    assert clock.monotonic() == 10


def test_a_timer_may_set_another_within_the_same_tick():
    """A timer due before the end of the tick is called in it."""
    clock, called = ManualClock(monotonic=0), []
    clock.call_later(1, lambda: clock.call_later(1, lambda: called.append(clock.monotonic())))
    clock.tick(5)
    assert called == [2]


def test_a_cancelled_timer_is_not_called():
    """It is not counted; cancelling it again has no effect."""
    clock, called = ManualClock(), []
    first = clock.call_later(1, lambda: called.append(1))
    clock.call_later(1, lambda: called.append(2))
    assert clock.timers == 2
    first.cancel()
    first.cancel()
    assert clock.timers == 1
    clock.tick(1)
    assert called == [2]
    assert clock.timers == 0
    first.cancel()


async def test_a_woken_task_runs_when_the_test_next_awaits():
    """A tick is synchronous."""
    clock, woken = ManualClock(), asyncio.get_running_loop().create_future()
    clock.call_later(1, lambda: woken.set_result("now"))
    clock.tick(1)
    assert await woken == "now"


def test_a_timer_of_another_threads_loop_is_called_there():
    """At its own time, as when a test client runs a web application in a thread."""
    clock, seen = ManualClock(monotonic=0), []
    ready = threading.Event()

    async def wait_twice() -> None:
        over = asyncio.Event()
        clock.call_later(2, lambda: seen.append((clock.monotonic(), threading.current_thread().name)))
        clock.call_later(5, over.set)
        ready.set()
        await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(wait_twice()), name="application")
    thread.start()
    ready.wait()
    clock.tick(60)
    thread.join()
    assert seen == [(2, "application")]


def test_a_failing_timer_in_another_thread_does_not_block_the_tick(monkeypatch):
    """The other loop's exception handler gets the error."""
    monkeypatch.setattr("aiocloudmap.model.interfaces._CALL_TIMEOUT", None)
    clock, ready, over = ManualClock(monotonic=0), threading.Event(), []

    async def wait() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: over.append(context["exception"]))
        clock.call_later(1, lambda: 1 / 0)
        done = asyncio.Event()
        clock.call_later(2, done.set)
        ready.set()
        await done.wait()

    thread = threading.Thread(target=lambda: asyncio.run(wait()))
    thread.start()
    ready.wait()
    clock.tick(2)
    thread.join()
    assert [type(error) for error in over] == [ZeroDivisionError]


def test_the_repr_shows_time_and_timers():
    """For debugging."""
    clock = ManualClock(monotonic=10)
    clock.call_later(1, print)
    assert repr(clock) == "<ManualClock at 10.000, 1 timer(s)>"


@given(st.lists(st.floats(0, 100), max_size=8), st.lists(st.floats(0, 50), max_size=8))
def test_any_ticks_call_exactly_the_due_timers(delays, ticks):
    """In the order of their times."""
    clock, called = ManualClock(monotonic=0), []
    for delay in delays:
        clock.call_later(delay, lambda delay=delay: called.append(delay))
    for tick in ticks:
        clock.tick(tick)
    clock.tick(0)
    assert called == sorted(delay for delay in delays if delay <= clock.monotonic())
