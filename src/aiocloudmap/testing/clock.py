"""A clock that moves only when it is told to."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import heapq
import itertools
import threading
from collections.abc import Callable
from typing import Final

from aiocloudmap.model.interfaces import Timer

__all__ = ["ManualClock"]

_PATIENCE: Final = 5.0
"""Seconds of real time that another thread's event loop may take to call a timer."""


class _ManualTimer:
    """A callback of a manual clock, on the event loop that ran when it was made, if any."""

    __slots__ = ("_loop", "callback")

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback
        self._loop = asyncio._get_running_loop()

    def cancel(self) -> None:
        self.callback = None

    def call(self) -> None:
        """Call it; done when this returns, also where its loop runs in another thread."""
        loop = self._loop
        if loop is None or loop is asyncio._get_running_loop() or not loop.is_running():
            self._call()
            return
        done: concurrent.futures.Future[None] = concurrent.futures.Future()

        def there() -> None:
            try:
                self._call()
            finally:
                done.set_result(None)

        # A loop that ends meanwhile has no use for it.
        with contextlib.suppress(RuntimeError, TimeoutError):
            loop.call_soon_threadsafe(there)
            done.result(_PATIENCE)

    def _call(self) -> None:
        if self.callback is not None:
            self.callback()


class ManualClock:
    """Time under a test's control: `clock.tick(31)` lets 31 seconds pass at once.

    Both clocks move together on a tick. `freeze` and `set_back` move the wall clock alone, as a frozen sandbox and a
    corrected clock do. It may be read and moved on any thread, by one at a time.

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
        """Seconds that never run backwards."""
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
        """Let so many seconds pass; timers that fall due are called in order, each at its own time, on its own loop.

        Tasks that they wake run when the test next awaits; on a loop in another thread, as that comes to it.
        """
        if seconds < 0:
            raise ValueError("time does not run backwards; see set_back for the wall clock")
        end = self._monotonic + seconds
        while (entry := self._next(end)) is not None:
            due, _, timer = entry
            self._advance(max(due, self._monotonic))
            timer.call()
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
