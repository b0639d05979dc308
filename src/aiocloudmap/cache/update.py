"""What a fetch brought, written into the cells it was for: synchronous, under the resolver's lock.

| the fetch brought | the old answer | then |
|---|---|---|
| instances, or attributes, even none | | they are the answer |
| no instances, or not-found | has some, may be given | it is held for empty_hold_time, the next nothing is believed |
| no instances, or not-found | otherwise | it is the answer for negative_ttl |
| a failure | may be given | it is given, and nobody asks before the backoff |
| a failure | otherwise | the error is the answer until the backoff |
| ConfigurationError | | everybody gets it; it is never remembered |
| cancellation | | nothing is learnt |

A flight that is older than the cell's answer, or was barred by an invalidation, answers its waiters and writes nothing.

Events are no part of what importing the library loads; `aiocloudmap.client.engine` says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiocloudmap.balancing.rotation import draw
from aiocloudmap.cache.entry import NEVER, Cell
from aiocloudmap.cache.freshness import backoff, hold_end, lifetime
from aiocloudmap.cache.memory_store import Table
from aiocloudmap.cache.rate_limiter import Pace
from aiocloudmap.cache.singleflight import Flight
from aiocloudmap.errors import CloudMapError, ConfigurationError, NotFoundError, ThrottledError
from aiocloudmap.model.answer import Answer, Question, Snapshot, is_empty
from aiocloudmap.model.events import (
    AnswerTruncated,
    AttributesRefreshed,
    EmptyAnswerHeld,
    Event,
    Refreshed,
    RefreshFailed,
    Throttled,
)
from aiocloudmap.model.query import AttributesQuery

__all__ = ["Counts", "Settling", "good", "last_good_age", "may_write", "or_else"]


class Counts:
    """What happened so far; the attributes are fields of `aiocloudmap.model.stats.Stats`."""

    def __init__(self) -> None:
        self.misses = self.coalesced = self.refreshes = 0
        self.stale_served = self.failures = self.throttled = 0


class Settling:
    """Writes outcomes into cells, and says what the waiters of each cell get."""

    def __init__(self, table: Table, pace: Pace, counts: Counts, is_heard: Callable[[], bool]) -> None:
        self._table: Final = table
        self._pace: Final = pace
        self._counts: Final = counts
        self._is_heard: Final = is_heard

    def settle(
        self, flight: Flight, truth: Answer | CloudMapError, now: float
    ) -> tuple[dict[Cell, Answer | CloudMapError], list[Event]]:
        """What each cell's waiters get, and what there is to tell.

        Args:
            flight: Has just landed.
            truth: What it brought.
            now: The moment it landed.
        """
        events: list[Event] = []
        denied = isinstance(truth, NotFoundError)
        if isinstance(truth, ThrottledError):
            self._counts.throttled += 1
            if (wait := self._pace.hit(now)) is not None:
                events.append(Throttled(wait))
        elif denied or not isinstance(truth, CloudMapError):
            self._pace.answered(flight.started, now)
        if not isinstance(truth, CloudMapError):
            events += self._news(flight.query, truth, now - flight.started)
        elif not denied:
            self._counts.failures += 1
        return {cell: self._settle(cell, flight, truth, now, events) for cell in flight.cells}, events

    def _settle(
        self, cell: Cell, flight: Flight, truth: Answer | CloudMapError, now: float, events: list[Event]
    ) -> Answer | CloudMapError:
        current = may_write(flight, cell)
        if isinstance(truth, ConfigurationError):
            if current:
                cell.misconfigured(truth)
            return truth
        if not current:
            failed = isinstance(truth, CloudMapError) and not isinstance(truth, NotFoundError)
            return or_else(good(cell, now), truth) if failed else truth
        if not isinstance(truth, CloudMapError) and not is_empty(truth):
            return self._write(cell, flight, truth, now, empty=False)
        if not isinstance(truth, CloudMapError) or isinstance(truth, NotFoundError):
            return self._settle_nothing(cell, flight, truth, now, events)
        return self.fail(cell, truth, now, events)

    def fail(self, cell: Cell, error: CloudMapError, now: float, events: list[Event]) -> Answer | CloudMapError:
        """A failed attempt: the old answer where it is still good, else the error."""
        wait = max(backoff(cell.trouble.failures + 1, draw()), self._pace.floor - now)
        cell.fail(error, until=now + wait)
        snapshot = good(cell, now)
        age = None if snapshot is None else last_good_age(cell, now)
        events.append(RefreshFailed(cell.query, error, cell.trouble.failures, age, wait))
        return or_else(snapshot, error)

    def _settle_nothing(
        self, cell: Cell, flight: Flight, truth: Answer | CloudMapError, now: float, events: list[Event]
    ) -> Answer | CloudMapError:
        old = good(cell, now)
        end = NEVER if old is None or flight.truthful else hold_end(cell, now)
        if old is not None and end > now:
            since = now if cell.trouble.empty_since == NEVER else cell.trouble.empty_since
            cell.hold(since=since, until=min(end, now + cell.policy.negative_ttl))
            events.append(EmptyAnswerHeld(cell.query, len(old), end - now))
            return old
        if not isinstance(truth, CloudMapError):
            return self._write(cell, flight, truth, now, empty=True)
        cell.deny(truth, until=now + cell.policy.negative_ttl, started=flight.started)
        self._table.touch(cell)
        return truth

    def _write(self, cell: Cell, flight: Flight, snapshot: Answer, now: float, *, empty: bool) -> Answer:
        written = now - flight.aged
        soft, hard = lifetime(cell.policy, written, empty=empty, u=draw())
        cell.write(snapshot, soft=soft, hard=hard, written=written, started=flight.started)
        self._table.touch(cell)
        return snapshot

    def _news(self, query: Question, answer: Answer, duration: float) -> list[Event]:
        truncated = isinstance(answer, Snapshot) and answer.maybe_truncated
        if not truncated and not self._is_heard():
            return []
        if isinstance(query, AttributesQuery):
            return [AttributesRefreshed(query, len(answer), duration)]
        return [Refreshed(query, len(answer), duration), *([AnswerTruncated(query, len(answer))] if truncated else [])]


def may_write(flight: Flight, cell: Cell) -> bool:
    """Whether what becomes of the flight is newer than what the cell knows, and than every invalidation."""
    return not flight.barred and cell.listed and cell.started <= flight.started


def good(cell: Cell, now: float) -> Answer | None:
    """The cell's answer, while it may be given."""
    return cell.snapshot if now < cell.hard else None


def or_else(snapshot: Answer | None, error: Answer | CloudMapError) -> Answer | CloudMapError:
    """The snapshot if there is one; an empty one is one, though it is falsy."""
    return error if snapshot is None else snapshot


def last_good_age(cell: Cell, now: float) -> float | None:
    """Age in seconds of the last answer that was written, None if there never was one."""
    return None if cell.written == NEVER else now - cell.written
