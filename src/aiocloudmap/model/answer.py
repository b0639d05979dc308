"""The answer as callers get it: every instance that matched at one moment."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import FrozenInstanceError
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, overload

from aiocloudmap.errors import AttributeNotFoundError, NoInstancesError
from aiocloudmap.model.instance import MAX_INSTANCES, Instance
from aiocloudmap.model.interfaces import SYSTEM_CLOCK, Clock
from aiocloudmap.model.query import AttributesQuery, HealthFilter, Query, ServiceName

if TYPE_CHECKING:
    from datetime import datetime

    from aiocloudmap.model.interfaces import Clock

__all__ = [
    "Answer",
    "Question",
    "ServiceAttributes",
    "Snapshot",
    "Timestamped",
    "is_empty",
    "no_attribute_error",
    "no_instances_error",
]


# MERGED dated: When an answer arrived: what every answer in memory tells about itself.


class Timestamped:
    """What a source of truth said at one moment, never changed afterwards.

    Args:
        clock: Tells when that was, and how old it is.
        elapsed: Seconds since the answer was given, where they passed before it could be noticed.
        fields: What else there is, set once and for all.
    """

    __slots__ = ("_clock", "_fetched", "_written")

    _clock: Clock
    _fetched: float
    _written: float

    def __init__(self, clock: Clock, elapsed: float, **fields: object) -> None:
        self._put(_clock=clock, _fetched=clock.time() - elapsed, _written=clock.monotonic() - elapsed, **fields)

    @property
    def fetched_at(self) -> datetime:
        """When the answer arrived, in UTC."""
        from datetime import UTC, datetime  # noqa: PLC0415 - a fifteenth of what importing the library takes

        return datetime.fromtimestamp(self._fetched, UTC)

    @property
    def age(self) -> float:
        """Seconds since the answer arrived.

        The longer of what the two clocks say: a monotonic clock may stand still while a sandbox is frozen, a wall
        clock may be set back.
        """
        clock = self._clock
        return max(clock.monotonic() - self._written, clock.time() - self._fetched)

    @abstractmethod
    def _content(self) -> dict[str, Any]:
        """The arguments that make an equal one."""

    def _put(self, **fields: object) -> None:
        """Set what nobody changes afterwards."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, _: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        # The monotonic clock of another process, on another machine, says something else.
        return _restored, (type(self), self._content(), self._fetched)


def _restored(kind: type[Timestamped], content: dict[str, Any], fetched: float) -> Timestamped:
    """What was pickled, as old as the wall clock says."""
    made = kind(**content)
    made._put(_fetched=fetched)
    return made


_ID: Final = attrgetter("id")
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Snapshot(Timestamped, Sequence[Instance]):
    """The complete set of instances that matched at one moment, sorted by id, never changed afterwards.

    Args:
        service: The service asked about.
        instances: In any order.
        revision: Cloud Map's revision of the service's instances, None where the source has none.
        clock: Tells when it was fetched, and how old it is.
        elapsed: Seconds since the answer was given, where they passed before it could be noticed.
    """

    __slots__ = ("_only", "instances", "revision", "service")

    service: ServiceName
    instances: tuple[Instance, ...]
    revision: int | None
    _only: Mapping[str, str]
    """The attributes of the only instance, for the hit path; none where there are more instances, or fewer."""

    def __init__(
        self,
        service: ServiceName,
        instances: Iterable[Instance] = (),
        *,
        revision: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
        elapsed: float = 0.0,
    ) -> None:
        ordered = tuple(instances)
        if len(ordered) > 1:
            ordered = tuple(sorted(ordered, key=_ID))
        only = ordered[0].attributes if len(ordered) == 1 else _NONE
        super().__init__(clock, elapsed, service=service, instances=ordered, revision=revision, _only=only)

    @property
    def maybe_truncated(self) -> bool:
        """Whether there are as many instances as one answer can hold, so that there may be more."""
        return len(self.instances) >= MAX_INSTANCES

    def values(self, key: str) -> tuple[str, ...]:
        """The attribute `key` of every instance that has it, in the order of the instances."""
        return tuple(instance.attributes[key] for instance in self.instances if key in instance.attributes)

    @overload
    def __getitem__(self, index: int) -> Instance: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Instance, ...]: ...
    def __getitem__(self, index: int | slice) -> Instance | tuple[Instance, ...]:
        return self.instances[index]

    def __len__(self) -> int:
        return len(self.instances)

    def __iter__(self) -> Iterator[Instance]:
        return iter(self.instances)

    def __eq__(self, other: object) -> bool:
        """Equal where service, instances and revision are; when they were fetched does not count."""
        if not isinstance(other, Snapshot):
            return NotImplemented
        return (self.service, self.revision, self.instances) == (other.service, other.revision, other.instances)

    def __hash__(self) -> int:
        return hash((self.service, self.revision, self.instances))

    def _content(self) -> dict[str, Any]:
        return {"service": self.service, "instances": self.instances, "revision": self.revision}

    def __repr__(self) -> str:
        count = len(self.instances)
        return f"<Snapshot of {self.service}: {count} instance{'s' * (count != 1)}, {self.age:.1f} s old>"


