"""Event loops whose time jumps to the next timer when nothing is left to do, so that hours pass in a moment."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, TypeVar

from aiocloudmap.balancing import rotation
from aiocloudmap.model.interfaces import Timer

__all__ = ["VirtualClock", "run_in_virtual_time"]

_T = TypeVar("_T")


class VirtualClock:
    """A `Clock` whose time is moved by `run_in_virtual_time`. Its wall clock runs at the same rate."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Virtual seconds since the start."""
        return self.now

    def time(self) -> float:
        """Virtual seconds since the epoch."""
        return 1_700_000_000.0 + self.now

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` on the running event loop in `delay` virtual seconds."""
        return asyncio.get_running_loop().call_later(delay, callback)


class _Selector(selectors.DefaultSelector):
    """Notes how long its event loop would wait, and stops the loop instead."""

    loop: _Loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout != 0:
            self.loop.idle_until = math.inf if timeout is None else self.loop.time() + timeout
            self.loop.stop()
        return []


class _Loop(asyncio.SelectorEventLoop):
    """Runs tasks that do no input or output. `run_forever` returns when all of them wait."""

    def __init__(self, clock: VirtualClock) -> None:
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        self.idle_until = 0.0
        self._virtual_clock = clock

    def time(self) -> float:
        return self._virtual_clock.now


def run_in_virtual_time(clock: VirtualClock, *mains: Coroutine[Any, Any, _T], seed: int) -> list[_T]:
    """Run each coroutine on an event loop of its own, all at the same virtual time, and return their results.

    Args:
        clock: The clock that the coroutines use.
        mains: Coroutines that do no input or output.
        seed: Seeds the library's random numbers, so that results can be repeated.
    """
    loops = [_Loop(clock) for _ in mains]
    with _seeded_and_silent(seed):
        try:
            tasks = [loop.create_task(main) for loop, main in zip(loops, mains, strict=True)]
            while not all(task.done() for task in tasks):
                loop = min(loops, key=attrgetter("idle_until"))
                assert loop.idle_until < math.inf, "every task waits, and no timer is set"
                clock.now = max(clock.now, loop.idle_until)
                loop.run_forever()
            return [task.result() for task in tasks]
        finally:
            for loop in loops:
                loop.close()


@contextmanager
def _seeded_and_silent(seed: int) -> Iterator[None]:
    """Seed the library's random numbers, by replacing a method of its generator, and disable its log."""
    logger, generator = logging.getLogger("aiocloudmap"), rotation.system_random
    was_disabled, logger.disabled = logger.disabled, True
    generator.random = random.Random(seed).random  # type: ignore[method-assign]  # noqa: S311
    try:
        yield
    finally:
        del generator.random
        logger.disabled = was_disabled
