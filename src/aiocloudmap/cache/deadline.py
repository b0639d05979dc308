"""A deadline for a process that may be stopped: only the time in which it ran counts.

A frozen process wakes up with all of its timers due and all that came meanwhile unread. A timer that comes late by more
than a moment says so, and waits once more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiocloudmap.ports import Clock, Timer

__all__ = ["STOOD_STILL", "Deadline"]

STOOD_STILL: Final = 1.0
"""Seconds by which a timer is late where the process was stopped, or its event loop blocked."""


class Deadline:
    """Calls back once, in `delay` seconds; in `delay` seconds more where the process stood still at its end.

    Args:
        clock: Where time comes from.
        delay: Seconds.
        callback: Called on the running event loop.
    """

    __slots__ = ("_callback", "_clock", "_delay", "_due", "_timer")

    _due: float
    _timer: Timer

    def __init__(self, clock: Clock, delay: float, callback: Callable[[], object]) -> None:
        self._clock, self._delay, self._callback = clock, delay, callback
        self._start()

    def _start(self) -> None:
        self._due = self._clock.monotonic() + self._delay
        self._timer = self._clock.call_later(self._delay, self._come)

    def _come(self) -> None:
        if self._clock.monotonic() - self._due > STOOD_STILL:
            self._start()
        else:
            self._callback()

    def cancel(self) -> None:
        """Never call back; harmless when it has been done."""
        self._timer.cancel()
