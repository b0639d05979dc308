"""A clock that a test moves by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections.abc import Callable

from aiocloudmap.model.interfaces import Timer, call_in_loop

__all__ = ["ManualClock"]


class _ManualTimer:
    """A callback on the event loop that was running when it was scheduled, if any."""

    __slots__ = ("_loop", "callback")

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback
        self._loop = asyncio._get_running_loop()

    def cancel(self) -> None:
        self.callback = None

    def call(self) -> None:
        """Call it and wait for it, even if its loop runs in another thread."""
        call_in_loop(self._loop, self._call)

    def _call(self) -> None:
        if self.callback is not None:
            self.callback()


class ManualClock:
    """Time under a test's control: `clock.tick(31)` lets 31 seconds pass at once.

    A tick moves the monotonic clock and the wall clock together. `freeze` and `set_back` move the wall clock alone, as
    a frozen sandbox and a corrected clock do. Any thread may read and move it, one at a time.

    Args:
        monotonic: Seconds to start at.
        time: Seconds since the epoch to start at.
    """

    def __init__(self, monotonic: float = 1000.0, time: float = 1_700_000_000.0) -> None:
        self._monotonic = monotonic
        self._time = time
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _ManualTimer]] = []
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return self._monotonic

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._time

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` in the tick that reaches its time."""
        timer = _ManualTimer(callback)
        with self._lock:
            heapq.heappush(self._timers, (self._monotonic + delay, next(self._order), timer))
        return timer

    def tick(self, seconds: float) -> None:
        """Let time pass. Timers that become due are called in order, each at its own time and on its own event loop.

        Tasks that they wake run when the test next awaits, or on their own loop if it runs in another thread.
        """
        if seconds < 0:
            raise ValueError(f"invalid seconds {seconds:g}: expected 0 or more; set_back moves the wall clock back")
        end = self._monotonic + seconds
        while (entry := self._next(end)) is not None:
            due, _, timer = entry
            self._advance(max(due, self._monotonic))
            timer.call()
        self._advance(end)

    def freeze(self, seconds: float) -> None:
        """Move the wall clock alone, as for a sandbox that is frozen and thawed."""
        self._time += seconds

    def set_back(self, seconds: float) -> None:
        """Move the wall clock back, as when it is corrected."""
        self._time -= seconds

    @property
    def timers(self) -> int:
        """How many callbacks are scheduled."""
        with self._lock:
            return sum(timer.callback is not None for _, _, timer in self._timers)

    def _next(self, end: float) -> tuple[float, int, _ManualTimer] | None:
        with self._lock:
            return heapq.heappop(self._timers) if self._timers and self._timers[0][0] <= end else None

    def _advance(self, monotonic: float) -> None:
        self._time += monotonic - self._monotonic
        self._monotonic = monotonic

    def __repr__(self) -> str:
        return f"<ManualClock at {self._monotonic:.3f}, {self.timers} timer(s)>"
