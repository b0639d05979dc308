"""The machine's own clocks, as the library sees them."""

import asyncio
import time

import pytest

from aiocloudmap import SYSTEM_CLOCK, AttributesBackend, Backend, Clock, Timer
from aiocloudmap.testing import ManualClock


def test_the_system_clock_reads_the_clocks_of_the_machine():
    """time.monotonic and time.time, and nothing in between: a hit calls one of them."""
    assert SYSTEM_CLOCK.monotonic is time.monotonic
    assert SYSTEM_CLOCK.time is time.time
    assert repr(SYSTEM_CLOCK) == "SYSTEM_CLOCK"


async def test_a_timer_of_the_system_clock_calls_on_the_running_loop():
    """On the loop that runs when it is set."""
    called = asyncio.get_running_loop().create_future()
    SYSTEM_CLOCK.call_later(0, lambda: called.set_result(asyncio.get_running_loop()))
    assert await asyncio.wait_for(called, 10) is asyncio.get_running_loop()


async def test_a_cancelled_timer_of_the_system_clock_calls_nothing():
    """Cancelling is harmless at any time, twice as well."""
    called = []
    timer = SYSTEM_CLOCK.call_later(0, lambda: called.append(1))
    timer.cancel()
    timer.cancel()
    later = asyncio.get_running_loop().create_future()
    SYSTEM_CLOCK.call_later(0, lambda: later.set_result(None))
    await asyncio.wait_for(later, 10)
    assert called == []


def test_timers_of_the_system_clock_need_a_loop():
    """Without one there is nobody to call."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        SYSTEM_CLOCK.call_later(0, print)


def names(protocol) -> set[str]:
    """What a protocol asks for."""
    return {name for name in vars(protocol) if not name.startswith("_")}


def test_protocols_ask_for_no_more_than_is_documented():
    """A backend is one method, one more where it knows attributes, a clock three: who writes one need write no more."""
    assert names(Backend) == {"discover"}
    assert names(AttributesBackend) == {"service_attributes"}
    assert names(Clock) == {"monotonic", "time", "call_later"}
    assert names(Timer) == {"cancel"}


@pytest.mark.parametrize("clock", [SYSTEM_CLOCK, ManualClock()], ids=["system", "manual"])
def test_both_clocks_are_clocks(clock):
    """Each has what the protocol asks for."""
    assert all(callable(getattr(clock, name)) for name in names(Clock))
