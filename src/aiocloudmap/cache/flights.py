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

from aiocloudmap.answers import Answer, Question
from aiocloudmap.cache.cell import Cell
from aiocloudmap.cache.deadline import Deadline
from aiocloudmap.cache.flight import Flight, Outcome, Waiter
from aiocloudmap.errors import CloudMapError, DeadlineError, UnavailableError
from aiocloudmap.ports import Clock

__all__ = ["Flights"]


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
