"""Instances, and the addresses in their attributes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NoReturn

from aiocloudmap.errors import AttributeNotFoundError, ConfigurationError, InvalidAttributeError
from aiocloudmap.model.query import ServiceName
from aiocloudmap.model.validation import safe_repr

__all__ = ["MAX_INSTANCES", "Attributes", "Discovery", "HealthStatus", "Instance"]

MAX_INSTANCES: Final = 1000
"""The most instances that one DiscoverInstances returns, and that a service may have (AWS's quota)."""

# Not compiled here, to keep the import cheap: `re` caches the patterns that are used.
_HOST_NAME = r"(?=.{1,253}\Z)[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,62})(?:\.[a-zA-Z0-9_][a-zA-Z0-9_-]{0,62})*\.?"
_NUMBER_AT_END = r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?"
_URL_SCHEME = r"[a-zA-Z][a-zA-Z0-9+.-]*"


class HealthStatus(StrEnum):
    """The health of an instance according to Cloud Map; UNKNOWN for a service without a health check."""

    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    UNKNOWN = "UNKNOWN"


class Attributes(dict[str, str]):
    """The attributes of an instance, read-only; `copy()` returns a dict that can be changed.

    A dict is smaller than a dict behind a proxy, and `json` and `dataclasses.asdict` accept it.
    """

    __slots__ = ()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("the attributes of an instance cannot be changed; copy() returns a dict that can")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = _refuse
    setdefault = update = _refuse  # pyright: ignore[reportAssignmentType]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


@dataclass(frozen=True, slots=True, repr=False)
class Instance:
    """A registered instance.

    Args:
        id: Unique within the service.
        service: The service it belongs to.
        health: Its health according to Cloud Map.
        attributes: Its attributes, read-only. They are untrusted text: validate them before use.
    """

    id: str
    service: ServiceName
    health: HealthStatus = HealthStatus.UNKNOWN
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", Attributes(self.attributes))

    def __repr__(self) -> str:
        # Only the names of attributes: values may be secret or hostile, and a repr is written to logs.
        return f"<Instance {self.id!r} of {self.service}, {self.health}, attributes {sorted(self.attributes)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id, self.service, self.health, dict(self.attributes))

    @property
    def host(self) -> str | None:
        """AWS_INSTANCE_IPV4, else _IPV6, else AWS_INSTANCE_CNAME, else AWS_ALIAS_DNS_NAME; None without any of them.

        AWS_INSTANCE_CNAME may also hold an IPv4 address, in the usual form of four decimal numbers.

        Raises:
            InvalidAttributeError: The attribute is not an address or a host name.
        """
        return next(self._hosts(), None)

    @property
    def hosts(self) -> tuple[str, ...]:
        """All of these, in the same order: an instance may have an address of each family.

        Raises:
            InvalidAttributeError: One of the attributes is not an address or a host name.
        """
        return tuple(self._hosts())

    @property
    def port(self) -> int | None:
        """AWS_INSTANCE_PORT, 1 to 65535; None if it is not set.

        Raises:
            InvalidAttributeError: The attribute is not a port.
        """
        text = self.attributes.get("AWS_INSTANCE_PORT")
        if text is None:
            return None
        if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535:
            return int(text)
        raise self._invalid("AWS_INSTANCE_PORT", "a port from 1 to 65535")

    @property
    def zone(self) -> str | None:
        """AVAILABILITY_ZONE, which ECS sets; None if it is not set."""
        return self.attributes.get("AVAILABILITY_ZONE")

    def url(self, scheme: str = "http", path: str = "") -> str:
        """`scheme://host:port/path`; without the port if the instance has no port. IPv6 addresses are in brackets.

        Host and port are always the instance's, whatever the path contains. If the path comes from an attribute, check
        its `..`, query and fragment yourself.

        Raises:
            AttributeNotFoundError: The instance has no address.
            InvalidAttributeError: Its address or port is invalid.
            ConfigurationError: The scheme or the path is invalid. A path has no spaces, backslashes or control
                characters.
        """
        if not (isinstance(scheme, str) and re.fullmatch(_URL_SCHEME, scheme)):
            raise ConfigurationError(f"invalid scheme {safe_repr(scheme)}: expected one like 'https'")
        # The path is not shown, since it may be the value of an attribute.
        if not isinstance(path, str):
            raise ConfigurationError(f"invalid path: expected a string like '/health', not {type(path).__name__}")
        if wrong := next((letter for letter in path if letter in " \\" or not letter.isprintable()), None):
            raise ConfigurationError(
                f"invalid path: {wrong!a} must be percent-encoded", advice="Use urllib.parse.quote."
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
            f"invalid {key} of instance {self.id}: expected {expected}",
            service=self.service,
            advice="Correct the attribute where the instance is registered.",
        )


@dataclass(frozen=True, slots=True)
class Discovery:
    """The answer of a backend.

    Args:
        instances: Every instance that matches, in any order. If there are MAX_INSTANCES, there may be more.
        revision: Cloud Map's revision of the service's instances; None if the backend has no revisions.
        age: How old the answer already was when the backend returned it, in seconds; 0 or more. For a backend that
            itself keeps answers, such as a shared cache.
    """

    instances: tuple[Instance, ...]
    revision: int | None = None
    age: float = 0.0


def _address(value: str, version: int) -> str:
    import ipaddress  # noqa: PLC0415 - many programs never read a host, and this keeps the import cheap

    address = ipaddress.ip_address(value)
    if address.version != version or "%" in value:  # a zone index is only valid on the machine that wrote it
        raise ValueError(value)
    return str(address)


def _host_name(value: str) -> str:
    if not re.fullmatch(_HOST_NAME, value):
        raise ValueError(value)
    # URL parsers and inet_aton read 1, 127.1 and 0x7f.1 as IPv4 addresses, and no top-level domain is a number:
    # https://url.spec.whatwg.org/#ends-in-a-number-checker, RFC 3696 section 2.
    return _address(value, 4) if re.fullmatch(_NUMBER_AT_END, value) else value


_HOST_ATTRIBUTES: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {
        "AWS_INSTANCE_IPV4": lambda value: _address(value, 4),
        "AWS_INSTANCE_IPV6": lambda value: _address(value, 6),
        "AWS_INSTANCE_CNAME": _host_name,
        # A load balancer.
        "AWS_ALIAS_DNS_NAME": _host_name,
    }
)
