"""What a caller gets whom memory cannot answer at once: synchronous, under the resolver's lock.

| the answer is | the caller gets | what else happens |
|---|---|---|
| fresh | it | |
| stale | it | one refresh in the background |
| fallback | the new answer, or the old one if that fails or takes over soft_timeout | the refresh goes on |
| absent | the new answer, or the error | the error stands for negative_ttl, or for the backoff |

A caller with a max_age gets nothing older, and waits behind a call that began before it came.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from aiocloudmap.cache.entry import NEVER, Cell
from aiocloudmap.cache.freshness import stale_until, state
from aiocloudmap.cache.rate_limiter import Pace
from aiocloudmap.cache.singleflight import Flight, Flights, Waiter
from aiocloudmap.cache.update import Counts, good, last_good_age
from aiocloudmap.errors import CloudMapError, ConfigurationError, NotFoundError, UnavailableError
from aiocloudmap.model.answer import Answer
from aiocloudmap.model.stats import Freshness

__all__ = ["Deciding", "Decision", "young"]


class Decision(NamedTuple):
    """What to do about one call: give `answer`, or wait; and begin `flight` first."""

    answer: Answer | None = None
    flight: Flight | None = None
    waiter: Waiter | None = None


class Deciding:
    """Decides about calls, and puts those that have to wait aboard a flight."""

    def __init__(self, flights: Flights, pace: Pace, counts: Counts) -> None:
        self._flights: Final = flights
        self._pace: Final = pace
        self._counts: Final = counts

    def decide(self, cell: Cell, max_age: float | None, now: float) -> Decision:  # noqa: PLR0911 - one a table row
        """What to do about a call for a listed cell.

        Raises:
            CloudMapError: There is nothing to give, and no call is to be made now.
        """
        if max_age is not None and not (young(cell, max_age, now) and state(cell, now) in _AT_ONCE):
            if now < self._pace.until:
                return self._decline(cell, max_age, now)
            return self._await_flight(cell, max_age)
        judged, snapshot = state(cell, now), good(cell, now)
        barrier = max(cell.trouble.retry_at, self._pace.until)
        if snapshot is None:
            return self._decline(cell, max_age, now) if now < barrier else self._await_flight(cell)
        if judged is Freshness.FRESH and cell.trouble.empty_since == NEVER:
            cell.reopen()
            return Decision(snapshot)
        if now < barrier:
            again = max(cell.trouble.retry_at, self._pace.again(now))
            return self._serve_old(cell, snapshot, until=min(again, cell.hard))
        if isinstance(cell.trouble.error, ConfigurationError) or (max_age is not None and cell.inline):
            # No old answer covers a wrong setting up; and one that is young enough now may not be so later.
            return self._await_flight(cell, max_age)
        if judged is Freshness.FALLBACK or cell.inline:
            return self._await_flight_or_old(cell, snapshot, now)
        flight = self._flights.board(cell, keep=True)
        at_once = max(stale_until(cell), cell.soft)
        return self._serve_old(cell, snapshot, until=min(now + self._flights.timeout, at_once), flight=flight)

    def _decline(self, cell: Cell, max_age: float | None, now: float) -> Decision:
        """No call is made now: what the caller may still have, or else the error that stands."""
        snapshot = good(cell, now)
        if snapshot is not None and max_age is not None and young(cell, max_age, now):
            return Decision(snapshot)
        error = cell.trouble.error if now < cell.trouble.retry_at else None
        if max_age is not None and isinstance(error, NotFoundError):
            error = None  # that it was not there then is older than what is asked for
        if error is None:
            error = self._pace.refusal()
        raise self.fresh(error, cell, now)

    def _serve_old(self, cell: Cell, snapshot: Answer, *, until: float, flight: Flight | None = None) -> Decision:
        """The old answer at once; and to whoever comes before `until` without a thought."""
        self._counts.stale_served += 1
        cell.serve_until = until
        return Decision(snapshot, flight)

    def _await_flight(self, cell: Cell, max_age: float | None = None) -> Decision:
        flight = self._flights.board(cell, keep=not cell.inline, fresh=max_age is not None)
        flight.truthful |= max_age == 0
        # The flight's own deadline ends the wait, unless the flight has to wait for another one first.
        patience = None if flight.is_current else self._flights.timeout
        return self._board(flight, cell, max_age, patience)

    def _await_flight_or_old(self, cell: Cell, snapshot: Answer, now: float) -> Decision:
        if cell.inline and cell.policy.soft_timeout == 0:
            # Nobody would wait for the call, and nothing may outlive the callers: so there is none before the hard end.
            return self._serve_old(cell, snapshot, until=cell.hard)
        flight = self._flights.board(cell, keep=not cell.inline)
        begun = flight.started if flight.task is not None else now
        # The flight may have to wait for another one first, and a soft_timeout may be longer than any call.
        patience = min(begun + cell.policy.soft_timeout - now, self._flights.timeout)
        if patience > 0:
            return self._board(flight, cell, None, patience)
        until = min(begun + self._flights.timeout, cell.hard)
        return self._serve_old(cell, snapshot, until=until, flight=flight)

    def _board(self, flight: Flight, cell: Cell, max_age: float | None, patience: float | None) -> Decision:
        self._counts.misses += 1
        if flight.task is not None or flight.waiters:
            self._counts.coalesced += 1
        waiter = Waiter(flight, cell, max_age, patience)
        flight.waiters.add(waiter)
        return Decision(None, flight, waiter)

    def fresh(self, error: CloudMapError, cell: Cell, now: float) -> CloudMapError:
        """The error as this caller gets it: an exception of its own, and the state of things now."""
        changes: dict[str, object] = {"last_good_age": last_good_age(cell, now), "service": str(cell.query.service)}
        if isinstance(error, UnavailableError):
            wait = max(cell.trouble.retry_at, self._pace.until) - now
            changes["retry_after"] = wait if wait > 0 else None
        return error.again(**changes)


_AT_ONCE: Final = (Freshness.FRESH, Freshness.STALE)


def young(cell: Cell, max_age: float, now: float) -> bool:
    """Whether the answer is young enough for the caller; for a max_age of 0 no answer in memory is."""
    return 0 < max_age >= now - cell.written
