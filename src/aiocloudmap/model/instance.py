"""What is answered: instances, with where they are reached."""

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


# MERGED model/attributes: A dict that refuses to change: smaller than a dict behind a proxy, and taken for one by `json` and `dataclasses`.  # noqa: E501


class Attributes(dict[str, str]):
    """Names and values of an instance, read-only. A copy of it is a dict that may be changed."""

    __slots__ = ()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("the attributes of an instance cannot be changed; copy() gives a dict that can")

    # The types of dict have it otherwise.
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = _refuse
    setdefault = update = _refuse  # pyright: ignore[reportAssignmentType]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


MAX_INSTANCES: Final = 1000
"""The most instances that one DiscoverInstances returns, and the most that a service may have (AWS's quota)."""

# Patterns, not compiled ones: most programs never need them, and `re` keeps those that it has compiled.
_HOST_NAME = r"(?=.{1,253}\Z)[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,62})(?:\.[a-zA-Z0-9_][a-zA-Z0-9_-]{0,62})*\.?"
_NUMBER_AT_END = r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?"
_URL_SCHEME = r"[a-zA-Z][a-zA-Z0-9+.-]*"


class HealthStatus(StrEnum):
    """What Cloud Map says of an instance; UNKNOWN for a service without a health check."""

    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    UNKNOWN = "UNKNOWN"


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
        object.__setattr__(self, "attributes", Attributes(self.attributes))

    def __repr__(self) -> str:
        # Values may be secret or hostile: a repr ends in logs, so it shows the keys only.
        return f"<Instance {self.id!r} of {self.service}, {self.health}, attributes {sorted(self.attributes)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id, self.service, self.health, dict(self.attributes))

    @property
    def host(self) -> str | None:
        """AWS_INSTANCE_IPV4, or else AWS_INSTANCE_IPV6, or else AWS_INSTANCE_CNAME; None without any.

        An IPv4 address in AWS_INSTANCE_CNAME is taken for what it is, in its usual form of four decimal numbers.

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
            ConfigurationError: The scheme is none, or the path no string, or it holds a space, a backslash or a control
                character.
        """
        if not (isinstance(scheme, str) and re.fullmatch(_URL_SCHEME, scheme)):
            raise ConfigurationError(f"{safe_repr(scheme)} is no scheme of a URL", advice="Give one like 'https'.")
        # The path itself stays out of the messages: it may be an attribute's value.
        if not isinstance(path, str):
            raise ConfigurationError(
                f"the path of a URL is of type {type(path).__name__}", advice="Give a string, like '/health'."
            )
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
    age: float = 0.0


def _address(value: str, version: int) -> str:
    import ipaddress  # noqa: PLC0415 - many programs never ask for a host, and importing the library is to stay cheap

    address = ipaddress.ip_address(value)
    if address.version != version or "%" in value:  # a zone index means something on the machine that wrote it only
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
    }
)
