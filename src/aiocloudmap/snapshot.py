"""The answer as callers get it: every instance that matched at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, overload

from aiocloudmap.dated import Dated
from aiocloudmap.model import MAX_INSTANCES, Instance, ServiceName
from aiocloudmap.ports import SYSTEM_CLOCK, Clock

__all__ = ["Snapshot"]

_ID: Final = attrgetter("id")
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Snapshot(Dated, Sequence[Instance]):
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
