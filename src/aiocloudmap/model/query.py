"""One question to Cloud Map, checked by AWS's own patterns (the API reference of `DiscoverInstances`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import ClassVar, Self

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.model.validation import safe_repr

__all__ = ["AttributesQuery", "HealthFilter", "Query", "ServiceName", "check_account"]


# MERGED model/names: Whom a question is about, by AWS's own patterns (the shapes of its service model).


# Patterns, not compiled ones, as in `aiocloudmap.model.query`: `re` keeps those that it has compiled.
_NAMESPACE = r"[!-~]{1,1024}"
_LABEL = r"(?:[a-zA-Z0-9_][a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_]|[a-zA-Z0-9])"
_SERVICE = rf"(?=.{{1,127}}\Z){_LABEL}(?:\.{_LABEL})*|\."
_SCHEME = "cloudmap://"


@dataclass(frozen=True, slots=True, order=True)
class ServiceName:
    """A service and the namespace it lives in, by AWS's patterns.

    Args:
        namespace: The namespace's HttpName: 1 to 1,024 printable ASCII characters; may hold a slash.
        service: Labels of up to 63 letters, digits, `_` and `-`, joined by dots, 127 characters at most; or `.` alone.

    Raises:
        ConfigurationError: AWS would refuse the name.
    """

    namespace: str
    service: str

    def __post_init__(self) -> None:
        parts: tuple[object, ...] = (self.namespace, self.service)
        if not all(isinstance(part, str) for part in parts):
            raise ConfigurationError(f"a service name is made of two strings, not {safe_repr(parts)}")
        if not re.fullmatch(_NAMESPACE, self.namespace):
            raise ConfigurationError(
                f"{safe_repr(self.namespace)} is no namespace name",
                advice="A namespace name has 1 to 1,024 printable ASCII characters and no spaces.",
            )
        if not re.fullmatch(_SERVICE, self.service):
            raise ConfigurationError(
                f"{safe_repr(self.service)} is no service name",
                advice="A service name has labels of letters, digits, '_' and '-' joined by dots: at most 63 characters"
                " a label, 127 in all, and no '-' at either end of a label.",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The name that `namespace/service` or `cloudmap://namespace/service` stands for.

        The text is split at its last slash: namespaces may hold one, services may hold dots.

        Raises:
            ConfigurationError: The text is not of that form, or AWS would refuse one of its parts.
        """
        if not isinstance(text, str):
            raise ConfigurationError(f"a service name is a string like 'shop/orders', not {safe_repr(text)}")
        namespace, slash, service = text.removeprefix(_SCHEME).rpartition("/")
        if not slash or not namespace or not service:
            raise ConfigurationError(
                f"{safe_repr(text)} is no service name",
                advice="Write namespace/service, like 'shop/orders' or 'cloudmap://shop/orders'.",
            )
        return cls(namespace, service)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}"


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
class Query:
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
            f"owner_account {safe_repr(account)} is no AWS account id",
            service=service,
            advice="Give the twelve digits of the account that owns the namespace, as a string.",
        )


def _health(value: HealthFilter | str) -> HealthFilter:
    try:
        return HealthFilter(value.upper())
    except (AttributeError, ValueError):
        raise ConfigurationError(
            f"{safe_repr(value)} is no health filter", advice=f"Use one of {', '.join(HealthFilter)}."
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
                f"{argument} names {safe_repr(key)} twice", advice="An instance has one value of each attribute."
            )
    for key, text in pairs:
        if not (isinstance(key, str) and re.fullmatch(_ATTRIBUTE_KEY, key)):
            raise ConfigurationError(
                f"{argument} has {safe_repr(key)}, which is no attribute name",
                advice="An attribute name has 1 to 255 printable ASCII characters and no spaces.",
            )
        if not (isinstance(text, str) and re.fullmatch(_ATTRIBUTE_VALUE, text)):
            raise ConfigurationError(
                f"{argument} asks for a value of {key} that no attribute can have",
                advice="A value is a string of up to 1,024 printable ASCII characters that starts with no space.",
            )
    return pairs


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
