"""Event loops that run only when a test steps them, and a clock that knows the loop of each timer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from tests.properties.model_values import round_up

from aiocloudmap.model.interfaces import Timer
from aiocloudmap.testing import ManualClock

TURNS = 12
"""After this many turns of a loop every task waits for the clock or the backend."""


class LoopClock(ManualClock):
    """A manual clock whose timers end with their event loop, as a loop's own timers do."""

    def __init__(self) -> None:
        super().__init__()
        self._owners: list[tuple[asyncio.AbstractEventLoop, Timer]] = []
        self._firing: asyncio.AbstractEventLoop | None = None

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Schedule a callback for the running loop, or for the loop whose timer is firing."""
        loop = self._firing or asyncio.get_running_loop()

        def fire() -> None:
            self._firing = loop
            try:
                callback()
            finally:
                self._firing = None

        timer = super().call_later(round_up(delay), fire)
        self._owners.append((loop, timer))
        return timer

    def drop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel the timers of a loop that has been closed."""
        for owner, timer in self._owners:
            if owner is loop:
                timer.cancel()
        self._owners = [entry for entry in self._owners if entry[0] is not loop]


class SteppedLoop:
    """One event loop, stepped from outside."""

    _numbers = itertools.count()

    def __init__(self) -> None:
        self.number = next(self._numbers)
        self.asyncio_loop = asyncio.new_event_loop()
        self.complaints: list[str] = []
        self.asyncio_loop.set_exception_handler(lambda _, context: self.complaints.append(str(context)))

    def settle(self, look: Callable[[], Any] = lambda: None) -> Any:
        """Run every task until it waits, and return the result of `look`, called within the loop."""

        async def turns() -> Any:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            return look()

        return self.asyncio_loop.run_until_complete(turns())

    def end(self, *, callers_first: bool) -> None:
        """Cancel every task and close the loop, as `asyncio.run` does, until no task is left."""
        while tasks := sorted(asyncio.all_tasks(self.asyncio_loop), key=lambda task: _rank(task, callers_first)):
            for task in tasks:
                task.cancel()
            self.asyncio_loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.asyncio_loop.run_until_complete(self.asyncio_loop.shutdown_asyncgens())
        self.asyncio_loop.close()


def _rank(task: asyncio.Task[Any], callers_first: bool) -> tuple[bool, int]:
    name = task.get_name()
    is_caller = name.startswith("Task-")
    return is_caller is not callers_first, int(name.removeprefix("Task-")) if is_caller else 0
