"""The answers that callers get: every instance that matched, or a service's own attributes, at one moment."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import FrozenInstanceError, dataclass
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, overload

from aiocloudmap.errors import AttributeNotFoundError, NoInstancesError
from aiocloudmap.model.instance import MAX_INSTANCES, Instance
from aiocloudmap.model.interfaces import SYSTEM_CLOCK, Clock
from aiocloudmap.model.query import AttributesQuery, HealthFilter, Query, ServiceName

if TYPE_CHECKING:
    from datetime import datetime

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


class Timestamped:
    """A frozen object that knows its age.

    Args:
        clock: Measures the age.
        elapsed: How old the answer already is, in seconds.
        fields: The attributes of the subclass.
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

        The larger value of two clocks: a monotonic clock may stop while a sandbox is frozen, and a wall clock may be
        set back.
        """
        clock = self._clock
        return max(clock.monotonic() - self._written, clock.time() - self._fetched)

    @abstractmethod
    def _content(self) -> dict[str, Any]:
        """The arguments that make an equal object."""

    def _put(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, _: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the monotonic time, which means nothing in another process.
        return _restored, (type(self), self._content(), self._fetched)


def _restored(kind: type[Timestamped], content: dict[str, Any], fetched: float) -> Timestamped:
    """Unpickle an answer, as old as the wall clock says."""
    made = kind(**content)
    made._put(_fetched=fetched)
    return made


_ID: Final = attrgetter("id")
_NO_ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(init=False, repr=False, eq=False)
class Snapshot(Timestamped, Sequence[Instance]):
    """All instances that matched at one moment, sorted by id. It never changes.

    Args:
        service: The service.
        instances: The instances, in any order.
        revision: Cloud Map's revision of the service's instances; None if the backend has no revisions.
        clock: Measures the age.
        elapsed: How old the answer already is, in seconds.
    """

    __slots__ = ("_only", "instances", "revision", "service")

    service: ServiceName
    instances: tuple[Instance, ...]
    revision: int | None
    if TYPE_CHECKING:  # not a field of the dataclass
        _only: Mapping[str, str]
        """The attributes of the only instance, for the hit path; empty unless there is exactly one instance."""

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
        only = ordered[0].attributes if len(ordered) == 1 else _NO_ATTRIBUTES
        super().__init__(clock, elapsed, service=service, instances=ordered, revision=revision, _only=only)

    @property
    def maybe_truncated(self) -> bool:
        """Whether the answer is as long as an answer can be, so that there may be more instances."""
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
        """Equal if service, instances and revision are equal, whenever they were fetched."""
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


class ServiceAttributes(Timestamped, Mapping[str, str]):
    """A service's own attributes at one moment: a read-only mapping, possibly empty.

    They are untrusted text: validate them before use.

    Args:
        service: The service.
        attributes: Names and values.
        clock: Measures the age.
        elapsed: How old the answer already is, in seconds.
    """

    __slots__ = ("_attributes", "service")

    service: ServiceName
    _attributes: dict[str, str]

    def __init__(
        self,
        service: ServiceName,
        attributes: Mapping[str, str] = _NO_ATTRIBUTES,
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
        # Only the names of attributes: values may be secret or hostile, and a repr is written to logs.
        return f"<ServiceAttributes of {self.service}: {sorted(self._attributes)}, {self.age:.1f} s old>"


Question: TypeAlias = Query | AttributesQuery
Answer: TypeAlias = Snapshot | ServiceAttributes


def is_empty(answer: Answer) -> bool:
    """Whether the answer has no instances. Most services have no attributes of their own, so that is not empty."""
    return isinstance(answer, Snapshot) and not answer


def no_instances_error(query: Query) -> NoInstancesError:
    """The error for a query that no instance matches."""
    where = f" with the requested {', '.join(key for key, _ in query.where)}" if query.where else ""
    # Only these two filters can leave out all instances that exist.
    health = f" {query.health}" if query.health in (HealthFilter.HEALTHY, HealthFilter.UNHEALTHY) else ""
    filters = " and ".join(["health="] * bool(health) + ["where="] * bool(where))
    return NoInstancesError(
        f"the service has no{health} instance{where}",
        service=query.service,
        advice=f"Register one, or change {filters}." if filters else "Register one.",
    )


def no_attribute_error(what: str, key: str, instances: Iterable[Instance]) -> AttributeNotFoundError:
    """The error for instances without an attribute; the advice lists the attributes that they have.

    Args:
        what: What happened.
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
