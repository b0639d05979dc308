"""What `Service.explain()` and `CloudMap.stats()` return."""

from __future__ import annotations

from enum import StrEnum

from aiocloudmap.errors import CloudMapError
from aiocloudmap.model.events import Report
from aiocloudmap.model.query import Query

__all__ = ["Counts", "Explanation", "Freshness", "Stats"]


class Freshness(StrEnum):
    """How an answer in memory may be used (RFC 9111, RFC 5861)."""

    FRESH = "fresh"
    """Returned at once."""

    STALE = "stale"
    """Returned at once, and refreshed in the background."""

    FALLBACK = "fallback"
    """Returned only if a new answer does not arrive in time."""

    ABSENT = "absent"
    """There is no answer, or it is too old to be returned."""


class Explanation(Report):
    """Why a service returns the answer it returns.

    Args:
        query: The query.
        state: How the answer in memory may be used now.
        instances: How many instances it has; None without an answer.
        age: Its age in seconds; None without an answer.
        expires_in: Seconds until it is no longer returned in any case; None without an answer.
        refresh_in: Seconds until AWS may be asked again; 0 if the next caller does.
        failures: How many fetches in a row have failed.
        last_error: Why the last fetch failed; None after a success.
        held_empty: Whether an empty answer was received and is not accepted yet.
        in_flight: Whether a fetch is running on this event loop.
    """

    query: Query
    state: Freshness
    instances: int | None
    age: float | None
    expires_in: float | None
    refresh_in: float
    failures: int
    last_error: CloudMapError | None
    held_empty: bool
    in_flight: bool

    def __str__(self) -> str:
        parts = [f"{self.query.service} is {self.state}"]
        if self.age is not None and self.expires_in is not None:
            parts.append(f"{self.instances} instance(s), {self.age:.1f} s old, good for {self.expires_in:.1f} s more")
        if self.held_empty:
            parts.append("an empty answer is not accepted yet")
        if self.last_error is not None:
            failures = f"{self.failures} failure(s), the last: " if self.failures else ""
            parts.append(f"{failures}{self.last_error}")
        parts.append("refresh under way" if self.in_flight else f"next refresh in {self.refresh_in:.1f} s")
        return "; ".join(parts)


class Stats(Report):
    """Counts of one engine since it was created. Hits are not counted, since counting would cost more than a hit.

    Args:
        misses: Callers that waited for a fetch.
        coalesced: How many of them joined a fetch that was already running.
        refreshes: Fetches started, first ones included; each sends one request to AWS, or more with retries.
        stale_served: Answers older than their ttl that were returned outside the hit path.
        failures: Fetches that failed.
        throttled: How many of them AWS throttled.
        entries: Answers in memory now.
        open_connections: Sockets open now on all event loops, including idle ones.
    """

    misses: int
    coalesced: int
    refreshes: int
    stale_served: int
    failures: int
    throttled: int
    entries: int
    open_connections: int


class Counts:
    """The running counts of an engine, by the names of the fields of `Stats`."""

    def __init__(self) -> None:
        self.misses = self.coalesced = self.refreshes = 0
        self.stale_served = self.failures = self.throttled = 0
