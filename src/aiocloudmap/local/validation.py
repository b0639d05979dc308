"""AWS's rules for the attributes of an instance as a whole: how many, how long, and the reserved names.

Reserved names start with AWS_: see RegisterInstance in the API reference. Their values are checked if a DNS record is
made from them; otherwise AWS stores them unchecked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from aiocloudmap.local.request import RefusedError
from aiocloudmap.local.state import ServiceRecord

__all__ = ["add_ec2_address", "check_attributes"]

_MAX_CUSTOM: Final = 30
_MAX_CHARACTERS: Final = 5000
_ALIAS: Final = "AWS_ALIAS_DNS_NAME"
_EC2: Final = "AWS_EC2_INSTANCE_ID"
_INIT: Final = "AWS_INIT_HEALTH_STATUS"
_IPV4: Final = "AWS_INSTANCE_IPV4"
_IPV6: Final = "AWS_INSTANCE_IPV6"
_CNAME: Final = "AWS_INSTANCE_CNAME"
_PORT: Final = "AWS_INSTANCE_PORT"
_RESERVED: Final = frozenset({_ALIAS, _EC2, _INIT, _IPV4, _IPV6, _CNAME, _PORT})


def check_attributes(service: ServiceRecord, attributes: Mapping[str, str]) -> None:
    """Refuse attributes that AWS would not register with this service."""
    custom = len(attributes.keys() - _RESERVED)
    if custom > _MAX_CUSTOM:
        raise RefusedError(f"{custom} custom attributes: expected up to {_MAX_CUSTOM}")
    characters = sum(len(key) + len(value) for key, value in attributes.items())
    if characters > _MAX_CHARACTERS:
        raise RefusedError(f"attributes of {characters} characters: expected up to {_MAX_CHARACTERS} in all")
    if attributes.get(_INIT, "HEALTHY") not in ("HEALTHY", "UNHEALTHY"):
        raise RefusedError(f"invalid {_INIT} {attributes[_INIT]!a}: expected HEALTHY or UNHEALTHY")
    if _EC2 in attributes:
        _check_ec2(service, attributes)
    elif _ALIAS in attributes:
        _check_alias(service, attributes)
    else:
        _check_records(service, attributes)


def add_ec2_address(attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes as AWS stores them: an EC2 instance gets its private address, invented here."""
    if _EC2 not in attributes:
        return dict(attributes)
    number = sum(map(ord, attributes[_EC2]))
    return {**attributes, _IPV4: f"10.0.{number // 250 % 250}.{number % 250 + 1}"}


def _check_ec2(service: ServiceRecord, attributes: Mapping[str, str]) -> None:
    if service.namespace.type != "HTTP":
        raise RefusedError(f"{_EC2} requires an HTTP namespace")
    if others := sorted(attributes.keys() - {_EC2, _INIT}):
        raise RefusedError(f"{_EC2} cannot be combined with {', '.join(others)}")


def _check_alias(service: ServiceRecord, attributes: Mapping[str, str]) -> None:
    if clashes := sorted(key for key in attributes if key.startswith("AWS_INSTANCE_")):
        raise RefusedError(f"{_ALIAS} cannot be combined with {', '.join(clashes)}")
    policy = service.dns_config["RoutingPolicy"] if service.dns_config else None
    if policy != "WEIGHTED" or not service.record_types & {"A", "AAAA"}:
        raise RefusedError(f"{_ALIAS} requires a service with A or AAAA records and the RoutingPolicy WEIGHTED")


def _check_records(service: ServiceRecord, attributes: Mapping[str, str]) -> None:
    """Check what the DNS records and the Route 53 health check are made from.

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
            raise RefusedError(f"missing {key}: the service's DNS records or health check require it")
    if "SRV" in types and not attributes.keys() & {_IPV4, _IPV6}:
        raise RefusedError(f"missing {_IPV4} or {_IPV6}: an SRV record requires one of them")
    if types or service.route53_check is not None:
        for key, check in _CHECKS.items():
            if key in attributes and not _passes(check, attributes[key]):
                raise RefusedError(f"invalid {key} {attributes[key]!a}")


def _passes(check: Callable[[str], object], value: str) -> bool:
    try:
        return bool(check(value))
    except ValueError:
        return False


def _is_port(value: str) -> bool:
    return re.fullmatch("[0-9]{1,5}", value) is not None and 1 <= int(value) <= 65535


_CHECKS: Final[Mapping[str, Callable[[str], object]]] = {_IPV4: IPv4Address, _IPV6: IPv6Address, _PORT: _is_port}
