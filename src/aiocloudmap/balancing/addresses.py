"""The addresses of instances, and the order in which to try them.

Attributes are untrusted. An instance without an address, or with an invalid one, is skipped if another instance can be
reached, so that one bad registration does not make a service unavailable.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from socket import AddressFamily
from typing import Final

from aiocloudmap.balancing.rotation import random_sample
from aiocloudmap.errors import InvalidAttributeError
from aiocloudmap.model.answer import no_attribute_error
from aiocloudmap.model.instance import HealthStatus, Instance

__all__ = ["MAX_ATTEMPTS", "Address", "grpc_target", "in_order", "reachable"]

MAX_ATTEMPTS: Final = 8
"""How many equally good instances are tried for one connection."""


@dataclass(frozen=True, slots=True)
class Address:
    """The destination of a connection.

    Args:
        host: An IP address or a host name.
        port: 1 to 65535; None if the instance has no port.
        family: The family of the IP address; None for a host name.
    """

    host: str
    port: int | None
    family: AddressFamily | None


def reachable(instances: Iterable[Instance]) -> dict[Instance, tuple[Address, ...]]:
    """The instances that have an address, each with all its addresses: IPv4, then IPv6, then host name.

    Args:
        instances: At least one.

    Raises:
        InvalidAttributeError: No instance can be reached, and one has an invalid address or port.
        AttributeNotFoundError: No instance has an address.
    """
    found: dict[Instance, tuple[Address, ...]] = {}
    skipped: list[Instance] = []
    invalid: InvalidAttributeError | None = None
    for instance in instances:
        try:
            port = instance.port
            addresses = tuple(Address(host, port, _family(host)) for host in instance.hosts)
        except InvalidAttributeError as error:
            invalid = error
            continue
        if addresses:
            found[instance] = addresses
        else:
            skipped.append(instance)
    if found:
        return found
    raise invalid or no_attribute_error("no instance has an address", "AWS_INSTANCE_IPV4", skipped)


def in_order(found: Mapping[Instance, tuple[Address, ...]], *, zone: str | None = None, turn: int = 0) -> list[Address]:
    """The addresses to try for one connection, the best first.

    Healthy instances come before unhealthy ones, and then instances of `zone` before others. Of equally good instances,
    `turn` decides which is first. The others follow in random order, so that all of them share the load of a dead
    instance. At most `MAX_ATTEMPTS` of them are tried, so that a failed zone leaves time for others.

    Args:
        found: The result of `reachable`.
        zone: The Availability Zone to prefer, or None.
        turn: The number of the connection.
    """
    ranks: dict[tuple[bool, bool], list[Instance]] = {}
    for instance in found:
        elsewhere = zone is not None and instance.zone != zone
        ranks.setdefault((instance.health is HealthStatus.UNHEALTHY, elsewhere), []).append(instance)
    chosen: list[Instance] = []
    for _, equals in sorted(ranks.items()):
        first = equals.pop(turn % len(equals))
        chosen += [first, *random_sample(equals, min(len(equals), MAX_ATTEMPTS - 1))]
    return [address for instance in chosen for address in found[instance]]


def grpc_target(found: Mapping[Instance, tuple[Address, ...]]) -> str:
    """The gRPC target of all addresses with a port, of the family with more addresses or else IPv4.

    Raises:
        AttributeNotFoundError: No instance has both an IP address and a port.

    Source: https://github.com/grpc/grpc/blob/master/doc/naming.md
    """
    addresses = [address for each in found.values() for address in each if address.port is not None]
    # A dict removes duplicates and keeps the order.
    ipv4 = {f"{each.host}:{each.port}": None for each in addresses if each.family is socket.AF_INET}
    ipv6 = {f"[{each.host}]:{each.port}": None for each in addresses if each.family is socket.AF_INET6}
    if not ipv4 and not ipv6:
        raise no_attribute_error("no instance has both an IP address and a port", "AWS_INSTANCE_PORT", found)
    return f"ipv6:{','.join(ipv6)}" if len(ipv6) > len(ipv4) else f"ipv4:{','.join(ipv4)}"


def _family(host: str) -> AddressFamily | None:
    if ":" in host:
        return socket.AF_INET6
    try:
        socket.inet_pton(socket.AF_INET, host)
    except OSError:
        return None
    return socket.AF_INET
