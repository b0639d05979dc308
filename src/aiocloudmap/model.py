"""The nouns: what is asked (`ServiceName`, `Query`) and what is answered (`Instance`, `Discovery`).

Patterns and limits are AWS's own: the API reference of `DiscoverInstances` and the shapes of its service model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, Self

from aiocloudmap.errors import AttributeNotFoundError, ConfigurationError, InvalidAttributeError

__all__ = [
    "MAX_INSTANCES",
    "Discovery",
    "HealthFilter",
    "HealthStatus",
    "Instance",
    "Query",
    "ServiceName",
    "check_account",
]

MAX_INSTANCES: Final = 1000
"""The most instances that one DiscoverInstances returns, and the most that a service may have (AWS's quota)."""

_NAMESPACE = re.compile(r"[!-~]{1,1024}")
_LABEL = r"(?:[a-zA-Z0-9_][a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_]|[a-zA-Z0-9])"
_SERVICE = re.compile(rf"(?=.{{1,127}}\Z){_LABEL}(?:\.{_LABEL})*|\.")
_ACCOUNT = re.compile(r"[0-9]{12}")
_ATTRIBUTE_KEY = re.compile(r"[!-~]{1,255}")
_ATTRIBUTE_VALUE = re.compile(r"(?:[!-~][ \t!-~]{0,1023})?")
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,62})(?:\.[a-zA-Z0-9_][a-zA-Z0-9_-]{0,62})*\.?")
_SCHEME = "cloudmap://"
_URL_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*")


class HealthFilter(StrEnum):
    """Which instances are asked for. Cloud Map ignores it for a service without a health check."""

    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    ALL = "ALL"
    HEALTHY_OR_ELSE_ALL = "HEALTHY_OR_ELSE_ALL"
    """The healthy ones, or all of them where none is healthy."""


class HealthStatus(StrEnum):
    """What Cloud Map says of an instance; UNKNOWN for a service without a health check."""

    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    UNKNOWN = "UNKNOWN"


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
            raise ConfigurationError(f"a service name is made of two strings, not {parts!r}")
        if not _NAMESPACE.fullmatch(self.namespace):
            raise ConfigurationError(
                f"{_shown(self.namespace)} is no namespace name",
                advice="A namespace name has 1 to 1,024 printable ASCII characters and no spaces.",
            )
        if not _SERVICE.fullmatch(self.service):
            raise ConfigurationError(
                f"{_shown(self.service)} is no service name",
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
            raise ConfigurationError(f"a service name is a string like 'shop/orders', not {text!r}")
        namespace, slash, service = text.removeprefix(_SCHEME).rpartition("/")
        if not slash or not namespace or not service:
            raise ConfigurationError(
                f"{_shown(text)} is no service name",
                advice="Write namespace/service, like 'shop/orders' or 'cloudmap://shop/orders'.",
            )
        return cls(namespace, service)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}"


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


