"""At which addresses instances are reached, and in which order to try them. Pure.

Attributes are text that others wrote. An instance that has no address, or one that is none, is passed over as long as
there is another: one bad registration must not take a service down.
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
"""Of instances that are equally good, so many are tried for one connection."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a connection goes.

    Args:
        host: An IP address, or a host name.
        port: 1 to 65535; None where the instance says nothing of it.
        family: The address's; None for a host name.
    """

    host: str
    port: int | None
    family: AddressFamily | None


def reachable(instances: Iterable[Instance]) -> dict[Instance, tuple[Address, ...]]:
    """Those that have an address, with all they have: IPv4 before IPv6 before a host name.

    Args:
        instances: At least one.

    Raises:
        InvalidAttributeError: None can be reached, and one has an address or a port that is none.
        AttributeNotFoundError: None has an address.
    """
    found: dict[Instance, tuple[Address, ...]] = {}
    passed: list[Instance] = []
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
            passed.append(instance)
    if found:
        return found
    raise invalid or no_attribute_error("no instance has an address", "AWS_INSTANCE_IPV4", passed)


def in_order(found: Mapping[Instance, tuple[Address, ...]], *, zone: str | None = None, turn: int = 0) -> list[Address]:
    """The addresses to try for one connection, the best first.

    Unhealthy instances come last, where the question let them in, and those of other zones behind those of `zone`.
    Among equally good ones the turn decides who is first. The rest follow at random, so that what a dead instance does
    not take falls on all others, not on its neighbour alone. Of equally good ones at most `MAX_ATTEMPTS` are tried, so
    that a zone that is gone leaves time for the others.

    Args:
        found: As `reachable` gives it.
        zone: The Availability Zone to prefer, as instances name it; None has no preference.
        turn: Counts connections.
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
    """What gRPC calls all addresses with a port, of the family that more of them have; IPv4 where it is even.

    Raises:
        AttributeNotFoundError: No instance has both an IP address and a port.

    Source: https://github.com/grpc/grpc/blob/master/doc/naming.md
    """
    addresses = [address for each in found.values() for address in each if address.port is not None]
    # A dict keeps the order, and two instances at one address are one to gRPC.
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
