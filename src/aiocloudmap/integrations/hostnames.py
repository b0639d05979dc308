"""Host names of the form `service.namespace`, for libraries that connect by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from aiocloudmap.balancing.addresses import Address, in_order, reachable
from aiocloudmap.balancing.rotation import start_rotation
from aiocloudmap.client import CloudMap
from aiocloudmap.errors import ConfigurationError, ServiceNotFoundError
from aiocloudmap.model.answer import Snapshot, no_instances_error
from aiocloudmap.model.instance import Instance
from aiocloudmap.model.query import HealthFilter, Query, ServiceName
from aiocloudmap.model.validation import check_type, safe_repr

__all__ = ["Hostnames"]

_NAMESPACE: Final = re.compile(r"[a-zA-Z0-9_-]+(?:\.[a-zA-Z0-9_-]+)*")


class Hostnames:
    """Finds the addresses of names such as `orders.shop`, the service `orders` in the namespace `shop`.

    Its arguments are described in `CloudMapResolver`, for aiohttp.

    Raises:
        ConfigurationError: An argument is invalid.
    """

    __slots__ = ("_cloud_map", "_health", "_last", "_namespaces", "_zone")

    def __init__(
        self,
        cloud_map: CloudMap,
        *,
        namespaces: Iterable[str],
        zone: str | None = None,
        health: HealthFilter | str = HealthFilter.HEALTHY_OR_ELSE_ALL,
    ) -> None:
        check_type("cloud_map", cloud_map, CloudMap, example="CloudMap()")
        if zone is not None:
            check_type("zone", zone, str, example="zone='eu-west-1a'")
        self._cloud_map = cloud_map
        self._namespaces = _by_lowercase_name(namespaces)
        self._zone = zone
        # Query validates it and turns text into a HealthFilter.
        self._health = Query(ServiceName("any", "any"), health).health  # type: ignore[arg-type]
        self._last: dict[ServiceName, tuple[Iterator[int], Snapshot, dict[Instance, tuple[Address, ...]]]] = {}

    def service(self, host: str) -> ServiceName | None:
        """The service that a host name means, or None if it is not below one of the namespaces.

        Names are compared without case and without trailing dots.

        Raises:
            ServiceNotFoundError: The name is below a namespace, but the rest is not a valid service name.
        """
        labels = host.lower().rstrip(".").split(".")
        for start in range(1, len(labels)):
            namespace = self._namespaces.get(".".join(labels[start:]))
            if namespace is not None:
                try:
                    return ServiceName(namespace, ".".join(labels[:start]))
                except ConfigurationError as error:
                    raise ServiceNotFoundError(error.what, advice=error.advice) from error
        return None

    async def addresses(self, host: str) -> list[Address] | None:
        """The addresses to try for one connection, best first, or None if no namespace matches the name.

        Like `Service.resolve`, it usually makes no AWS call.

        Raises:
            NoInstancesError: No instance matches.
            AttributeNotFoundError: No instance has an address.
            InvalidAttributeError: No instance has a valid address, and at least one has an invalid one.
            CloudMapError: As `Service.resolve`.
        """
        name = self.service(host)
        if name is None:
            return None
        snapshot = await self._cloud_map.service(name, health=self._health).resolve()
        if not snapshot:
            raise no_instances_error(Query(name, self._health))
        rotation, previous, found = self._last.get(name) or (start_rotation(), None, {})
        if previous is not snapshot:
            # Reading the attributes of a hundred instances takes as long as a request: once an answer is enough.
            found = reachable(snapshot)
            # Only services that exist get here, which bounds the number of entries.
            self._last[name] = rotation, snapshot, found
        return in_order(found, zone=self._zone, turn=next(rotation))


def _by_lowercase_name(namespaces: object) -> dict[str, str]:
    if isinstance(namespaces, str) or not isinstance(namespaces, Iterable):
        raise ConfigurationError(f"invalid namespaces {safe_repr(namespaces)}: expected names like ('shop',)")
    found: dict[str, str] = {}
    for name in namespaces:
        if not (isinstance(name, str) and _NAMESPACE.fullmatch(name)):
            raise ConfigurationError(
                f"invalid namespace {safe_repr(name)}: expected letters, digits, '_' and '-' joined by dots"
            )
        if found.setdefault(name.lower(), name) != name:
            raise ConfigurationError(
                f"invalid namespaces: {safe_repr(found[name.lower()])} and {safe_repr(name)} differ only in case",
                advice="Host names have no case: remove one of the two.",
            )
    if not found:
        raise ConfigurationError("invalid namespaces: expected at least one name")
    return found