@dataclass(frozen=True, slots=True, repr=False)
class Instance:
    """One registered instance.

    Args:
        id: Unique in its service.
        service: The service it belongs to.
        health: What Cloud Map says of it.
        attributes: Its attributes, read-only. They are text that others wrote: check them before you trust them.
    """

    id: str
    service: ServiceName
    health: HealthStatus = HealthStatus.UNKNOWN
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))

    def __repr__(self) -> str:
        # Values may be secret or hostile: a repr ends in logs, so it shows the keys only.
        return f"<Instance {self.id!r} of {self.service}, {self.health}, attributes {sorted(self.attributes)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id, self.service, self.health, dict(self.attributes))

    @property
    def host(self) -> str | None:
        """AWS_INSTANCE_IPV4, or else AWS_INSTANCE_IPV6, or else AWS_INSTANCE_CNAME; None without any.

        Raises:
            InvalidAttributeError: The attribute holds no address or host name.
        """
        return next(self._hosts(), None)

    @property
    def hosts(self) -> tuple[str, ...]:
        """All of them, in that order: an instance may have an address of each family.

        Raises:
            InvalidAttributeError: One of the attributes holds no address or host name.
        """
        return tuple(self._hosts())

    @property
    def port(self) -> int | None:
        """AWS_INSTANCE_PORT, 1 to 65535; None without.

        Raises:
            InvalidAttributeError: The attribute holds no such number.
        """
        text = self.attributes.get("AWS_INSTANCE_PORT")
        if text is None:
            return None
        if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535:
            return int(text)
        raise self._invalid("AWS_INSTANCE_PORT", "a port from 1 to 65535")

    @property
    def zone(self) -> str | None:
        """AVAILABILITY_ZONE, which ECS writes; None without."""
        return self.attributes.get("AVAILABILITY_ZONE")

    def url(self, scheme: str = "http", path: str = "") -> str:
        """`scheme://host:port/path`, without the port where the instance has none, IPv6 addresses in brackets.

        Host and port are the instance's, whatever the path says. Where the path comes from an attribute, its `..`,
        query and fragment are for you to judge.

        Raises:
            AttributeNotFoundError: The instance has no address.
            InvalidAttributeError: Its address or port is not one.
            ConfigurationError: The scheme is none, or the path holds a space, a backslash or a control character.
        """
        if not _URL_SCHEME.fullmatch(scheme):
            raise ConfigurationError(f"{_shown(scheme)} is no scheme of a URL", advice="Give one like 'https'.")
        # The path itself stays out of the message: it may be an attribute's value.
        if wrong := next((letter for letter in path if letter in " \\" or not letter.isprintable()), None):
            raise ConfigurationError(
                f"the path of a URL holds {wrong!a}", advice="Percent-encode it, as urllib.parse.quote does."
            )
        host = self.host
        if host is None:
            raise AttributeNotFoundError(
                f"instance {self.id} has no address",
                service=self.service,
                key="AWS_INSTANCE_IPV4",
                available=self.attributes,
                advice=f"It has: {', '.join(sorted(self.attributes)) or 'no attributes'}.",
            )
        authority = f"[{host}]" if ":" in host else host
        if (port := self.port) is not None:
            authority = f"{authority}:{port}"
        return f"{scheme}://{authority}{path if not path or path.startswith('/') else '/' + path}"

    def _hosts(self) -> Iterator[str]:
        for key, check in _HOST_ATTRIBUTES.items():
            if value := self.attributes.get(key):
                try:
                    host = check(value)
                except ValueError:
                    raise self._invalid(key, "an address or a host name") from None
                yield host

    def _invalid(self, key: str, expected: str) -> InvalidAttributeError:
        return InvalidAttributeError(
            f"{key} of instance {self.id} is not {expected}",
            service=self.service,
            advice="Correct the attribute where the instance is registered.",
        )


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a backend found.

    Args:
        instances: Every instance that matches, in any order; MAX_INSTANCES of them may be all there are or not.
        revision: Cloud Map's revision of the service's instances, None where the source has none.
    """

    instances: tuple[Instance, ...]
    revision: int | None = None


def check_account(account: object, service: ServiceName) -> None:
    """Refuse an owner_account that is none.

    Raises:
        ConfigurationError: It is neither None nor twelve digits.
    """
    if account is not None and not (isinstance(account, str) and _ACCOUNT.fullmatch(account)):
        raise ConfigurationError(
            f"owner_account {_shown(str(account))} is no AWS account id",
            service=service,
            advice="Give the twelve digits of the account that owns the namespace, as a string.",
        )


def _address(value: str, version: int) -> str:
    import ipaddress  # noqa: PLC0415 - many programs never ask for a host, and importing the library is to stay cheap

    address = ipaddress.ip_address(value)
    if address.version != version or "%" in value:  # a zone index means something on the machine that wrote it only
        raise ValueError(value)
    return str(address)


def _host_name(value: str) -> str:
    if not _HOST_NAME.fullmatch(value):
        raise ValueError(value)
    return value


_HOST_ATTRIBUTES: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {
        "AWS_INSTANCE_IPV4": lambda value: _address(value, 4),
        "AWS_INSTANCE_IPV6": lambda value: _address(value, 6),
        "AWS_INSTANCE_CNAME": _host_name,
    }
)


def _health(value: HealthFilter | str) -> HealthFilter:
    try:
        return HealthFilter(value.upper())
    except (AttributeError, ValueError):
        raise ConfigurationError(
            f"{_shown(str(value))} is no health filter", advice=f"Use one of {', '.join(HealthFilter)}."
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
                f"{argument} names {_shown(str(key))} twice", advice="An instance has one value of each attribute."
            )
    for key, text in pairs:
        if not (isinstance(key, str) and _ATTRIBUTE_KEY.fullmatch(key)):
            raise ConfigurationError(
                f"{argument} has {_shown(str(key))}, which is no attribute name",
                advice="An attribute name has 1 to 255 printable ASCII characters and no spaces.",
            )
        if not (isinstance(text, str) and _ATTRIBUTE_VALUE.fullmatch(text)):
            raise ConfigurationError(
                f"{argument} asks for a value of {key} that no attribute can have",
                advice="A value is a string of up to 1,024 printable ASCII characters that starts with no space.",
            )
    return pairs


def _shown(text: str) -> str:
    """The text for a message, shortened, with everything unprintable escaped."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")
