"""What happened on the cold path, told to `CloudMap(on_event=...)` and logged under the name "aiocloudmap".

A hit tells nothing: it costs a memory read. No event carries an attribute's value or a credential.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from aiocloudmap.errors import CloudMapError
from aiocloudmap.model.answer import Question
from aiocloudmap.model.query import AttributesQuery, Query

__all__ = [
    "LOGGER",
    "AnswerTruncated",
    "AttributesRefreshed",
    "ClockJumped",
    "DescriptorsLow",
    "EmptyAnswerHeld",
    "Event",
    "RefreshFailed",
    "Refreshed",
    "Throttled",
    "log",
]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A new answer was written.

    Args:
        query: The question.
        instances: How many instances the answer has.
        duration: Seconds the fetch took.
    """

    query: Query
    instances: int
    duration: float

    level = logging.DEBUG

    def __str__(self) -> str:
        return f"{self.query.service}: {self.instances} instance(s), fetched in {self.duration:.3f} s"


@dataclass(frozen=True, slots=True)
class AttributesRefreshed:
    """A service's own attributes were fetched and written.

    Args:
        query: The question.
        attributes: How many there are.
        duration: Seconds the fetch took.
    """

    query: AttributesQuery
    attributes: int
    duration: float

    level = logging.DEBUG

    def __str__(self) -> str:
        return f"{self.query.service}: {self.attributes} attribute(s) of its own, fetched in {self.duration:.3f} s"


@dataclass(frozen=True, slots=True)
class RefreshFailed:
    """A fetch failed.

    Args:
        query: The question: for instances, or for a service's own attributes.
        error: Why.
        failures: How many fetches in a row have failed.
        serving_age: Age in seconds of the answer that is served meanwhile, None where there is none.
        retry_in: Seconds before the next attempt.
    """

    query: Question
    error: CloudMapError
    failures: int
    serving_age: float | None
    retry_in: float

    @property
    def level(self) -> int:
        """The first of a series is a warning, the rest would only repeat it."""
        return logging.WARNING if self.failures == 1 else logging.DEBUG

    def __str__(self) -> str:
        serving = "nothing to serve" if self.serving_age is None else f"serving an answer {self.serving_age:.0f} s old"
        return f"{self.error} [{type(self.error).__name__}]; {serving}; next attempt in {self.retry_in:.1f} s"


@dataclass(frozen=True, slots=True)
class EmptyAnswerHeld:
    """An empty or not-found answer came after a non-empty one, and is doubted for a while.

    Args:
        query: The question: for instances, or for a service's own attributes, which only a not-found makes doubtful.
        kept: How many instances, or attributes, the answer has that stays in use.
        remaining: Seconds until the next empty answer is believed.
    """

    query: Question
    kept: int
    remaining: float

    level = logging.WARNING

    def __str__(self) -> str:
        what = "instance(s)" if isinstance(self.query, Query) else "attribute(s) of its own"
        return (
            f"{self.query.service}: an empty answer after {self.kept} {what}; "
            f"keeping them, at most {self.remaining:.0f} s more"
        )


@dataclass(frozen=True, slots=True)
class AnswerTruncated:
    """An answer is as long as an answer can be: there may be more instances than Cloud Map tells.

    Args:
        query: The question.
        instances: How many came.
    """

    query: Query
    instances: int

    level = logging.WARNING

    def __str__(self) -> str:
        return f"{self.query.service}: {self.instances} instances, the most that one answer holds; there may be more"


@dataclass(frozen=True, slots=True)
class Throttled:
    """AWS throttles this account; every refresh of the engine waits: of instances, or of services' own attributes.

    They come back slowly, so that they are not throttled again at once: two a second, then more with every answer.

    Args:
        retry_in: Seconds before the next request.
    """

    retry_in: float

    level = logging.WARNING

    def __str__(self) -> str:
        return f"throttled by AWS; no request for {self.retry_in:.1f} s"


@dataclass(frozen=True, slots=True)
class ClockJumped:
    """The wall clock has run ahead of the monotonic one: the process was frozen, or the clock was set.

    Args:
        seconds: By how much; every answer counts as that much older.
    """

    seconds: float

    level = logging.INFO

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s passed unseen: idle connections are closed, answers count as that much older"


@dataclass(frozen=True, slots=True)
class DescriptorsLow:
    """Four fifths of the file descriptors that this process may have are in use: something keeps them open.

    Looked at whenever a connection is opened, and told once, to every engine of the process, until less than seven
    tenths were in use.

    Args:
        open: How many are open in the process.
        ours: How many of them are connections of this library.
        limit: How many the process may have.
    """

    open: int
    ours: int
    limit: int

    level = logging.WARNING

    def __str__(self) -> str:
        return (
            f"{self.open} of {self.limit} file descriptors are in use, {self.ours} of them connections of aiocloudmap; "
            "look for clients or sessions that are made per request and kept"
        )


Event = (
    Refreshed
    | AttributesRefreshed
    | RefreshFailed
    | EmptyAnswerHeld
    | AnswerTruncated
    | Throttled
    | ClockJumped
    | DescriptorsLow
)
"""Anything that `on_event` may be called with."""


# MERGED logs: The library's logger, and who hears what is written to it.


LOGGER: Final = logging.getLogger("aiocloudmap")
# A library leaves it to the program where its log goes; without this, warnings would go to stderr.
LOGGER.addHandler(logging.NullHandler())


def log(event: Event) -> None:
    """Write the event to the library's logger, at its level."""
    if LOGGER.isEnabledFor(event.level):
        LOGGER.log(event.level, "%s", event, extra={"aiocloudmap_event": type(event).__name__})
