"""A service's own attributes: the question for them, and the answer as callers get it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from aiocloudmap.dated import Dated
from aiocloudmap.model import ServiceName, check_account
from aiocloudmap.ports import SYSTEM_CLOCK, Clock

__all__ = ["AttributesQuery", "ServiceAttributes"]


@dataclass(frozen=True, slots=True)
class AttributesQuery:
    """One question for a service's own attributes; equal questions share one answer.

    Args:
        service: Whose they are.
        owner_account: The twelve digits of the account that shares the namespace with this one, else None.

    Raises:
        ConfigurationError: AWS would refuse one of them.
    """

    service: ServiceName
    owner_account: str | None = None

    believes_empty: ClassVar[bool] = False
    """A service that is suddenly not found is doubted for a while, as it is for its instances."""

    def __post_init__(self) -> None:
        check_account(self.owner_account, self.service)


class ServiceAttributes(Dated, Mapping[str, str]):
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
