"""The events that `CloudMap(on_event=...)` receives and that are logged under the name "aiocloudmap".

A cache hit causes no event, so that it stays a memory read. No event contains the
value of an attribute or a credential.
"""

from __future__ import annotations

import logging
from dataclasses import Field, FrozenInstanceError, dataclass
from typing import Any, ClassVar, Final, NoReturn, dataclass_transform

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
    "Report",
    "Throttled",
    "log",
]

LOGGER: Final = logging.getLogger("aiocloudmap")
# Without a handler, Python would print warnings to stderr; a library leaves that to the program.
LOGGER.addHandler(logging.NullHandler())


@dataclass_transform(frozen_default=True)
class Report:
    """Makes each subclass a frozen dataclass that shares the methods of this class.

    `@dataclass(frozen=True)` would compile seven methods for each class, half a millisecond whenever the library is
    imported. This way it compiles only `__init__`, which may set each field once.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls) -> None:
        dataclass(eq=False, repr=False)(cls)

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.__dataclass_fields__ or name in self.__dict__:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        self.__dict__[name] = value

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"


class Refreshed(Report):
    """A new answer was stored.

    Args:
        query: The query.
        instances: How many instances the answer has.
        duration: How long the fetch took, in seconds.
    """

    query: Query
    instances: int
    duration: float

    level = logging.DEBUG

    def __str__(self) -> str:
        return f"{self.query.service}: {self.instances} instance(s), fetched in {self.duration:.3f} s"


class AttributesRefreshed(Report):
    """A service's own attributes were fetched and stored.

    Args:
        query: The query.
        attributes: How many attributes the service has.
        duration: How long the fetch took, in seconds.
    """

    query: AttributesQuery
    attributes: int
    duration: float

    level = logging.DEBUG

    def __str__(self) -> str:
        return f"{self.query.service}: {self.attributes} attribute(s) of its own, fetched in {self.duration:.3f} s"


class RefreshFailed(Report):
    """A fetch failed.

    Args:
        query: The query, for instances or for a service's own attributes.
        error: Why it failed.
        failures: How many fetches in a row have failed.
        serving_age: Age of the answer that is still served, in seconds; None if there is no such answer.
        retry_in: Seconds until the next attempt.
    """

    query: Question
    error: CloudMapError
    failures: int
    serving_age: float | None
    retry_in: float

    @property
    def level(self) -> int:
        """Only the first failure in a row is a warning."""
        return logging.WARNING if self.failures == 1 else logging.DEBUG

    def __str__(self) -> str:
        serving = "nothing to serve" if self.serving_age is None else f"serving an answer {self.serving_age:.0f} s old"
        return f"{self.error} [{type(self.error).__name__}]; {serving}; next attempt in {self.retry_in:.1f} s"


class EmptyAnswerHeld(Report):
    """An empty answer or a not-found error came after a non-empty answer, which stays in use for a while.

    Args:
        query: The query. For a service's own attributes, only a not-found error has this effect.
        kept: How many instances or attributes the answer in use has.
        remaining: Seconds until the next empty answer is accepted.
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


class AnswerTruncated(Report):
    """An answer is as long as an answer can be, so there may be more instances.

    Args:
        query: The query.
        instances: How many instances the answer has.
    """

    query: Query
    instances: int

    level = logging.WARNING

    def __str__(self) -> str:
        return f"{self.query.service}: {self.instances} instances, the most that one answer holds; there may be more"


class Throttled(Report):
    """AWS throttles this account, and the engine pauses all its requests of this kind.

    The two kinds are requests for instances and for services' own attributes. They start again slowly, at two a second
    and then faster with every answer, so that AWS does not throttle them again at once.

    Args:
        retry_in: Seconds until the next request.
    """

    retry_in: float

    level = logging.WARNING

    def __str__(self) -> str:
        return f"throttled by AWS; no request for {self.retry_in:.1f} s"


class ClockJumped(Report):
    """The wall clock has run ahead of the monotonic clock: the process was frozen, or the clock was set.

    Args:
        seconds: By how much. All answers count as that much older.
    """

    seconds: float

    level = logging.INFO

    def __str__(self) -> str:
        return (
            f"the clock jumped ahead by {self.seconds:.1f} s: idle connections are closed, answers count as that much "
            "older"
        )


class DescriptorsLow(Report):
    """Four fifths of the process's file descriptors are in use, so something may keep them open.

    Checked when a connection is opened. Each engine of the process gets this event once, and again only after less
    than seven tenths were in use.

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
"""Any event that `on_event` may receive."""


def log(event: Event) -> None:
    """Write the event to the library's logger, at its level."""
    if LOGGER.isEnabledFor(event.level):
        LOGGER.log(event.level, "%s", event, extra={"aiocloudmap_event": type(event).__name__})
