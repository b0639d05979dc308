"""Names in URLs: which of them are Cloud Map's, and where a connection to one goes.

`orders.shop` is the service `orders` of the namespace `shop`, where the program has said that `shop` is Cloud Map's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from aiocloudmap.balancing.addresses import Address, in_order, reachable
from aiocloudmap.balancing.rotation import start_rotation
from aiocloudmap.client import CloudMap
from aiocloudmap.errors import ConfigurationError, ServiceNotFoundError
from aiocloudmap.model.answer import no_instances_error
from aiocloudmap.model.query import HealthFilter, Query, ServiceName
from aiocloudmap.model.validation import safe_repr

__all__ = ["UrlNames"]

_SUFFIX: Final = re.compile(r"[a-zA-Z0-9_-]+(?:\.[a-zA-Z0-9_-]+)*")


class UrlNames:
    """The names of some namespaces.

    Args:
        cloud_map: Who is asked.
        namespaces: Those whose services are meant by `service.namespace`. All other names are somebody else's.
        zone: The Availability Zone whose instances come first.
        health: Which instances count.

    Raises:
        ConfigurationError: One of them cannot be what it is.
    """

    __slots__ = ("_cloud_map", "_health", "_namespaces", "_rotations", "_zone")

    def __init__(
        self,
        cloud_map: CloudMap,
        *,
        namespaces: Iterable[str],
        zone: str | None = None,
        health: HealthFilter | str = HealthFilter.HEALTHY_OR_ELSE_ALL,
    ) -> None:
        if not isinstance(cloud_map, CloudMap):
            raise ConfigurationError(f"{safe_repr(cloud_map)} is no CloudMap", advice="Give it first, like CloudMap().")
        if zone is not None and not isinstance(zone, str):
            raise ConfigurationError(
                f"zone={safe_repr(zone)} is no zone", advice="Give one like 'eu-west-1a', or None."
            )
        self._cloud_map = cloud_map
        self._namespaces = _suffixes(namespaces)
        self._zone = zone
        # Query checks it, whatever its type.
        self._health = Query(ServiceName("any", "any"), health).health  # type: ignore[arg-type]
        self._rotations: dict[ServiceName, Iterator[int]] = {}

    def service(self, host: str) -> ServiceName | None:
        """Whom the host of a URL means; None where it is below none of the namespaces.

        Where several would fit, the longest one is meant. Case does not count, nor do dots at the end. Whatever
        is below a namespace stays Cloud Map's, even if no service can have that name.

        Raises:
            ServiceNotFoundError: What stands before the namespace is no service's name.
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
        """Where to try for one connection, the best first; None where the name is not Cloud Map's.

        Costs as much as `Service.resolve`: mostly a memory read.

        Raises:
            NoInstancesError: No instance matches.
            AttributeNotFoundError: No instance has an address.
            InvalidAttributeError: None can be reached, and one has an address or a port that is none.
            CloudMapError: As `Service.resolve`.
        """
        name = self.service(host)
        if name is None:
            return None
        snapshot = await self._cloud_map.service(name, health=self._health).resolve()
        if not snapshot:
            raise no_instances_error(Query(name, self._health))
        return in_order(reachable(snapshot), zone=self._zone, turn=self._turn(name))

    def _turn(self, name: ServiceName) -> int:
        # Only services that were found get here, so there are never more than those.
        if (rotation := self._rotations.get(name)) is None:
            rotation = self._rotations[name] = start_rotation()
        return next(rotation)


def _suffixes(namespaces: object) -> dict[str, str]:
    """Each namespace by its text in a URL, which knows no capitals."""
    advice = "Write namespaces=('shop',)."
    if isinstance(namespaces, str) or not isinstance(namespaces, Iterable):
        raise ConfigurationError(f"namespaces={safe_repr(namespaces)} is no collection of names", advice=advice)
    found: dict[str, str] = {}
    for name in namespaces:
        if not (isinstance(name, str) and _SUFFIX.fullmatch(name)):
            raise ConfigurationError(f"{safe_repr(name)} is no namespace that can end a host name", advice=advice)
        if found.setdefault(name.lower(), name) != name:
            raise ConfigurationError(
                f"{safe_repr(name)} and {safe_repr(found[name.lower()])} are one name in a URL",
                advice="Give one of them.",
            )
    if not found:
        raise ConfigurationError("namespaces= names none, so no name would be Cloud Map's", advice=advice)
    return found
