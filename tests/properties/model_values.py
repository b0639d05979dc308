"""The values of the model: answers, entries, flights and callers.

Errors are represented by their class. Times are seconds on the monotonic clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from aiocloudmap import CachePolicy, CloudMapError, Freshness, Query

LONG_AGO = float("-inf")
TIMEOUT = 5.0
"""`ConnectionPolicy.discovery_timeout`."""

TIME_STEP = 2.0**-16
"""Timers fire at multiples of it, so that times stay sums of powers of two even if a wait is a third of a second."""

Error = type[CloudMapError]


def round_up(seconds: float) -> float:
    """Round up to the next multiple of the time step."""
    return math.ceil(seconds / TIME_STEP) * TIME_STEP


@dataclass(frozen=True)
class Answer:
    """The number of instances, and the number of the backend call that returned them."""

    call: int
    count: int


Result = Answer | Error | None
"""The result of a call, or None if it was cancelled."""


@dataclass(eq=False)
class Entry:
    """What is known for one query under one policy."""

    query: Query
    policy: CachePolicy
    stored: bool = True
    answer: Answer | None = None
    written: float = LONG_AGO
    soft: float = LONG_AGO
    stale: float = LONG_AGO
    hard: float = LONG_AGO
    began: float = LONG_AGO
    """When the call of this answer began. The result of an earlier call must not overwrite it."""
    error: Error | None = None
    failures: int = 0
    retry_at: float = LONG_AGO
    empty_since: float = LONG_AGO
    """When the first empty answer of the current hold arrived."""
    serve_until: float = LONG_AGO
    """Until then every caller gets the answer without a call."""

    def usable(self, now: float) -> Answer | None:
        """Return the answer if it may still be returned to callers."""
        return self.answer if now < self.hard else None

    def state(self, now: float) -> Freshness:
        """Return the state of the answer."""
        if now < self.soft:
            return Freshness.FRESH
        if now < self.stale:
            return Freshness.STALE
        return Freshness.FALLBACK if now < self.hard else Freshness.ABSENT

    def is_young_enough(self, max_age: float | None, now: float) -> bool:
        """Whether a caller with this max_age accepts the answer."""
        if self.usable(now) is None:
            return False
        return max_age is None or 0 < max_age >= now - self.written

    def write(self, answer: Answer, written: float, began: float, random: float) -> None:
        """Store a new answer, with its times from the policy."""
        policy = self.policy
        self.answer, self.written, self.began = answer, written, began
        if answer.count == 0:
            self.soft = self.stale = self.hard = written + policy.negative_ttl
        else:
            self.soft = written + policy.ttl * (1 - policy.jitter * random)
            self.hard = written + policy.ttl + policy.stale_if_error
            background = min(self.soft + policy.stale_while_revalidate, self.hard)
            self.stale = self.soft if policy.inline else background
        self.error, self.failures, self.retry_at, self.empty_since = None, 0, LONG_AGO, LONG_AGO
        self.serve_until = self.soft

    def expire(self) -> None:
        """Expire the answer. It stays usable until its hard end."""
        self.soft = self.stale = self.serve_until = self.retry_at = self.empty_since = LONG_AGO
        self.error, self.failures = None, 0

    def hold_ends(self, now: float) -> float:
        """Return until when an empty answer is held back. That is in the past if it is not held back."""
        policy = self.policy
        if self.query.believes_empty or not self.answer or self.answer.count == 0:
            return LONG_AGO
        since = now if self.empty_since == LONG_AGO else self.empty_since
        return min(since + policy.empty_hold_time, self.hard)

    def shift(self, seconds: float) -> None:
        """Count seconds that passed unnoticed."""
        for name in ("written", "soft", "stale", "hard", "retry_at", "empty_since", "serve_until"):
            setattr(self, name, getattr(self, name) - seconds)


@dataclass(eq=False)
class Flight:
    """One backend call on one loop, under way or waiting for the rate limit."""

    loop: int
    query: Query
    is_started: bool = False
    called: bool = False
    completed: bool = False
    invalidated: bool = False
    forced: bool = False
    keep: bool = False
    started: float = LONG_AGO
    may_call_at: float = LONG_AGO
    """When its call may be made."""
    frozen_time: float = 0.0
    entries: list[Entry] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    successor: Flight | None = None

    def may_write(self, entry: Entry) -> bool:
        """Whether the result is newer than the entry and than every invalidation."""
        return not self.invalidated and entry.stored and entry.began <= self.started


@dataclass(eq=False)
class Caller:
    """One call of `Service.resolve` or a similar method."""

    number: int
    loop: int
    query: Query
    policy: CachePolicy
    max_age: float | None = None
    asked: float = LONG_AGO
    resolved: bool = False
    """Its future is done, although its task may not have run yet."""
    cancelled: bool = False
    resolved_at: float = LONG_AGO
    outcome: Answer | Error | str | None = None
    """The text "cancelled" if it was cancelled."""
    waits: frozenset[float | None] = frozenset()
    """The bounds of its error's `retry_after`: when it was resolved, and before and after its task ran."""
    handle_entry: Entry | None = None
    """The entry that its handle already has. It is stored again if no other entry is."""
    entry: Entry | None = None
    flight: Flight | None = None


@dataclass(frozen=True)
class RateLimitWait:
    """A flight that waits for the rate limit."""

    flight: Flight

    @property
    def loop(self) -> int:
        """The loop of the flight."""
        return self.flight.loop


@dataclass(frozen=True)
class Timer:
    """The end of a caller's wait, of a flight's deadline, or of a rate limit wait."""

    due: float
    order: int
    of: Caller | Flight | RateLimitWait

    @property
    def live(self) -> bool:
        """Whether the timer has not been cancelled."""
        of = self.of.flight if isinstance(self.of, RateLimitWait) else self.of
        return not (of.resolved if isinstance(of, Caller) else of.completed)
