"""Tell and report the health of instances."""

from __future__ import annotations

from typing import Any, Final

from aiocloudmap.local.actions.instances import find_instance
from aiocloudmap.local.errors import RefusedError
from aiocloudmap.local.request import ARN, RESOURCE_ID, Request, page
from aiocloudmap.local.state import State
from aiocloudmap.model.instance import HealthStatus

__all__ = ["CALLS"]


def get_instances_health_status(state: State, request: Request) -> dict[str, Any]:
    """The health of some instances, or of all; UNKNOWN where the service has no health check."""
    service = state.service(request.text("ServiceId", ARN))
    if "Instances" in request:
        wanted = request.texts("Instances", RESOURCE_ID)
        if not wanted:
            raise RefusedError("Instances is empty")
        chosen = {identifier: find_instance(service, identifier) for identifier in wanted}
        records = sorted(chosen.values(), key=lambda each: each.number)
    else:
        records = list(service.instances.values())
    found, token = page(request, "GetInstancesHealthStatus", records)
    return {"Status": {each.id: service.health_of(each, state.now).value for each in found}, **token}


def update_instance_custom_health_status(state: State, request: Request) -> dict[str, Any]:
    """Report an instance's health; it takes effect after the world's `health_delay`."""
    service = state.service(request.text("ServiceId", ARN))
    identifier = request.text("InstanceId", RESOURCE_ID)
    status = HealthStatus(request.choice("Status", ("HEALTHY", "UNHEALTHY")))
    if service.custom_check is None:
        raise RefusedError(f"service {service.id} has no custom health check", code="CustomHealthNotFound")
    find_instance(service, identifier).health.report(status, state.now, state.health_delay)
    return {}


CALLS: Final = {
    "GetInstancesHealthStatus": get_instances_health_status,
    "UpdateInstanceCustomHealthStatus": update_instance_custom_health_status,
}
