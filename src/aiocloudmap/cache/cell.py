"""One answer and until when.

A cell is changed in place for as long as it is listed in the table, so every handle that holds it sees every change
at once. The hit path reads two of its slots, `serve_until` and `snapshot`, in this order and without a lock; so the
writer sets `snapshot` first, and no writer ever takes a snapshot away.
"""

from __future__ import annotations

import itertools
from typing import Final, NamedTuple

from aiocloudmap.answers import Answer, Question
from aiocloudmap.cache.chance import draw
from aiocloudmap.errors import CloudMapError
from aiocloudmap.settings import CachePolicy

__all__ = ["NEVER", "Cell", "Lifetime"]

NEVER: Final = float("-inf")
"""A moment that has passed whatever the clock says."""


class Lifetime(NamedTuple):
    """Until when an answer is fresh, may be given unasked, and may be given at all; on the monotonic clock."""

    soft: float
    stale_until: float
    hard: float


class Cell:
    """The answer to one query under one policy, and what became of the attempts to renew it."""

    __slots__ = (
        "_turns",
        "empty_since",
        "error",
        "failures",
        "lifetime",
        "listed",
        "policy",
        "query",
        "retry_at",
        "serve_until",
        "snapshot",
        "started",
        "written",
    )

    def __init__(self, query: Question, policy: CachePolicy) -> None:
        self.query: Final = query
        self.policy: Final = policy
        self.listed = False
        """Whether the table holds this cell; one that it does not hold is never written."""
        self.snapshot: Answer | None = None
        self.serve_until = NEVER
        """Until then the answer is given without a thought; at most the hard end."""
        self.lifetime = _OVER
        self.written = NEVER
        self.started = NEVER
        """When the fetch began that brought the answer: an older result never overwrites a newer one."""
        self.error: CloudMapError | None = None
        self.failures = 0
        self.retry_at = NEVER
        """Before then nobody asks again."""
        self.empty_since = NEVER
        """When the first of the empty answers came that are being doubted, else NEVER."""
        self._turns: itertools.count[int] | None = None

    def turn(self) -> int:
        """The next number of the rotation, which starts at random so that processes do not all begin with the first."""
        if self._turns is None:
            self._turns = itertools.count(int(draw() * (1 << 16)))
        return next(self._turns)

    def write(self, snapshot: Answer, lifetime: Lifetime, *, written: float, started: float) -> None:
        """A new answer; the troubles of the old one are over."""
        self.snapshot = snapshot
        self.lifetime = lifetime
        self.written, self.started = written, started
        self.error, self.failures, self.retry_at, self.empty_since = None, 0, NEVER, NEVER
        self.serve_until = lifetime.soft

    def deny(self, error: CloudMapError, *, until: float, started: float) -> None:
        """AWS is sure that there is nothing: the old answer is over, the error stands until then."""
        self.serve_until, self.lifetime = NEVER, _OVER
        self.error, self.failures, self.retry_at, self.empty_since = error, 0, until, NEVER
        self.started = started

    def fail(self, error: CloudMapError, *, until: float) -> None:
        """An attempt failed: what is still good is given at once until then, or else the error is."""
        self.error, self.retry_at = error, until
        self.failures += 1
        # A forced call may fail while the answer is fresh, which it stays.
        self.serve_until = min(max(until, self.lifetime.soft), self.lifetime.hard)

    def misconfigured(self, error: CloudMapError) -> None:
        """No call could be made: nobody is kept from trying again, and no failure before it is remembered longer."""
        self.error, self.retry_at = error, NEVER
        self.reopen()

    def hold(self, *, since: float, until: float) -> None:
        """An empty answer is doubted: the old one is given at once until then."""
        self.error, self.failures, self.retry_at, self.empty_since = None, 0, NEVER, since
        self.serve_until = min(until, self.lifetime.hard)

    def reopen(self) -> None:
        """Nothing but freshness decides any more how long the answer is given without a thought."""
        self.serve_until = self.lifetime.soft

    def expire(self) -> None:
        """The answer counts as old, and nothing that is remembered keeps the next caller from asking."""
        hard = self.lifetime.hard
        self.serve_until, self.lifetime = NEVER, Lifetime(NEVER, NEVER, hard)
        self.error, self.failures, self.retry_at, self.empty_since = None, 0, NEVER, NEVER

    def retire(self) -> None:
        """The table dropped the cell: whoever holds it finds nothing in it, and gets the listed one instead.

        It may be listed again, so nothing that is remembered of it may come back then either.
        """
        self.listed = False
        self.serve_until, self.lifetime, self.written = NEVER, _OVER, NEVER
        self.error, self.failures, self.retry_at, self.empty_since = None, 0, NEVER, NEVER

    def shift(self, seconds: float) -> None:
        """So many seconds passed unseen: every moment lies that much further back."""
        soft, stale_until, hard = self.lifetime
        self.serve_until -= seconds
        self.lifetime = Lifetime(soft - seconds, stale_until - seconds, hard - seconds)
        self.written -= seconds
        self.retry_at -= seconds
        self.empty_since -= seconds

    def __repr__(self) -> str:
        return f"<Cell {self.query.service} serve_until={self.serve_until:.3f} {self.lifetime}>"


_OVER: Final = Lifetime(NEVER, NEVER, NEVER)
