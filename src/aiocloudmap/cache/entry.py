"""One answer and until when.

A cell is changed in place for as long as it is listed in the table, so every handle that holds it sees every change
at once. The hit path reads two of its slots, `serve_until` and `snapshot`, in this order and without a lock; so the
writer sets `snapshot` first, and no writer ever takes a snapshot away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from aiocloudmap.balancing.rotation import start_rotation
from aiocloudmap.errors import CloudMapError
from aiocloudmap.model.answer import Answer, Question
from aiocloudmap.model.policy import CachePolicy

__all__ = ["NEVER", "Cell", "Trouble"]

NEVER: Final = float("-inf")
"""A moment that has passed whatever the clock says."""


class Trouble(NamedTuple):
    """What went wrong with the attempts to renew an answer. Most answers have none, and share the one that says so."""

    error: CloudMapError | None = None
    failures: int = 0
    retry_at: float = NEVER
    """Before then nobody asks again."""
    empty_since: float = NEVER
    """When the first of the empty answers came that are being doubted, else NEVER."""


class Cell:
    """The answer to one query under one policy, and what became of the attempts to renew it."""

    __slots__ = (
        "_rotation",
        "hard",
        "inline",
        "key",
        "listed",
        "serve_until",
        "snapshot",
        "soft",
        "started",
        "trouble",
        "written",
    )

    def __init__(self, query: Question, policy: CachePolicy) -> None:
        self.key: Final = (query, policy)
        self.inline: Final = policy.inline
        """Whether nothing may outlive the callers. Asked once: where a process runs does not change."""
        self.listed = False
        """Whether the table holds this cell; one that it does not hold is never written."""
        self.snapshot: Answer | None = None
        self.serve_until = NEVER
        """Until then the answer is given without a thought; at most the hard end."""
        self.soft = self.hard = NEVER
        """Until when the answer is fresh, and until when it may be given at all; on the monotonic clock."""
        self.written = NEVER
        self.started = NEVER
        """When the fetch began that brought the answer: an older result never overwrites a newer one."""
        self.trouble = _NONE
        self._rotation: Iterator[int] | None = None

    @property
    def query(self) -> Question:
        """The question."""
        return self.key[0]

    @property
    def policy(self) -> CachePolicy:
        """How long the answer is good for."""
        return self.key[1]

    def next_turn(self) -> int:
        """The next number of the rotation, which all handles of the question share."""
        if self._rotation is None:
            self._rotation = start_rotation()
        return next(self._rotation)

    def write(self, snapshot: Answer, *, soft: float, hard: float, written: float, started: float) -> None:
        """A new answer; the troubles of the old one are over."""
        self.snapshot = snapshot
        self.soft, self.hard = soft, hard
        self.written, self.started = written, started
        self.trouble = _NONE
        self.serve_until = soft

    def deny(self, error: CloudMapError, *, until: float, started: float) -> None:
        """AWS is sure that there is nothing: the old answer is over, the error stands until then."""
        self.serve_until = self.soft = self.hard = NEVER
        self.trouble = Trouble(error, retry_at=until)
        self.started = started

    def fail(self, error: CloudMapError, *, until: float) -> None:
        """An attempt failed: what is still good is given at once until then, or else the error is."""
        self.trouble = Trouble(error, self.trouble.failures + 1, until, self.trouble.empty_since)
        # A forced call may fail while the answer is fresh, which it stays.
        self.serve_until = min(max(until, self.soft), self.hard)

    def misconfigured(self, error: CloudMapError) -> None:
        """No call could be made: nobody is kept from trying again, and no failure before it is remembered longer."""
        self.trouble = self.trouble._replace(error=error, retry_at=NEVER)
        self.reopen()

    def hold(self, *, since: float, until: float) -> None:
        """An empty answer is doubted: the old one is given at once until then."""
        self.trouble = Trouble(empty_since=since)
        self.serve_until = min(until, self.hard)

    def reopen(self) -> None:
        """Nothing but freshness decides any more how long the answer is given without a thought."""
        self.serve_until = self.soft

    def expire(self) -> None:
        """The answer counts as old, and nothing that is remembered keeps the next caller from asking."""
        self.serve_until = self.soft = NEVER
        self.trouble = _NONE

    def retire(self) -> None:
        """The table dropped the cell: whoever holds it finds nothing in it, and gets the listed one instead.

        It may be listed again, so nothing that is remembered of it may come back then either.
        """
        self.listed = False
        self.serve_until = self.soft = self.hard = self.written = NEVER
        self.trouble = _NONE

    def shift(self, seconds: float) -> None:
        """So many seconds passed unseen: every moment lies that much further back."""
        self.serve_until -= seconds
        self.soft -= seconds
        self.hard -= seconds
        self.written -= seconds
        if self.trouble is not _NONE:
            error, failures, retry_at, empty_since = self.trouble
            self.trouble = Trouble(error, failures, retry_at - seconds, empty_since - seconds)

    def __repr__(self) -> str:
        times = f"serve_until={self.serve_until:.3f} soft={self.soft:.3f} hard={self.hard:.3f}"
        return f"<Cell {self.query.service} {times}>"


_NONE: Final = Trouble()
