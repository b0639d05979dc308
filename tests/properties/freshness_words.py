"""What the model of freshness speaks of: answers, cells, flights and callers, without any behaviour of waiting.

Errors are spoken of by their class. Times are seconds on the monotonic clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from aiocloudmap import CachePolicy, CloudMapError, Freshness, Query

NEVER = float("-inf")
TIMEOUT = 5.0
"""`ConnectionPolicy.discovery_timeout`."""

GRAIN = 2.0**-16
"""Timers come at multiples of it: moments stay sums of powers of two where waits are none, as a third of a second."""

Error = type[CloudMapError]


def grained(seconds: float) -> float:
    """The next multiple of the grain."""
    return math.ceil(seconds / GRAIN) * GRAIN


@dataclass(frozen=True)
class Answer:
    """Some instances, and the number of the upstream call that brought them."""

    call: int
    count: int


Truth = Answer | Error | None
"""What a call brought; None where it was cancelled."""


@dataclass(eq=False)
class Cell:
    """What is known for one question under one policy."""

    query: Query
    policy: CachePolicy
    listed: bool = True
    answer: Answer | None = None
    written: float = NEVER
    soft: float = NEVER
    stale: float = NEVER
    hard: float = NEVER
    began: float = NEVER
    """When the call began that brought what is known: nothing older may overwrite it."""
    error: Error | None = None
    failures: int = 0
    retry_at: float = NEVER
    doubted: float = NEVER
    """When the first of the empty answers came that are being held off."""
    quiet: float = NEVER
    """Until then whoever comes gets the answer, and nobody asks."""

    def good(self, now: float) -> Answer | None:
        """The answer, where it may be given."""
        return self.answer if now < self.hard else None

    def state(self, now: float) -> Freshness:
        """The row of the table."""
        if now < self.soft:
            return Freshness.FRESH
        if now < self.stale:
            return Freshness.STALE
        return Freshness.FALLBACK if now < self.hard else Freshness.ABSENT

    def young(self, max_age: float | None, now: float) -> bool:
        """Whether there is an answer that a caller with this max_age takes."""
        if self.good(now) is None:
            return False
        return max_age is None or 0 < max_age >= now - self.written

    def write(self, answer: Answer, written: float, began: float, dice: float) -> None:
        """A new answer; its times by the formulas of the policy."""
        policy = self.policy
        self.answer, self.written, self.began = answer, written, began
        if answer.count == 0:
            self.soft = self.stale = self.hard = written + policy.negative_ttl
        else:
            self.soft = written + policy.ttl * (1 - policy.jitter * dice)
            self.hard = written + policy.ttl + policy.stale_if_error
            background = min(self.soft + policy.stale_while_revalidate, self.hard)
            self.stale = self.soft if policy.inline else background
        self.error, self.failures, self.retry_at, self.doubted = None, 0, NEVER, NEVER
        self.quiet = self.soft

    def expire(self) -> None:
        """It counts as old; only its hard end stays."""
        self.soft = self.stale = self.quiet = self.retry_at = self.doubted = NEVER
        self.error, self.failures = None, 0

    def doubt_ends(self, now: float) -> float:
        """Until when nothing after something is held off; `now` or earlier where it is not."""
        policy = self.policy
        if self.query.believes_empty or not self.answer or self.answer.count == 0:
            return NEVER
        since = now if self.doubted == NEVER else self.doubted
        return min(since + policy.empty_hold_time, self.hard)

    def shift(self, seconds: float) -> None:
        """So many seconds passed unseen."""
        for name in ("written", "soft", "stale", "hard", "retry_at", "doubted", "quiet"):
            setattr(self, name, getattr(self, name) - seconds)


@dataclass(eq=False)
class Flight:
    """One upstream call on one lane, under way or waiting for its turn."""

    lane: int
    query: Query
    launched: bool = False
    begun: bool = False
    landed: bool = False
    barred: bool = False
    truthful: bool = False
    keep: bool = False
    started: float = NEVER
    turn: float = NEVER
    """When its call may be made."""
    aged: float = 0.0
    cells: list[Cell] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    successor: Flight | None = None

    def may_write(self, cell: Cell) -> bool:
        """Whether what it brings is newer than what is known and than every invalidation."""
        return not self.barred and cell.listed and cell.began <= self.started


@dataclass(eq=False)
class Caller:
    """One call of `Service.resolve` or its like."""

    number: int
    lane: int
    query: Query
    policy: CachePolicy
    max_age: float | None = None
    asked: float = NEVER
    told: bool = False
    """Its future is done, whatever its task knows yet."""
    cancelled: bool = False
    told_at: float = NEVER
    outcome: Answer | Error | str | None = None
    """"cancelled" where it was."""
    waits: frozenset[float | None] = frozenset()
    """What `retry_after` of its error may lie between: when it was told, and before and after its task ran."""
    held: Cell | None = None
    """What its handle has from before; listed again where nothing else is."""
    cell: Cell | None = None
    flight: Flight | None = None


@dataclass(frozen=True)
class Turn:
    """A flight that waits until its call may be made."""

    flight: Flight

    @property
    def lane(self) -> int:
        """Where it waits."""
        return self.flight.lane


@dataclass(frozen=True)
class Timer:
    """A caller's patience, a flight's deadline, or its turn."""

    due: float
    order: int
    of: Caller | Flight | Turn

    @property
    def live(self) -> bool:
        """Whether it has not been cancelled."""
        of = self.of.flight if isinstance(self.of, Turn) else self.of
        return not (of.told if isinstance(of, Caller) else of.landed)
