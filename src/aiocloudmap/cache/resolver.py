"""The cold path: joins memory, flights and the backend.

What a caller gets is decided in `aiocloudmap.cache.lookup`, what a fetch brought is settled in `aiocloudmap.cache.update`,
both synchronously and under the lock that is held here; awaiting happens outside of it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Final

from aiocloudmap.cache.entry import NEVER, Cell
from aiocloudmap.cache.freshness import state
from aiocloudmap.cache.lookup import Deciding, young
from aiocloudmap.cache.memory_store import Table
from aiocloudmap.cache.rate_limiter import Pace
from aiocloudmap.cache.singleflight import Flight, Flights, Outcome, Waiter
from aiocloudmap.cache.update import Counts, Settling, good, may_write, or_else
from aiocloudmap.errors import (
    CloudMapError,
    ConfigurationError,
    DeadlineError,
    NotFoundError,
    ThrottledError,
    UnavailableError,
)
from aiocloudmap.model.answer import Answer, Question, ServiceAttributes, Snapshot
from aiocloudmap.model.events import Event
from aiocloudmap.model.interfaces import AttributesBackend, Backend, Clock, pause, running_loop
from aiocloudmap.model.policy import CachePolicy
from aiocloudmap.model.query import AttributesQuery, Query
from aiocloudmap.model.stats import Explanation
from aiocloudmap.model.validation import check_max_age

__all__ = ["Resolver"]


class Resolver:
    """Answers from memory where it can, and from the backend where it must.

    An engine has one for instances and one for the attributes of services: AWS limits the rates of its data plane and
    of its control plane apart, so neither's throttling may hold up the other.

    Args:
        backend: Gives the source of truth; makes it when it is first called.
        clock: Where time comes from.
        timeout: Seconds that one question to the backend may take.
        rate: Questions a second that are put to the backend, more than 0.
        burst: How many may be put at once after a pause, 1 or more.
        emit: Is told what happens, outside of the lock.
        is_heard: Whether anybody hears what is no warning.
        observe: Is called before every decision on the cold path, to notice a clock that jumped.
    """

    def __init__(
        self,
        backend: Callable[[], Backend],
        *,
        clock: Clock,
        timeout: float,
        rate: float,
        burst: float,
        emit: Callable[[Event], None],
        is_heard: Callable[[], bool],
        observe: Callable[[], None],
    ) -> None:
        self.clock: Final = clock
        self.counts: Final = Counts()
        self._backend = backend
        self._emit = emit
        self._observe = observe
        self._table = Table()
        # What waits for half of its time still has the other half for the call.
        self._pace = Pace(rate, burst=burst, queue=timeout / 2)
        self._settling = Settling(self._table, self._pace, self.counts, is_heard)
        self._flights = Flights(self._reserve, self._turn, self._fetch, self._land, clock=clock, timeout=timeout)
        self._deciding = Deciding(self._flights, self._pace, self.counts)
        # Reentrant, because a signal handler may invalidate in the middle of a decision on the same thread.
        self._lock = threading.RLock()

    def cell(self, query: Question, policy: CachePolicy) -> Cell:
        """The listed cell, or an empty one that the next miss will list."""
        with self._lock:
            return self._table.find(query, policy) or Cell(query, policy)

    def adopt(self, cell: Cell) -> Cell:
        """The listed cell of the same query and policy: `cell` itself where there was none."""
        with self._lock:
            return self._table.adopt(cell)

    async def resolve(self, cell: Cell, max_age: float | None = None) -> Answer:
        """The answer by the table of `aiocloudmap.cache.lookup`.

        Args:
            cell: Listed by `adopt`.
            max_age: Seconds; nothing older is returned. 0 forces a fetch.

        Raises:
            CloudMapError: There is none to give; a ConfigurationError for a max_age that is none, too.
        """
        check_max_age(max_age)
        running_loop(cell.query.service)
        # Made before anybody waits: importing AWS's libraries takes seconds in a small sandbox, and the deadline of the
        # first question is not for that.
        self._backend()
        self._observe()
        with self._lock:
            decision = self._deciding.decide(cell, max_age, self.clock.monotonic())
        if decision.flight is not None:
            self._flights.launch(decision.flight)
        if decision.waiter is not None:
            return await self._wait(decision.waiter)
        assert decision.answer is not None
        return decision.answer

    def _reserve(self, now: float) -> float:
        with self._lock:
            return now if now < self._pace.floor else now + self._pace.reserve(now)

    async def _turn(self, flight: Flight) -> None:
        """Wait until the call may be made.

        Raises:
            ThrottledError: AWS has throttled another one meanwhile.
        """
        now = self.clock.monotonic()
        if flight.turn > now:
            await pause(self.clock, flight.turn - now)
            flight.started = now = self.clock.monotonic()
        if now < self._pace.floor:
            raise self._pace.refusal()

    async def _fetch(self, flight: Flight) -> Answer:
        with self._lock:
            self.counts.refreshes += 1
        query, backend = flight.query, self._backend()
        if isinstance(query, AttributesQuery):
            attributes = await _attributes_of(backend, query)
            self._observe()
            return ServiceAttributes(query.service, attributes, clock=self.clock, elapsed=flight.aged)
        found = await backend.discover(query)
        self._observe()
        return Snapshot(query.service, found.instances, revision=found.revision, clock=self.clock, elapsed=flight.aged)

    async def _wait(self, waiter: Waiter) -> Answer:
        try:
            outcome = await waiter.outcome(self.clock)
        except asyncio.CancelledError:
            if (task := self._flights.leave(waiter)) is not None:
                await asyncio.wait({task})
            raise
        if outcome is None:
            outcome = await self._run_out(waiter)
        if isinstance(outcome, CloudMapError):
            raise self._deciding.fresh(outcome, waiter.cell, self.clock.monotonic())
        return outcome

    async def _run_out(self, waiter: Waiter) -> Answer | CloudMapError:
        """The wait has taken too long: the old answer where it may be given, else the deadline's error."""
        events: list[Event] = []
        cell, flight = waiter.cell, waiter.flight
        error = DeadlineError(
            f"no answer within {waiter.patience:g} s", advice="Check the network path to AWS, or ask again later."
        )
        outcome: Answer | CloudMapError = error
        with self._lock:
            task = self._flights.leave(waiter)
            now = self.clock.monotonic()
            snapshot = good(cell, now)
            if snapshot is not None and (waiter.max_age is None or young(cell, waiter.max_age, now)):
                outcome = snapshot
            current = may_write(flight, cell)
            if task is not None:  # inline, and nobody else waits: the attempt is over, and it failed
                self.counts.failures += 1
                if current:
                    self._settling.fail(cell, error, now, events)
            elif outcome is not error:
                self.counts.stale_served += 1
                if current and waiter.max_age is None and not flight.landed:
                    begun = flight.started if flight.task is not None else now
                    cell.serve_until = min(begun + self._flights.timeout, cell.hard)
        self._tell(events)
        if task is not None:
            await asyncio.wait({task})
        return outcome

    def _land(self, flight: Flight, outcome: Outcome) -> None:
        """What a flight brought is written, then told to those who wait for it."""
        if isinstance(outcome, CloudMapError | None):  # an answer has been looked at when it came
            self._observe()
        events: list[Event] = []
        with self._lock:
            now = self.clock.monotonic()
            truth = (
                UnavailableError("the call was cancelled with its event loop's tasks") if outcome is None else outcome
            )
            if isinstance(truth, CloudMapError) and truth.service is None:
                truth = truth.again(service=str(flight.query.service))
            # One that gave up its turn under a throttle has asked nothing, and nothing is learnt from it either.
            if outcome is None or (isinstance(truth, ThrottledError) and not flight.begun):
                verdicts = {cell: or_else(good(cell, now), truth) for cell in flight.cells}
                for cell in flight.cells:
                    cell.reopen()
            else:
                verdicts, events = self._settling.settle(flight, truth, now)
        for waiter in list(flight.waiters):
            if waiter.max_age is None:
                waiter.tell(verdicts[waiter.cell])
            else:
                waiter.tell(self._young_or(truth, waiter, now))
        self._tell(events)

    @staticmethod
    def _young_or(truth: Answer | CloudMapError, waiter: Waiter, now: float) -> Answer | CloudMapError:
        """For a caller with a max_age: what the call brought, or where it failed an answer that is young enough."""
        certain = not isinstance(truth, CloudMapError) or isinstance(truth, NotFoundError | ConfigurationError)
        if certain or waiter.max_age is None:
            return truth
        return or_else(good(waiter.cell, now) if young(waiter.cell, waiter.max_age, now) else None, truth)

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            self._emit(event)

    def explain(self, cell: Cell) -> Explanation:
        """Why the cell gives the instances it gives, at this moment."""
        assert isinstance(cell.query, Query)
        with self._lock:
            now = self.clock.monotonic()
            snapshot = good(cell, now)
            return Explanation(
                query=cell.query,
                state=state(cell, now),
                instances=None if snapshot is None else len(snapshot),
                age=None if snapshot is None else now - cell.written,
                expires_in=None if snapshot is None else cell.hard - now,
                refresh_in=max(0.0, max(cell.serve_until, cell.trouble.retry_at, self._pace.until) - now),
                failures=cell.trouble.failures,
                last_error=cell.trouble.error,
                held_empty=cell.trouble.empty_since > NEVER,
                in_flight=self._flights.under_way(cell.query),
            )

    def invalidate(self, matches: Callable[[Question], bool]) -> int:
        """Answers to these queries count as expired; tells how many could have been given."""
        with self._lock:
            now = self.clock.monotonic()
            cells = [cell for cell in self._table.cells() if matches(cell.query)]
            known = sum(now < cell.hard for cell in cells)
            for cell in cells:
                cell.expire()
            self._flights.bar(matches)
            return known

    def clear(self) -> int:
        """Every answer is forgotten; tells how many could have been given."""
        with self._lock:
            known = self.entries
            self._table.clear()
            self._flights.bar(lambda _: True)
            return known

    def end(self) -> None:
        """Another one takes its place: its answers are gone, and its calls under way end, each on its own loop."""
        self.clear()
        self._flights.cancel()

    def thaw(self, seconds: float) -> None:
        """So many seconds passed unseen: every answer counts as that much older."""
        with self._lock:
            for cell in self._table.cells():
                cell.shift(seconds)
            self._pace.shift(seconds)
            self._flights.age(seconds)

    def forget_after_fork(self) -> None:
        """In the child: calls under way are the parent's, and so may be the holder of the lock."""
        self._lock = threading.RLock()
        self._flights.forget()
        for cell in self._table.cells():
            cell.reopen()

    @property
    def entries(self) -> int:
        """How many answers could be given now."""
        with self._lock:
            now = self.clock.monotonic()
            return sum(now < cell.hard for cell in self._table.cells())


async def _attributes_of(backend: Backend, query: AttributesQuery) -> Mapping[str, str]:
    if not isinstance(backend, AttributesBackend):
        raise ConfigurationError(
            f"the backend of type {type(backend).__name__} knows no attributes of services",
            service=query.service,
            advice="Give it a service_attributes method, as aiocloudmap.AttributesBackend says.",
        )
    return await backend.service_attributes(query)
