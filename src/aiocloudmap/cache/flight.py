"""One call, under way or about to be, and those who wait for it.

Every waiter has a future of its own, so cancelling one touches neither the call nor the others.

| a flight | means |
|---|---|
| waiting | a successor that has not begun |
| launched | its task exists; until the task's first step whoever comes now still counts as having come before |
| landed | its outcome is known and told; it is not in the way of anybody any more |

Outcomes travel as values, not as exceptions of futures or tasks: nothing can be "never retrieved".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from aiocloudmap.answers import Answer, Question
from aiocloudmap.cache.cell import Cell
from aiocloudmap.cache.deadline import Deadline
from aiocloudmap.errors import CloudMapError
from aiocloudmap.ports import Clock

__all__ = ["Flight", "Outcome", "Waiter"]

Outcome = Answer | CloudMapError | None
"""What a call brought; None where it was cancelled, which says nothing about the question."""


class Waiter:
    """One caller that waits for a flight, on behalf of a cell."""

    __slots__ = ("_told", "cell", "flight", "max_age", "patience")

    def __init__(self, flight: Flight, cell: Cell, max_age: float | None, patience: float | None) -> None:
        self.flight: Final = flight
        self.cell: Final = cell
        self.max_age: Final = max_age
        self.patience: Final = patience
        """Seconds that the caller waits at most; None for as long as the flight takes."""
        self._told: Final[asyncio.Future[Answer | CloudMapError | None]] = flight.loop.create_future()

    def tell(self, outcome: Answer | CloudMapError | None) -> None:
        """End the wait, unless it has ended already."""
        # A loop that was closed in the middle of a call takes no callbacks any more, and nobody waits on it.
        if not self._told.done() and not self.flight.loop.is_closed():
            self._told.set_result(outcome)

    def outcome(self, clock: Clock) -> Awaitable[Answer | CloudMapError | None]:
        """What the flight brings, or None once the patience is over. Awaited by the caller alone."""
        # No coroutine where there is nothing to time: thousands may wait here.
        return self._told if self.patience is None else self._outcome_within(clock, self.patience)

    async def _outcome_within(self, clock: Clock, patience: float) -> Answer | CloudMapError | None:
        timer = Deadline(clock, patience, lambda: self.tell(None))
        try:
            return await self._told
        finally:
            timer.cancel()


class Flight:
    """One call, under way or about to be, and those who wait for it."""

    __slots__ = (
        "aged",
        "barred",
        "begun",
        "cells",
        "is_current",
        "keep",
        "landed",
        "loop",
        "query",
        "started",
        "successor",
        "task",
        "timer",
        "truthful",
        "turn",
        "waiters",
    )

    def __init__(self, query: Question, loop: asyncio.AbstractEventLoop) -> None:
        self.query: Final = query
        self.loop: Final = loop
        self.cells: Final[set[Cell]] = set()
        self.waiters: Final[set[Waiter]] = set()
        self.task: asyncio.Task[None] | None = None
        self.timer: Deadline | None = None
        self.successor: Flight | None = None
        self.started = self.turn = 0.0
        self.aged = 0.0
        """Seconds that passed unseen while it was under way: what it brings may be that much older."""
        self.begun = self.landed = False
        self.is_current = False
        """Whether it need not wait for another one to end first."""
        self.keep = False
        """Whether it goes on when nobody waits any more."""
        self.barred = False
        """Whether what it brings is no longer to be written, because it began before an invalidation."""
        self.truthful = False
        """Whether somebody insists on the truth, so that an empty answer is believed."""

    def __repr__(self) -> str:
        state = "landed" if self.landed else "launched" if self.task else "waiting"
        return f"<Flight {self.query.service} {state}, {len(self.waiters)} waiting>"
