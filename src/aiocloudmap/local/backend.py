"""The world as a source of truth inside the process: no server, no sockets, the same answers and the same errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiocloudmap.errors import CloudMapError, ConnectError, ProtocolError
from aiocloudmap.local.errors import RefusedError
from aiocloudmap.local.fault import Fault, Kind
from aiocloudmap.local.faults import Faults, pass_pauses
from aiocloudmap.local.stats import CallCounts
from aiocloudmap.local.world import World
from aiocloudmap.model.error_codes import row_of
from aiocloudmap.model.instance import MAX_INSTANCES, Discovery, HealthStatus, Instance
from aiocloudmap.model.interfaces import Clock
from aiocloudmap.model.query import AttributesQuery, Query, ServiceName

__all__ = ["LocalBackend"]

_DISCOVER: Final = "DiscoverInstances"
_ATTRIBUTES: Final = "GetServiceAttributes"

_BROKEN: Final[dict[Kind, tuple[type[CloudMapError], str]]] = {
    Kind.EMPTY: (ProtocolError, "the answer was empty"),
    Kind.GARBAGE: (ProtocolError, "the answer was no JSON"),
    Kind.RESET: (ConnectError, "the connection was reset"),
    Kind.TRUNCATE: (ProtocolError, "the answer broke off in the middle"),
}
"""What is wrong with the answer, where it is not AWS that says no."""


class LocalBackend:
    """A `Backend` that asks a world in the same process.

    Args:
        world: What it asks.
        faults: What goes wrong; None for nothing.
        clock: What delays are measured by; the world's where nothing is said.
    """

    def __init__(self, world: World, faults: Faults | None = None, *, clock: Clock | None = None) -> None:
        self.world = world
        self.faults = Faults() if faults is None else faults
        self.calls = CallCounts()
        self._clock = clock or world.clock

    async def discover(self, query: Query) -> Discovery:
        """Every instance that matches, in random order.

        Raises:
            NotFoundError: The world has no such namespace or service.
            CloudMapError: What AWS would refuse, or a fault that is switched on.
        """
        fault = await self._called(_DISCOVER, query.service)
        keep = int(fault.amount) if fault is not None else None
        try:
            answer = self.world.call(_DISCOVER, _request(query))
        except RefusedError as refusal:
            raise _translated(refusal, query.service) from refusal
        instances = tuple(_instance(each) for each in answer["Instances"][:keep])
        return Discovery(instances, answer["InstancesRevision"])

    async def service_attributes(self, query: AttributesQuery) -> Mapping[str, str]:
        """The service's own attributes. Counts, and meets faults, as one GetServiceAttributes; it needs no ids.

        Raises:
            NotFoundError: The world has no such namespace or service.
            CloudMapError: A fault that is switched on.
        """
        await self._called(_ATTRIBUTES, query.service)
        try:
            return self.world.service_attributes(query.service, owner_account=query.owner_account)
        except RefusedError as refusal:
            raise _translated(refusal, query.service) from refusal

    async def _called(self, operation: str, service: ServiceName) -> Fault | None:
        """Count the call and let it meet its faults. Returns one that only shortens the answer."""
        self.calls.add(operation, str(service))
        fault = await pass_pauses(*self.faults.take(operation, str(service)), self._clock)
        if fault is None or fault.kind is Kind.FEWER:
            return fault
        if (refusal := fault.refusal(operation)) is not None:
            row = row_of(refusal.code, refusal.status)
            raise row.error(code=refusal.code, service=service) from refusal
        kind, what = _BROKEN[fault.kind]
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


def _instance(summary: dict[str, Any]) -> Instance:
    return Instance(
        summary["InstanceId"],
        ServiceName(summary["NamespaceName"], summary["ServiceName"]),
        HealthStatus(summary["HealthStatus"]),
        summary["Attributes"],
    )


def _translated(refusal: RefusedError, service: ServiceName) -> CloudMapError:
    return row_of(refusal.code, refusal.status).error(refusal.what, code=refusal.code, service=service)
