"""The write side: what the outcome of a call changes in the entries that asked. Synchronous, under the resolver's lock.

| the outcome | the old answer | then |
|---|---|---|
| instances, or attributes (even no attributes) | | they are the answer |
| no instances, or not-found | not empty, usable | the old answer, for empty_hold_time; then it is believed |
| no instances, or not-found | otherwise | that is the answer for negative_ttl |
| a failure | usable | it is served, and no call is made before the backoff ends |
| a failure | otherwise | the error is repeated until the backoff ends |
| ConfigurationError | | every caller gets it; it is never remembered |
| cancellation | | nothing changes |

A call that is older than the entry's answer, or in flight during an invalidation, writes nothing. Its waiters get its
outcome; if it failed, the old answer while that is usable.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final, TypeGuard

from aiocloudmap.balancing.rotation import system_random
from aiocloudmap.cache.entry import LONG_AGO, Entry
from aiocloudmap.cache.freshness import backoff, hold_end, lifetime
from aiocloudmap.cache.memory_store import MemoryStore
from aiocloudmap.cache.rate_limiter import RateLimiter
from aiocloudmap.cache.singleflight import Call, Waiter
from aiocloudmap.errors import CloudMapError, ConfigurationError, NotFoundError, ThrottledError
from aiocloudmap.model.answer import Answer, Snapshot, is_empty
from aiocloudmap.model.events import (
    LOGGER,
    AnswerTruncated,
    AttributesRefreshed,
    EmptyAnswerHeld,
    Event,
    Refreshed,
    RefreshFailed,
    Throttled,
)
from aiocloudmap.model.instance import MAX_INSTANCES
from aiocloudmap.model.query import AttributesQuery
from aiocloudmap.model.stats import Counts

__all__ = ["Update", "may_write", "outcome_for_max_age", "result_or_old"]

Result = Answer | CloudMapError
"""What a waiter gets."""


class Update:
    """Writes the outcomes of calls into entries.

    Args:
        store: Where written entries are kept.
        counts: Counts failures.
        listeners: While there are none, and debug messages are off, a success makes no event.
    """

    def __init__(self, store: MemoryStore, counts: Counts, listeners: Collection[object]) -> None:
        self._store: Final = store
        self._counts: Final = counts
        self._listeners: Final = listeners

    def apply(
        self, call: Call, outcome: Result, now: float, limiter: RateLimiter
    ) -> tuple[dict[Entry, Result], list[Event]]:
        """Write the outcome.

        Args:
            call: The call that has just ended.
            outcome: Its outcome.
            now: When it ended.
            limiter: Notified of the outcome.

        Returns:
            What the waiters of each entry get, and the events to report.
        """
        events: list[Event] = []
        if isinstance(outcome, ThrottledError):
            self._counts.throttled += 1
            if (wait := limiter.on_throttled(now)) is not None:
                events.append(Throttled(wait))
        elif limiter.is_slow and not _is_failure(outcome):
            limiter.on_answer(call.started, now)
        if not isinstance(outcome, CloudMapError):
            events += self._success_events(call, outcome, now)
        elif not isinstance(outcome, NotFoundError):
            self._counts.failures += 1
        results = {
            entry: self._apply_to(entry, call, outcome, now, limiter=limiter, events=events) for entry in call.entries
        }
        return results, events

    def _apply_to(
        self, entry: Entry, call: Call, outcome: Result, now: float, *, limiter: RateLimiter, events: list[Event]
    ) -> Result:
        is_newest = may_write(call, entry)
        if isinstance(outcome, ConfigurationError):
            if is_newest:
                entry.write_misconfigured(outcome)
            return outcome
        if not is_newest:
            # If an outdated call failed, the caller still gets the answer in memory.
            return result_or_old(outcome, entry, now) if _is_failure(outcome) else outcome
        if isinstance(outcome, NotFoundError):
            return self._write_nothing(entry, call, outcome, now, events)
        if isinstance(outcome, CloudMapError):
            return self.write_failure(entry, outcome, now, limiter, events)
        if is_empty(outcome):
            return self._write_nothing(entry, call, outcome, now, events)
        return self._write(entry, call, outcome, now, empty=False)

    def write_failure(
        self, entry: Entry, error: CloudMapError, now: float, limiter: RateLimiter, events: list[Event]
    ) -> Result:
        """A call failed. Returns the old answer while it is usable, else the error."""
        wait = max(backoff(entry.failures.in_a_row + 1, system_random.random()), limiter.throttled_until - now)
        entry.write_failure(error, until=now + wait)
        serving_age = None if entry.usable(now) is None else entry.age(now)
        events.append(RefreshFailed(entry.query, error, entry.failures.in_a_row, serving_age, wait))
        return result_or_old(error, entry, now)

    def _write_nothing(self, entry: Entry, call: Call, outcome: Result, now: float, events: list[Event]) -> Result:
        old = entry.usable(now)
        end = LONG_AGO if old is None or call.believe_empty else hold_end(entry, now)
        if old is not None and end > now:
            since = now if entry.failures.empty_since == LONG_AGO else entry.failures.empty_since
            entry.hold(since=since, until=min(end, now + entry.policy.negative_ttl))
            events.append(EmptyAnswerHeld(entry.query, len(old), end - now))
            return old
        if not isinstance(outcome, CloudMapError):
            return self._write(entry, call, outcome, now, empty=True)
        entry.write_not_found(outcome, until=now + entry.policy.negative_ttl, started=call.started)
        self._store.touch(entry)
        return outcome

    def _write(self, entry: Entry, call: Call, answer: Answer, now: float, *, empty: bool) -> Answer:
        written = now - call.age
        soft, hard = lifetime(entry.policy, written, empty=empty, u=system_random.random())
        entry.write(answer, soft=soft, hard=hard, written=written, started=call.started)
        self._store.touch(entry)
        return answer

    def _success_events(self, call: Call, answer: Answer, now: float) -> list[Event]:
        # Making an event takes a tenth as long as everything else that is done with an answer.
        is_heard = bool(self._listeners) or LOGGER.isEnabledFor(logging.DEBUG)
        query, duration = call.query, now - call.started
        if isinstance(query, AttributesQuery):
            return [AttributesRefreshed(query, len(answer), duration)] if is_heard else []
        assert isinstance(answer, Snapshot)
        size = len(answer.instances)
        events: list[Event] = [Refreshed(query, size, duration)] if is_heard else []
        if size >= MAX_INSTANCES:
            events.append(AnswerTruncated(query, size))
        return events


def may_write(call: Call, entry: Entry) -> bool:
    """Whether the entry is listed, and the call is newer than its answer and than every invalidation."""
    return not call.invalidated and entry.listed and entry.started <= call.started


def result_or_old(result: Result, entry: Entry, now: float) -> Result:
    """The old answer while it is usable, else the result."""
    answer = entry.usable(now)
    return result if answer is None else answer


def outcome_for_max_age(outcome: Result, waiter: Waiter, now: float) -> Result:
    """For a caller with a max_age: the outcome; if the call failed, an answer in memory that is young enough."""
    assert waiter.max_age is not None
    if not _is_failure(outcome) or isinstance(outcome, ConfigurationError):
        return outcome
    return result_or_old(outcome, waiter.entry, now) if waiter.entry.is_young(waiter.max_age, now) else outcome


def _is_failure(outcome: Result) -> TypeGuard[CloudMapError]:
    """Whether AWS did not answer. A not-found is an answer."""
    return isinstance(outcome, CloudMapError) and not isinstance(outcome, NotFoundError)
