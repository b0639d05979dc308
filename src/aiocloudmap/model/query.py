"""Queries to Cloud Map, checked by the patterns of the service model of AWS (API reference of `DiscoverInstances`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import ClassVar, Self

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.model.validation import check_type, safe_repr

__all__ = ["AttributesQuery", "HealthFilter", "Query", "ServiceName", "check_account"]

# Not compiled here, to keep the import cheap: `re` caches the patterns that are used.
_NAMESPACE = r"[!-~]{1,1024}"
_LABEL = r"(?:[a-zA-Z0-9_][a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_]|[a-zA-Z0-9])"
_SERVICE = rf"(?=.{{1,127}}\Z){_LABEL}(?:\.{_LABEL})*|\."
_SCHEME = "cloudmap://"
_ACCOUNT = r"[0-9]{12}"
_ATTRIBUTE_KEY = r"[!-~]{1,255}"
_ATTRIBUTE_VALUE = r"(?:[!-~][ \t!-~]{0,1023})?"


@dataclass(frozen=True, slots=True, order=True)
class ServiceName:
    """The name of a service and of its namespace.

    Args:
        namespace: The namespace's HttpName: 1 to 1,024 printable ASCII characters; may contain a slash.
        service: Labels of up to 63 letters, digits, `_` and `-`, joined by dots, at most 127 characters; or a single
            `.`.

    Raises:
        ConfigurationError: AWS would reject the name.
    """

    namespace: str
    service: str

    def __post_init__(self) -> None:
        parts: tuple[object, ...] = (self.namespace, self.service)
        if not all(isinstance(part, str) for part in parts):
            raise ConfigurationError(f"invalid service name {safe_repr(parts)}: expected two strings")
        if not re.fullmatch(_NAMESPACE, self.namespace):
            raise ConfigurationError(
                f"invalid namespace name {safe_repr(self.namespace)}: expected 1 to 1,024 printable ASCII characters"
                " without spaces"
            )
        if not re.fullmatch(_SERVICE, self.service):
            raise ConfigurationError(
                f"invalid service name {safe_repr(self.service)}: expected labels of letters, digits, '_' and '-',"
                " joined by dots",
                advice="A label has at most 63 characters and no '-' at either end. The whole name has at most 127.",
            )

    @classmethod
    def parse(cls, text: str | Self) -> Self:
        """The name in `namespace/service` or `cloudmap://namespace/service`. A name stays as it is.

        The text is split at its last slash: a namespace may contain slashes, a service may contain dots.

        Raises:
            ConfigurationError: The text has another form, or AWS would reject one of its parts.
        """
        if isinstance(text, cls):
            return text
        if not isinstance(text, str):
            raise ConfigurationError(f"invalid service name {safe_repr(text)}: expected a string like 'shop/orders'")
        namespace, _, service = text.removeprefix(_SCHEME).rpartition("/")
        if not namespace or not service or namespace.startswith("arn:"):
            raise ConfigurationError(
                f"invalid service name {safe_repr(text)}: expected 'namespace/service'", advice=_name_advice(text)
            )
        return cls(namespace, service)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}"


def _name_advice(text: str) -> str:
    if text.startswith(("arn:", "srv-", "ns-")):
        return "Write the names of the namespace and the service, not an id or ARN."
    service, dot, namespace = text.rpartition(".")
    if dot and namespace and service and "/" not in text:
        return f"If this is a host name, write '{namespace}/{service}'."
    return "Write it like 'shop/orders' or 'cloudmap://shop/orders'."


class HealthFilter(StrEnum):
    """Which instances to return. Cloud Map ignores it for a service without a health check."""

    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    ALL = "ALL"
    HEALTHY_OR_ELSE_ALL = "HEALTHY_OR_ELSE_ALL"
    """The healthy ones, or all of them if none is healthy."""


@dataclass(frozen=True, slots=True, repr=False)
class Query:
    """A query for instances. Equal queries share one answer.

    Args:
        service: The service.
        health: Which instances to return.
        where: Attributes that every instance must have (AWS's QueryParameters), as a mapping or pairs; kept sorted.
        prefer: Attributes that instances must have if any instance has them (AWS's OptionalParameters).
        owner_account: The 12-digit id of the account that shares the namespace with yours; None for your own.

    Raises:
        ConfigurationError: AWS would reject an argument.
    """

    service: ServiceName
    health: HealthFilter = HealthFilter.HEALTHY_OR_ELSE_ALL
    where: tuple[tuple[str, str], ...] = ()
    prefer: tuple[tuple[str, str], ...] = ()
    owner_account: str | None = None

    def __post_init__(self) -> None:
        check_type("service", self.service, ServiceName, example="ServiceName.parse('shop/orders')")
        object.__setattr__(self, "health", _health(self.health))
        object.__setattr__(self, "where", _pairs("where", self.where))
        object.__setattr__(self, "prefer", _pairs("prefer", self.prefer))
        check_account(self.owner_account, self.service)

    def __repr__(self) -> str:
        # Only the names of attributes: values may be secret, and events carry the query into logs.
        shown = [str(self.service), str(self.health)]
        shown += [f"{name} {list(dict(pairs))}" for name in ("where", "prefer") if (pairs := getattr(self, name))]
        return f"<Query {', '.join(shown)}{'' if self.owner_account is None else f', owned by {self.owner_account}'}>"

    @property
    def believes_empty(self) -> bool:
        """Whether an empty answer is accepted at once; otherwise it may be a short gap during a deployment."""
        return self.health in (HealthFilter.HEALTHY, HealthFilter.UNHEALTHY)


@dataclass(frozen=True, slots=True)
class AttributesQuery:
    """A query for a service's own attributes. Equal queries share one answer.

    Args:
        service: The service.
        owner_account: The 12-digit id of the account that shares the namespace with yours; None for your own.

    Raises:
        ConfigurationError: AWS would reject an argument.
    """

    service: ServiceName
    owner_account: str | None = None

    believes_empty: ClassVar[bool] = False
    """A service that is suddenly not found may be a short gap, too."""

    def __post_init__(self) -> None:
        check_type("service", self.service, ServiceName, example="ServiceName.parse('shop/orders')")
        check_account(self.owner_account, self.service)


def check_account(account: object, service: ServiceName) -> None:
    """Check that an account id is None or twelve digits.

    Raises:
        ConfigurationError: It is neither.
    """
    if account is not None and not (isinstance(account, str) and re.fullmatch(_ACCOUNT, account)):
        raise ConfigurationError(
            f"invalid owner_account {safe_repr(account)}: expected the 12 digits of an AWS account id, as a string",
            service=service,
        )


def _health(value: HealthFilter | str) -> HealthFilter:
    try:
        return HealthFilter(value.upper())
    except (AttributeError, ValueError):
        raise ConfigurationError(
            f"invalid health filter {safe_repr(value)}: expected one of {', '.join(HealthFilter)}"
        ) from None


def _pairs(argument: str, value: object) -> tuple[tuple[str, str], ...]:
    """Checked pairs, sorted so that the same attributes in another order make an equal query."""
    if isinstance(value, Mapping):
        value = value.items()
    try:
        pairs = tuple(sorted((key, text) for key, text in value))  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"invalid {argument}: expected a mapping of attribute names to values",
            advice=f"Write {argument}={{'STAGE': 'live'}}.",
        ) from None
    for (key, _), (following, _) in pairwise(pairs):
        if key == following:
            raise ConfigurationError(f"invalid {argument}: expected one value for {safe_repr(key)}, not several")
    for key, text in pairs:
        if not (isinstance(key, str) and re.fullmatch(_ATTRIBUTE_KEY, key)):
            raise ConfigurationError(
                f"invalid attribute name {safe_repr(key)} in {argument}: expected 1 to 255 printable ASCII characters"
                " without spaces"
            )
        if not (isinstance(text, str) and re.fullmatch(_ATTRIBUTE_VALUE, text)):
            # The value is not shown, since it may be secret.
            raise ConfigurationError(
                f"invalid value of {key} in {argument}: expected a string of at most 1,024 printable ASCII characters"
                " that does not start with a space"
            )
    return pairs
