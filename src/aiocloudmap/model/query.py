"""One question to Cloud Map, checked by AWS's own patterns (the API reference of `DiscoverInstances`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.hashed import Hashed
from aiocloudmap.model.names import ServiceName
from aiocloudmap.shown import shown

__all__ = ["HealthFilter", "Query", "check_account"]

# Patterns, not compiled ones: most programs never need them, and `re` keeps those that it has compiled.
_ACCOUNT = r"[0-9]{12}"
_ATTRIBUTE_KEY = r"[!-~]{1,255}"
_ATTRIBUTE_VALUE = r"(?:[!-~][ \t!-~]{0,1023})?"


class HealthFilter(StrEnum):
    """Which instances are asked for. Cloud Map ignores it for a service without a health check."""

    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    ALL = "ALL"
    HEALTHY_OR_ELSE_ALL = "HEALTHY_OR_ELSE_ALL"
    """The healthy ones, or all of them where none is healthy."""


@dataclass(frozen=True, slots=True, repr=False)
class Query(Hashed):
    """One question to Cloud Map; equal questions share one answer.

    Args:
        service: Whom it is about.
        health: Which instances count.
        where: Attributes that every instance must have (AWS's QueryParameters); sorted pairs or a mapping.
        prefer: Attributes that are asked for where anything matches them (AWS's OptionalParameters).
        owner_account: The twelve digits of the account that shares the namespace with this one, else None.

    Raises:
        ConfigurationError: AWS would refuse one of them.
    """

    service: ServiceName
    health: HealthFilter = HealthFilter.HEALTHY_OR_ELSE_ALL
    where: tuple[tuple[str, str], ...] = ()
    prefer: tuple[tuple[str, str], ...] = ()
    owner_account: str | None = None

    __hash__ = Hashed.__hash__

    def __post_init__(self) -> None:
        object.__setattr__(self, "health", _health(self.health))
        object.__setattr__(self, "where", _pairs("where", self.where))
        object.__setattr__(self, "prefer", _pairs("prefer", self.prefer))
        check_account(self.owner_account, self.service)

    def __repr__(self) -> str:
        # As for instances: values may be secret, and events carry the query into logs.
        shown = [str(self.service), str(self.health)]
        shown += [f"{name} {list(dict(pairs))}" for name in ("where", "prefer") if (pairs := getattr(self, name))]
        return f"<Query {', '.join(shown)}{'' if self.owner_account is None else f', owned by {self.owner_account}'}>"

    @property
    def believes_empty(self) -> bool:
        """Whether an empty answer is the truth that was asked for, rather than a possible gap of a deployment."""
        return self.health in (HealthFilter.HEALTHY, HealthFilter.UNHEALTHY)


def check_account(account: object, service: ServiceName) -> None:
    """Refuse an owner_account that is none.

    Raises:
        ConfigurationError: It is neither None nor twelve digits.
    """
    if account is not None and not (isinstance(account, str) and re.fullmatch(_ACCOUNT, account)):
        raise ConfigurationError(
            f"owner_account {shown(account)} is no AWS account id",
            service=service,
            advice="Give the twelve digits of the account that owns the namespace, as a string.",
        )


def _health(value: HealthFilter | str) -> HealthFilter:
    try:
        return HealthFilter(value.upper())
    except (AttributeError, ValueError):
        raise ConfigurationError(
            f"{shown(value)} is no health filter", advice=f"Use one of {', '.join(HealthFilter)}."
        ) from None


def _pairs(argument: str, value: object) -> tuple[tuple[str, str], ...]:
    """Sorted, checked pairs: the order in which somebody wrote them must not make another question."""
    if isinstance(value, Mapping):
        value = value.items()
    try:
        pairs = tuple(sorted((key, text) for key, text in value))  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"{argument} is no mapping of attribute names to values", advice=f"Write {argument}={{'STAGE': 'live'}}."
        ) from None
    for (key, _), (following, _) in pairwise(pairs):
        if key == following:
            raise ConfigurationError(
                f"{argument} names {shown(key)} twice", advice="An instance has one value of each attribute."
            )
    for key, text in pairs:
        if not (isinstance(key, str) and re.fullmatch(_ATTRIBUTE_KEY, key)):
            raise ConfigurationError(
                f"{argument} has {shown(key)}, which is no attribute name",
                advice="An attribute name has 1 to 255 printable ASCII characters and no spaces.",
            )
        if not (isinstance(text, str) and re.fullmatch(_ATTRIBUTE_VALUE, text)):
            raise ConfigurationError(
                f"{argument} asks for a value of {key} that no attribute can have",
                advice="A value is a string of up to 1,024 printable ASCII characters that starts with no space.",
            )
    return pairs