# MERGED service_attributes: A service's own attributes: the question for them, and the answer as callers get it.


class ServiceAttributes(Timestamped, Mapping[str, str]):
    """A service's own attributes at one moment, read-only; possibly none. Equal to any mapping that has the same ones.

    They are text that others wrote: check them before you trust them.

    Args:
        service: Whose they are.
        attributes: Names and values.
        clock: Tells when they were fetched, and how old they are.
        elapsed: Seconds since the answer was given, where they passed before it could be noticed.
    """

    __slots__ = ("_attributes", "service")

    service: ServiceName
    _attributes: dict[str, str]

    def __init__(
        self,
        service: ServiceName,
        attributes: Mapping[str, str] = MappingProxyType({}),
        *,
        clock: Clock = SYSTEM_CLOCK,
        elapsed: float = 0.0,
    ) -> None:
        super().__init__(clock, elapsed, service=service, _attributes=dict(attributes))

    def __getitem__(self, key: str) -> str:
        return self._attributes[key]

    def __len__(self) -> int:
        return len(self._attributes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._attributes)

    def _content(self) -> dict[str, Any]:
        return {"service": self.service, "attributes": self._attributes}

    def __repr__(self) -> str:
        # Values may be secret or hostile: a repr ends in logs, so it shows the keys only.
        return f"<ServiceAttributes of {self.service}: {sorted(self._attributes)}, {self.age:.1f} s old>"


# MERGED answers: The two questions there are, and what may be answered to them: what the machinery of the cache works with.  # noqa: E501


Question: TypeAlias = Query | AttributesQuery
Answer: TypeAlias = Snapshot | ServiceAttributes


def is_empty(answer: Answer) -> bool:
    """Whether the answer leaves the caller with nothing, so that it is doubted after another one and kept briefly.

    No instances are that. A service without attributes of its own is what most services are.
    """
    return isinstance(answer, Snapshot) and not answer


# MERGED shortfalls: What an answer falls short of: the errors for callers who got one, and do not find in it what they asked for.  # noqa: E501


def no_instances_error(query: Query) -> NoInstancesError:
    """There are none that match."""
    asked = f" with {', '.join(key for key, _ in query.where)} as asked" if query.where else ""
    # Only these two leave out some of the instances that there are.
    wanted = f" {query.health}" if query.health in (HealthFilter.HEALTHY, HealthFilter.UNHEALTHY) else ""
    filters = " and ".join(["health="] * bool(wanted) + ["where="] * bool(asked))
    return NoInstancesError(
        f"the service has no{wanted} instance{asked}",
        service=query.service,
        advice=f"Register one, or ask for others with {filters}." if filters else "Register one.",
    )


def no_attribute_error(what: str, key: str, instances: Iterable[Instance]) -> AttributeNotFoundError:
    """There are instances, and none has it; the advice lists what they have.

    Args:
        what: What happened, as a clause.
        key: The attribute.
        instances: At least one.
    """
    instances = list(instances)
    available = {name for instance in instances for name in instance.attributes}
    return AttributeNotFoundError(
        what,
        service=instances[0].service,
        key=key,
        available=available,
        advice=f"There are: {', '.join(sorted(available)) or 'no attributes'}.",
    )
