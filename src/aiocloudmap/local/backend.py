"""The world as a backend in the same process: no server, no sockets, the same answers and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiocloudmap.errors import CloudMapError, ConnectError, ProtocolError
from aiocloudmap.local.fault import Fault, Kind
from aiocloudmap.local.faults import Faults, apply_pauses
from aiocloudmap.local.request import RefusedError
from aiocloudmap.local.stats import CallCounts
from aiocloudmap.local.world import World
from aiocloudmap.model.error_codes import row_of
from aiocloudmap.model.instance import MAX_INSTANCES, Discovery, HealthStatus, Instance
from aiocloudmap.model.interfaces import Clock
from aiocloudmap.model.query import AttributesQuery, Query, ServiceName

__all__ = ["LocalBackend"]

_DISCOVER: Final = "DiscoverInstances"
_ATTRIBUTES: Final = "GetServiceAttributes"

_TRANSPORT_ERRORS: Final[dict[Kind, tuple[type[CloudMapError], str]]] = {
    Kind.EMPTY: (ProtocolError, "the answer was empty"),
    Kind.GARBAGE: (ProtocolError, "the answer was not JSON"),
    Kind.RESET: (ConnectError, "the connection was reset"),
    Kind.TRUNCATE: (ProtocolError, "the answer was incomplete"),
}


class LocalBackend:
    """A `Backend` that asks a world in the same process.

    Args:
        world: The world it asks.
        faults: Its faults; None for a new, empty set.
        clock: Measures delays; by default the world's.
    """

    def __init__(self, world: World, faults: Faults | None = None, *, clock: Clock | None = None) -> None:
        self.world = world
        self.faults = Faults() if faults is None else faults
        self.calls = CallCounts()
        self._clock = clock or world.clock

    async def discover(self, query: Query) -> Discovery:
        """Every instance that matches, in random order.

        Raises:
            NotFoundError: The namespace or the service does not exist.
            CloudMapError: AWS would refuse the call, or a fault is switched on.
        """
        fault = await self._begin_call(_DISCOVER, query.service)
        keep = int(fault.amount) if fault is not None else None
        try:
            answer = self.world.call(_DISCOVER, _request(query))
        except RefusedError as refusal:
            raise _error(refusal, query.service, refusal.what) from refusal
        instances = tuple(_instance(each, query.service) for each in answer["Instances"][:keep])
        return Discovery(instances, answer["InstancesRevision"])

    async def service_attributes(self, query: AttributesQuery) -> Mapping[str, str]:
        """The service's own attributes. Counts as one GetServiceAttributes, also for faults.

        Raises:
            NotFoundError: The namespace or the service does not exist.
            CloudMapError: A fault is switched on.
        """
        await self._begin_call(_ATTRIBUTES, query.service)
        try:
            return self.world.service_attributes(query.service, owner_account=query.owner_account)
        except RefusedError as refusal:
            raise _error(refusal, query.service, refusal.what) from refusal

    async def _begin_call(self, operation: str, service: ServiceName) -> Fault | None:
        """Count the call and apply its faults. Returns a fault that only shortens the answer."""
        name = f"{service.namespace}/{service.service}"
        self.calls.add(operation, name)
        fault = await apply_pauses(*self.faults.take(operation, name), self._clock)
        if fault is None or fault.kind is Kind.FEWER:
            return fault
        if (refusal := fault.refusal(operation)) is not None:
            raise _error(refusal, service) from refusal
        kind, what = _TRANSPORT_ERRORS[fault.kind]
        raise kind(what, service=service)

    def __repr__(self) -> str:
        return f"<LocalBackend of {self.world!r}, {self.calls.total} calls>"


def _request(query: Query) -> dict[str, Any]:
    members: dict[str, Any] = {
        "NamespaceName": query.service.namespace,
        "ServiceName": query.service.service,
        "MaxResults": MAX_INSTANCES,
        "HealthStatus": str(query.health),
        "QueryParameters": dict(query.where),
        "OptionalParameters": dict(query.prefer),
    }
    return members if query.owner_account is None else {**members, "OwnerAccount": query.owner_account}


def _instance(summary: dict[str, Any], service: ServiceName) -> Instance:
    return Instance(summary["InstanceId"], service, HealthStatus(summary["HealthStatus"]), summary["Attributes"])


def _error(refusal: RefusedError, service: ServiceName, what: str = "") -> CloudMapError:
    return row_of(refusal.code, refusal.status).error(what, code=refusal.code, service=service)
