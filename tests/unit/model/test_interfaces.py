"""Clocks, deadlines and the protocols."""

import asyncio
import time

import pytest

from aiocloudmap import SYSTEM_CLOCK, AttributesBackend, Backend, Clock, Timer
from aiocloudmap.model.interfaces import FREEZE_THRESHOLD, Deadline
from aiocloudmap.testing import ManualClock


def test_the_system_clock_is_the_clocks_of_the_machine():
    """Without a function in between, since a hit calls one of them."""
    assert SYSTEM_CLOCK.monotonic is time.monotonic
    assert SYSTEM_CLOCK.time is time.time
    assert repr(SYSTEM_CLOCK) == "SYSTEM_CLOCK"


async def test_a_system_timer_calls_back_on_the_running_loop():
    """The loop on which it was set."""
    called = asyncio.get_running_loop().create_future()
    SYSTEM_CLOCK.call_later(0, lambda: called.set_result(asyncio.get_running_loop()))
    assert await asyncio.wait_for(called, 10) is asyncio.get_running_loop()


async def test_a_cancelled_system_timer_does_not_call_back():
    """It may be cancelled twice."""
    called = []
    timer = SYSTEM_CLOCK.call_later(0, lambda: called.append(1))
    timer.cancel()
    timer.cancel()
    later = asyncio.get_running_loop().create_future()
    SYSTEM_CLOCK.call_later(0, lambda: later.set_result(None))
    await asyncio.wait_for(later, 10)
    assert called == []


def test_system_timers_need_a_running_loop():
    """As asyncio says."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        SYSTEM_CLOCK.call_later(0, print)


def names(protocol) -> set[str]:
    """The methods of a protocol."""
    return {name for name in vars(protocol) if not name.startswith("_")}


def test_protocols_have_the_documented_methods():
    """Implementations need no others."""
    assert names(Backend) == {"discover"}
    assert names(AttributesBackend) == {"service_attributes"}
    assert names(Clock) == {"monotonic", "time", "call_later"}
    assert names(Timer) == {"cancel"}


@pytest.mark.parametrize("clock", [SYSTEM_CLOCK, ManualClock()], ids=["system", "manual"])
def test_both_clocks_implement_the_protocol(clock):
    """Each has all methods."""
    assert all(callable(getattr(clock, name)) for name in names(Clock))


class LateClock(ManualClock):
    """A clock whose callbacks the test calls itself, as late as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []

    def call_later(self, delay, callback):
        self.delays.append(delay)
        self.callback = callback
        return super().call_later(1_000_000, callback)


@pytest.fixture
def ends():
    return []


def test_a_deadline_calls_back_in_time(ends):
    """Once, and not earlier."""
    clock = ManualClock()
    Deadline(clock, 5, lambda: ends.append(clock.monotonic()))
    clock.tick(4.9)
    assert ends == []
    clock.tick(100)
    assert ends == [1005]


def test_a_cancelled_deadline_never_calls_back(ends):
    """It cancels its timer."""
    clock = ManualClock()
    Deadline(clock, 5, lambda: ends.append(1)).cancel()
    clock.tick(100)
    assert (ends, clock.timers) == ([], 0)


def test_a_slightly_late_timer_ends_a_deadline(ends):
    """Event loops are busy."""
    clock = LateClock()
    Deadline(clock, 5, lambda: ends.append(1))
    clock.tick(5 + FREEZE_THRESHOLD)
    clock.callback()
    assert ends == [1]


def test_a_deadline_starts_again_after_a_freeze(ends):
    """And ends in time after it. It can still be cancelled."""
    clock = LateClock()
    deadline = Deadline(clock, 5, lambda: ends.append(1))
    clock.tick(35)
    clock.callback()
    assert (ends, clock.delays) == ([], [5, 5])
    clock.tick(5)
    clock.callback()
    assert ends == [1]
    deadline.cancel()
    assert clock.timers == 1  # of the first wait, which this clock keeps


def test_a_deadline_ends_although_the_loop_is_always_late(ends):
    """A program that blocks its loop again and again has a deadline, too: one further period at most."""
    clock = LateClock()
    Deadline(clock, 5, lambda: ends.append(1))
    for _ in range(2):
        clock.tick(7.2)
        clock.callback()
    assert (ends, clock.delays) == ([1], [5, 5])
