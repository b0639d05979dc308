"""What a service and an engine tell about themselves: `Service.explain()` and `CloudMap.stats()`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aiocloudmap.errors import CloudMapError
from aiocloudmap.model.query import Query

__all__ = ["Counts", "Explanation", "Freshness", "Stats"]


# MERGED model/freshness: What an answer in memory is good for (RFC 9111, RFC 5861).


class Freshness(StrEnum):
    """What an answer is good for."""

    FRESH = "fresh"
    """Given at once."""

    STALE = "stale"
    """Given at once, and renewed in the background."""

    FALLBACK = "fallback"
    """Given where no new answer can be had in time."""

    ABSENT = "absent"
    """Not there, or too old to be given."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a service gives the answer it gives.

    Args:
        query: The question.
        state: What the answer in memory is good for at this moment.
        instances: How many instances it has, None where there is none.
        age: Its age in seconds, None where there is none.
        expires_in: Seconds until it may not be given any more, whatever happens; None where there is none.
        refresh_in: Seconds until the next call may ask AWS again; 0 means the next call does.
        failures: How many fetches in a row have failed.
        last_error: Why the last of them failed, None after a success.
        held_empty: Whether an empty answer is being doubted.
        in_flight: Whether a fetch runs on this event loop.
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
            parts.append("an empty answer is being doubted")
        if self.last_error is not None:
            parts.append(f"{self.failures} failure(s), the last: {self.last_error}")
        parts.append("refresh under way" if self.in_flight else f"next refresh in {self.refresh_in:.1f} s")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of one engine since it was made. Hits are not counted: counting would cost more than the hit.

    Args:
        misses: Callers that waited for a fetch.
        coalesced: Those of them who shared a fetch that somebody else had begun.
        refreshes: Fetches begun; each is one question to AWS.
        stale_served: Callers who got an answer past its ttl and came by the cold path.
        failures: Fetches that failed.
        throttled: Those of them that AWS throttled.
        entries: Answers held now.
        open_connections: Open sockets now, on all event loops, idle ones included.
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
