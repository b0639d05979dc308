"""A clock that moves only when it is told to."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from aiocloudmap.ports import Timer

__all__ = ["ManualClock"]


class _ManualTimer:
    """A callback of a manual clock."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """Time under a test's control: `clock.tick(31)` lets 31 seconds pass at once.

    Both clocks move together on a tick. `freeze` and `set_back` move the wall clock alone, as a frozen sandbox and a
    corrected clock do.

    Args:
        monotonic: Seconds to start at.
        time: Seconds since the epoch to start at.
    """

    def __init__(self, monotonic: float = 1000.0, time: float = 1_700_000_000.0) -> None:
        self._monotonic = monotonic
        self._time = time
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _ManualTimer]] = []

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return self._monotonic

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._time

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` in the tick that reaches its time."""
        timer = _ManualTimer(callback)
        heapq.heappush(self._timers, (self._monotonic + delay, next(self._order), timer))
        return timer

    def tick(self, seconds: float) -> None:
        """Let so many seconds pass; timers that fall due are called in order, each at its own time.

        Tasks that they wake run when the test next awaits.
        """
        if seconds < 0:
            raise ValueError("time does not run backwards; see set_back for the wall clock")
        end = self._monotonic + seconds
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            self._advance(max(due, self._monotonic))
            if timer.callback is not None:
                timer.callback()
        self._advance(end)

    def freeze(self, seconds: float) -> None:
        """The wall clock runs on and the monotonic one stands still: a sandbox that is frozen and thawed."""
        self._time += seconds

    def set_back(self, seconds: float) -> None:
        """Somebody corrects the wall clock backwards."""
        self._time -= seconds

    @property
    def timers(self) -> int:
        """How many callbacks wait for their time."""
        return sum(timer.callback is not None for _, _, timer in self._timers)

    def _advance(self, monotonic: float) -> None:
        self._time += monotonic - self._monotonic
        self._monotonic = monotonic

    def __repr__(self) -> str:
        return f"<ManualClock at {self._monotonic:.3f}, {self.timers} timer(s)>"
