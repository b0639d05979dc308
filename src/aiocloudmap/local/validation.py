"""What AWS asks of an instance's attributes, beyond the shape of each: numbers, sums, and the reserved names.

Reserved names start with AWS_ and mean something to Cloud Map: API reference of RegisterInstance. Their values are
checked where a DNS record is made of them; elsewhere AWS keeps them as it gets them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from aiocloudmap.local.errors import RefusedError
from aiocloudmap.local.state import ServiceRecord

__all__ = ["check_attributes", "filled_in"]

_MOST_CUSTOM: Final = 30
_MOST_CHARACTERS: Final = 5000
_ALIAS: Final = "AWS_ALIAS_DNS_NAME"
_EC2: Final = "AWS_EC2_INSTANCE_ID"
_INIT: Final = "AWS_INIT_HEALTH_STATUS"
_IPV4: Final = "AWS_INSTANCE_IPV4"
_IPV6: Final = "AWS_INSTANCE_IPV6"
_CNAME: Final = "AWS_INSTANCE_CNAME"
_PORT: Final = "AWS_INSTANCE_PORT"
_RESERVED: Final = frozenset({_ALIAS, _EC2, _INIT, _IPV4, _IPV6, _CNAME, _PORT})


def check_attributes(service: ServiceRecord, attributes: Mapping[str, str]) -> None:
    """Refuse what AWS would refuse to register with this service."""
    custom = len(attributes.keys() - _RESERVED)
    if custom > _MOST_CUSTOM:
        raise RefusedError(f"{custom} custom attributes; an instance has up to {_MOST_CUSTOM}")
    characters = sum(len(key) + len(value) for key, value in attributes.items())
    if characters > _MOST_CHARACTERS:
        raise RefusedError(f"attributes of {characters} characters in all; {_MOST_CHARACTERS} are allowed")
    if attributes.get(_INIT, "HEALTHY") not in ("HEALTHY", "UNHEALTHY"):
        raise RefusedError(f"{_INIT} must be HEALTHY or UNHEALTHY")
    if _EC2 in attributes:
        _check_ec2(service, attributes)
    elif _ALIAS in attributes:
        _check_alias(service, attributes)
    else:
        _check_records(service, attributes)


def filled_in(attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes as AWS keeps them: an EC2 instance gets its primary private address (one made up here)."""
    if _EC2 not in attributes:
        return dict(attributes)
    number = sum(map(ord, attributes[_EC2]))
    return {**attributes, _IPV4: f"10.0.{number // 250 % 250}.{number % 250 + 1}"}


def _check_ec2(service: ServiceRecord, attributes: Mapping[str, str]) -> None:
    if service.namespace.type != "HTTP":
        raise RefusedError(f"{_EC2} is for HTTP namespaces only")
    if others := sorted(attributes.keys() - {_EC2, _INIT}):
        raise RefusedError(f"with {_EC2}, the only other attribute is {_INIT}, not {', '.join(others)}")


def _check_alias(service: ServiceRecord, attributes: Mapping[str, str]) -> None:
    if clashes := sorted(key for key in attributes if key.startswith("AWS_INSTANCE_")):
        raise RefusedError(f"{_ALIAS} cannot go with {', '.join(clashes)}")
    policy = service.dns_config["RoutingPolicy"] if service.dns_config else None
    if policy != "WEIGHTED" or not service.record_types & {"A", "AAAA"}:
        raise RefusedError(f"{_ALIAS} needs a service with A or AAAA records and the RoutingPolicy WEIGHTED")


def _check_records(service: ServiceRecord, attributes: Mapping[str, str]) -> None:
    """Every DNS record, and a Route 53 health check, needs what it is made of.

    A: IPv4. AAAA: IPv6. CNAME: a host name. SRV: a port, and IPv4 or IPv6. Health check: a port.
    """
    types = service.record_types
    needed = {
        _IPV4: "A" in types,
        _IPV6: "AAAA" in types,
        _CNAME: "CNAME" in types,
        _PORT: "SRV" in types or service.route53_check is not None,
    }
    for key, is_needed in needed.items():
        if is_needed and key not in attributes:
            raise RefusedError(f"{key} is missing; the service's DNS records or health check need it")
    if "SRV" in types and not attributes.keys() & {_IPV4, _IPV6}:
        raise RefusedError(f"an SRV record needs {_IPV4} or {_IPV6}")
    if types or service.route53_check is not None:
        for key, check in _VALUES.items():
            if key in attributes and not _passes(check, attributes[key]):
                raise RefusedError(f"{key} {attributes[key]!a} is none")


def _passes(check: Callable[[str], object], value: str) -> bool:
    try:
        return bool(check(value))
    except ValueError:
        return False


def _is_port(value: str) -> bool:
    return re.fullmatch("[0-9]{1,5}", value) is not None and 1 <= int(value) <= 65535


_VALUES: Final[Mapping[str, Callable[[str], object]]] = {_IPV4: IPv4Address, _IPV6: IPv6Address, _PORT: _is_port}
