"""One answer and how long it may be served.

An entry is changed in place while the memory store lists it, so every handle that holds it sees every change at once.
A hit reads two of its slots, `serve_until` and then `answer`, without a lock. So a writer sets `answer` first, and no
writer ever removes an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from aiocloudmap.balancing.rotation import start_rotation
from aiocloudmap.errors import CloudMapError
from aiocloudmap.model.answer import Answer, Question
from aiocloudmap.model.policy import CachePolicy

__all__ = ["LONG_AGO", "Entry", "Failures"]

LONG_AGO: Final = float("-inf")
"""A time in the past, whatever the clock says."""


class Failures(NamedTuple):
    """What failed since the answer was written. Entries without failures share one value."""

    error: CloudMapError | None = None
    in_a_row: int = 0
    retry_at: float = LONG_AGO
    """No call is made before then."""
    empty_since: float = LONG_AGO
    """Since when empty answers have been held off; LONG_AGO if none has arrived."""


_NO_FAILURES: Final = Failures()


class Entry:
    """The answer to one question under one policy, and the failures since it was written."""

    __slots__ = (
        "_rotation",
        "answer",
        "failures",
        "hard",
        "inline",
        "listed",
        "policy",
        "query",
        "serve_until",
        "soft",
        "started",
        "written",
    )

    def __init__(self, query: Question, policy: CachePolicy) -> None:
        self.query: Final = query
        self.policy: Final = policy
        self.inline: Final = policy.inline
        """Whether a call ends with its last caller. Looked up once, since it depends on where the process runs."""
        self.listed = False
        """Whether the memory store holds this entry. An unlisted entry is never written."""
        self.answer: Answer | None = None
        self.serve_until = LONG_AGO
        """Until then a hit returns the answer without looking further. At most `hard`."""
        self.soft = self.hard = LONG_AGO
        """Until when the answer is fresh, and until when it may be served at all (monotonic clock)."""
        self.written = LONG_AGO
        self.started = LONG_AGO
        """When the call began that brought the answer. An older result never overwrites a newer one."""
        self.failures = _NO_FAILURES
        self._rotation: Iterator[int] | None = None

    def usable(self, now: float) -> Answer | None:
        """The answer, while it may be served."""
        return self.answer if now < self.hard else None

    def age(self, now: float) -> float | None:
        """Seconds since the last answer was written; None if there never was one."""
        return None if self.written == LONG_AGO else now - self.written

    def is_young(self, max_age: float, now: float) -> bool:
        """Whether the answer satisfies the caller's `max_age`. Nothing in memory satisfies 0."""
        return 0 < max_age >= now - self.written

    def next_turn(self) -> int:
        """The next number of the rotation, which all handles of the question share."""
        if self._rotation is None:
            self._rotation = start_rotation()
        return next(self._rotation)

    def write(self, answer: Answer, *, soft: float, hard: float, written: float, started: float) -> None:
        """Store a new answer and forget past failures."""
        self.answer = answer
        self.soft, self.hard = soft, hard
        self.written, self.started = written, started
        self.failures = _NO_FAILURES
        self.serve_until = soft

    def write_not_found(self, error: CloudMapError, *, until: float, started: float) -> None:
        """AWS says that it does not exist: drop the old answer, and repeat the error until then."""
        self.serve_until = self.soft = self.hard = LONG_AGO
        self.failures = Failures(error, retry_at=until)
        self.started = started

    def write_failure(self, error: CloudMapError, *, until: float) -> None:
        """A call failed: until then, serve the answer if it is still usable, else repeat the error."""
        self.failures = Failures(error, self.failures.in_a_row + 1, until, self.failures.empty_since)
        # A forced call may fail while the answer is fresh. It stays fresh, unless an empty answer is held off.
        is_held = self.failures.empty_since > LONG_AGO
        self.serve_until = min(until if is_held else max(until, self.soft), self.hard)

    def write_misconfigured(self, error: CloudMapError) -> None:
        """No call could be made: the next caller may try again at once."""
        self.failures = self.failures._replace(error=error, retry_at=LONG_AGO)
        self.serve_while_fresh()

    def hold(self, *, since: float, until: float) -> None:
        """Keep the answer although an empty one arrived, and serve it until then. Past failures are forgotten."""
        self.failures = Failures(empty_since=since)
        self.serve_until = min(until, self.hard)

    def serve_while_fresh(self) -> None:
        """Let hits return the answer while it is fresh, and no longer."""
        self.serve_until = self.soft

    def expire(self) -> None:
        """Invalidate: the next caller makes a call, and the answer remains as a fallback."""
        self.serve_until = self.soft = LONG_AGO
        self.failures = _NO_FAILURES

    def unlist(self) -> None:
        """The memory store dropped the entry. Handles that hold it find it empty and look up the listed one.

        It may be listed again, so no time and no failure of its past must remain.
        """
        self.listed = False
        self.serve_until = self.soft = self.hard = self.written = LONG_AGO
        self.failures = _NO_FAILURES

    def add_age(self, seconds: float) -> None:
        """The clock did not count this time: move every moment that much earlier."""
        self.serve_until -= seconds
        self.soft -= seconds
        self.hard -= seconds
        self.written -= seconds
        if self.failures is not _NO_FAILURES:
            error, in_a_row, retry_at, empty_since = self.failures
            self.failures = Failures(error, in_a_row, retry_at - seconds, empty_since - seconds)

    def __repr__(self) -> str:
        times = f"serve_until={self.serve_until:.3f} soft={self.soft:.3f} hard={self.hard:.3f}"
        return f"<Entry {self.query.service} {times}>"
