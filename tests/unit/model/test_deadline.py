"""A deadline counts only the time in which the process ran."""

from __future__ import annotations

import pytest

from aiocloudmap.model.interfaces import FREEZE_THRESHOLD, Deadline
from aiocloudmap.testing import ManualClock


class LateClock(ManualClock):
    """Calls back only when the test says so, however late that is."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []

    def call_later(self, delay, callback):
        self.asked.append(delay)
        self.callback = callback
        return super().call_later(1_000_000, callback)


@pytest.fixture
def ends():
    return []


def test_it_ends_in_its_time(ends):
    """Not a moment before."""
    clock = ManualClock()
    Deadline(clock, 5, lambda: ends.append(clock.monotonic()))
    clock.tick(4.9)
    assert ends == []
    clock.tick(100)
    assert ends == [1005]


def test_a_cancelled_one_never_ends(ends):
    """Nor does it hold on to a timer."""
    clock = ManualClock()
    Deadline(clock, 5, lambda: ends.append(1)).cancel()
    clock.tick(100)
    assert (ends, clock.timers) == ([], 0)


def test_a_timer_that_is_a_little_late_ends_it(ends):
    """Loops are busy."""
    clock = LateClock()
    Deadline(clock, 5, lambda: ends.append(1))
    clock.tick(5 + FREEZE_THRESHOLD)
    clock.callback()
    assert ends == [1]


def test_a_process_that_stood_still_waits_once_more(ends):
    """What came meanwhile lies unread. As often as it stands still; cancelling works all the same."""
    clock = LateClock()
    deadline = Deadline(clock, 5, lambda: ends.append(1))
    for _ in range(2):
        clock.tick(35)
        clock.callback()
    assert (ends, clock.asked) == ([], [5, 5, 5])
    clock.tick(5)
    clock.callback()
    assert ends == [1]
    deadline.cancel()
    assert clock.timers == 2  # those of the first two waits, which this clock never forgets
