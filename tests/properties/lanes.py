"""Event loops that move only when they are told to, and a clock that knows whose timers it keeps."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from tests.properties.freshness_words import grained

from aiocloudmap.model.interfaces import Timer
from aiocloudmap.testing import ManualClock

TURNS = 12
"""Turns of a loop after which every task waits for the clock or for the upstream."""


class LaneClock(ManualClock):
    """A manual clock whose timers end with the event loop they were made on, as a loop's own timers do."""

    def __init__(self) -> None:
        super().__init__()
        self._owners: list[tuple[asyncio.AbstractEventLoop, Timer]] = []
        self._firing: asyncio.AbstractEventLoop | None = None

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call it in the tick that reaches its time, on behalf of the loop that runs now, or whose timer fires."""
        loop = self._firing or asyncio.get_running_loop()

        def fire() -> None:
            self._firing = loop
            try:
                callback()
            finally:
                self._firing = None

        timer = super().call_later(grained(delay), fire)
        self._owners.append((loop, timer))
        return timer

    def drop(self, loop: asyncio.AbstractEventLoop) -> None:
        """That loop has been closed."""
        for owner, timer in self._owners:
            if owner is loop:
                timer.cancel()
        self._owners = [entry for entry in self._owners if entry[0] is not loop]


class Lane:
    """One event loop, stepped from outside."""

    _numbers = itertools.count()

    def __init__(self) -> None:
        self.number = next(self._numbers)
        self.loop = asyncio.new_event_loop()
        self.complaints: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(str(context)))

    def settle(self, look: Callable[[], Any] = lambda: None) -> Any:
        """Run every task until it waits; gives what `look` sees then, from within the loop."""

        async def turns() -> Any:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            return look()

        return self.loop.run_until_complete(turns())

    def end(self, *, callers_first: bool) -> None:
        """Cancel every task and close the loop, as `asyncio.run` does; rounds of it, until none is left."""
        while tasks := sorted(asyncio.all_tasks(self.loop), key=lambda task: _rank(task, callers_first)):
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


def _rank(task: asyncio.Task[Any], callers_first: bool) -> tuple[bool, int]:
    name = task.get_name()
    is_caller = name.startswith("Task-")
    return is_caller is not callers_first, int(name.removeprefix("Task-")) if is_caller else 0
