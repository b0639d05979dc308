"""One call per question and event loop, shared by all who ask meanwhile.

Who may not join the call under way (it began too early for them, or before an invalidation) shares one successor,
which begins when that call has ended: never are two calls under way at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Awaitable, Callable
from typing import Final

from aiocloudmap.cache.entry import Cell
from aiocloudmap.errors import CloudMapError, DeadlineError, UnavailableError
from aiocloudmap.model.answer import Answer, Question
from aiocloudmap.model.interfaces import Clock, Deadline

__all__ = ["Flight", "Flights", "Outcome", "Waiter"]


# MERGED cache/flight: One call, under way or about to be, and those who wait for it.
#
# Every waiter has a future of its own, so cancelling one touches neither the call nor the others.
#
# | a flight | means |
# |---|---|
# | waiting | a successor that has not begun |
# | launched | its task exists; until the task's first step whoever comes now still counts as having come before |
# | landed | its outcome is known and told; it is not in the way of anybody any more |
#
# Outcomes travel as values, not as exceptions of futures or tasks: nothing can be "never retrieved".
#


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


class Flights:
    """The calls under way, by event loop and query.

    Args:
        reserve: Gives the moment at which a call that is launched at this one may be made.
        turn: Waits for that moment; raises where the call may not be made after all.
        fetch: Makes the call.
        land: Is told each flight's outcome, once, before the flight is freed; tells the waiters.
        clock: Where time comes from.
        timeout: Seconds that one call may take.
    """

    def __init__(
        self,
        reserve: Callable[[float], float],
        turn: Callable[[Flight], Awaitable[None]],
        fetch: Callable[[Flight], Awaitable[Answer]],
        land: Callable[[Flight, Outcome], None],
        *,
        clock: Clock,
        timeout: float,
    ) -> None:
        self._reserve = reserve
        self._turn = turn
        self._fetch = fetch
        self._land = land
        self._clock = clock
        self.timeout: Final = timeout
        self._current: dict[asyncio.AbstractEventLoop, dict[Question, Flight]] = {}
        self._going_down: set[asyncio.Task[None]] = set()

    def under_way(self, query: Question) -> bool:
        """Whether a call for this query is under way on the running event loop; no where none is running."""
        try:
            return query in self._current.get(asyncio.get_running_loop(), _NOTHING)
        except RuntimeError:
            return False

    def board(self, cell: Cell, *, keep: bool, fresh: bool = False) -> Flight:
        """The flight that a caller on the running loop may share: one under way, its successor, or a new one.

        Args:
            cell: The cell that the outcome is for.
            keep: Whether the flight is to go on when nobody waits any more.
            fresh: Whether a call that has begun already is too old.
        """
        loop = asyncio.get_running_loop()
        query = cell.query
        current = self._current.get(loop)
        if current is None:
            if self._current:
                self._sweep()
            current = self._current[loop] = {}
        flight = current.get(query)
        if flight is None:
            flight = current[query] = Flight(query, loop)
            flight.is_current = True
        elif flight.barred or (fresh and flight.begun):
            if flight.successor is None:
                flight.successor = Flight(query, loop)
            flight = flight.successor
        flight.cells.add(cell)
        flight.keep |= keep
        return flight

    def launch(self, flight: Flight) -> None:
        """Begin the call, if it is its turn and it has not begun."""
        if flight.task is not None or flight.landed or not flight.is_current:
            return
        flight.started = self._clock.monotonic()
        flight.turn = self._reserve(flight.started)
        flight.timer = Deadline(self._clock, self.timeout, lambda: self._expire(flight))
        # An empty context: a refresh must not inherit the request that happened to trigger it.
        name = f"aiocloudmap {flight.query.service}"
        flight.task = flight.loop.create_task(self._run(flight), name=name, context=contextvars.Context())

    def leave(self, waiter: Waiter) -> asyncio.Task[None] | None:
        """A caller stops waiting. Returns the task of a flight that nobody needs now: it is cancelled, await it."""
        flight = waiter.flight
        flight.waiters.discard(waiter)
        if flight.waiters or flight.keep or flight.landed:
            return None
        if flight.task is None:
            self._drop_successor(flight)
            return None
        self._finish(flight, None)
        self._take_down(flight.task)
        return flight.task

    def bar(self, matches: Callable[[Question], bool]) -> None:
        """What is under way for these queries answers those who wait, and is not written."""
        for flight in self._under_way():
            if matches(flight.query):
                flight.barred = True

    def age(self, seconds: float) -> None:
        """So many seconds passed unseen by the calls under way."""
        for flight in self._under_way():
            flight.aged += seconds

    def cancel(self) -> None:
        """Cancel the calls under way, each on its own loop, from any thread; a loop that rests does it when it runs."""
        for flight in self._under_way():
            if flight.task is not None:
                # A loop that has been closed has nothing under way.
                with contextlib.suppress(RuntimeError):
                    flight.loop.call_soon_threadsafe(flight.task.cancel)

    def forget(self) -> None:
        """After a fork: the calls under way belong to the parent."""
        for flight in self._under_way():
            flight.is_current = False
        self._current.clear()
        self._going_down.clear()

    async def _run(self, flight: Flight) -> None:
        outcome: Outcome = None
        try:
            await self._turn(flight)
            flight.begun = True
            outcome = await self._fetch(flight)
        except CloudMapError as error:
            # It is remembered, and its traceback would keep this frame, and so the flight and all who waited for it.
            outcome = error.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - whatever a backend does wrong, nobody may wait for ever
            outcome = UnavailableError(f"the backend failed with {type(error).__name__}", service=flight.query.service)
            outcome.__cause__ = error
        finally:
            self._finish(flight, outcome, going_down=outcome is None)
            flight.task = None  # one that was cancelled keeps this frame, and so the flight

    def _expire(self, flight: Flight) -> None:
        """The deadline: whoever waits is told now, however long the call takes to notice that it is cancelled."""
        if flight.landed:
            return
        self._finish(
            flight,
            DeadlineError(
                f"no answer within {self.timeout:g} s",
                service=flight.query.service,
                advice="Check the network path to AWS, or raise ConnectionPolicy(discovery_timeout=...).",
            ),
        )
        if flight.task is not None:
            self._take_down(flight.task)

    def _take_down(self, task: asyncio.Task[None]) -> None:
        """Cancel it, and keep it until it has ended: its flight does so no more, and an event loop does not."""
        self._going_down.add(task)
        task.add_done_callback(self._going_down.discard)
        task.cancel()

    def _finish(self, flight: Flight, outcome: Outcome, *, going_down: bool = False) -> None:
        if flight.landed:
            return
        flight.landed = True
        if flight.timer is not None:
            flight.timer.cancel()
        try:
            self._land(flight, outcome)
        finally:
            # Nothing that is over is left for the garbage collector to find: timer and waiters know the flight.
            flight.timer = None
            flight.waiters.clear()
            self._free(flight, going_down=going_down)

    def _free(self, flight: Flight, *, going_down: bool) -> None:
        if not flight.is_current:
            return
        successor, flight.successor = flight.successor, None
        if successor is None or going_down:
            self._remove(flight)
            # The loop may be cancelling its tasks: a new one would be destroyed while it is pending.
            if successor is not None:
                self._finish(successor, None)
            return
        flight.is_current, successor.is_current = False, True
        self._current[flight.loop][flight.query] = successor
        self.launch(successor)

    def _drop_successor(self, flight: Flight) -> None:
        if flight.is_current:
            self._remove(flight)
            return
        current = self._current.get(flight.loop, _NOTHING).get(flight.query)
        if current is not None and current.successor is flight:
            current.successor = None

    def _remove(self, flight: Flight) -> None:
        flight.is_current = False
        current = self._current[flight.loop]
        del current[flight.query]
        if not current:
            del self._current[flight.loop]

    def _under_way(self) -> list[Flight]:
        return [flight for current in list(self._current.values()) for flight in list(current.values())]

    def _sweep(self) -> None:
        """What loops left behind that were closed, in the middle of a call perhaps."""
        for loop in [loop for loop in list(self._current) if loop.is_closed()]:
            for flight in self._current.pop(loop, _NOTHING).values():
                flight.is_current = False
                if flight.task is not None:
                    # It never ends; destroyed, it would complain of that, and land here and now.
                    self._going_down.add(flight.task)


_NOTHING: Final[dict[Question, Flight]] = {}
"""The flights of a loop that has none. Nobody writes into it."""
