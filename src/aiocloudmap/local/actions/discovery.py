"""The data plane: DiscoverInstances and DiscoverInstancesRevision.

An answer is made in this order: QueryParameters (all must match), health, OptionalParameters (if anything matches
them), a random order, MaxResults. Health is ignored for a service without a health check. HEALTHY_OR_ELSE_ALL looks at
the instances that match the query. The default of HealthStatus is not documented for the API; here it is HEALTHY, as
the developer guide describes discovery.
"""

from __future__ import annotations

from typing import Any, Final

from aiocloudmap.local.request import ACCOUNT, ATTRIBUTE_KEY, ATTRIBUTE_VALUE, NAMESPACE_NAME, SERVICE_NAME, Request
from aiocloudmap.local.state import InstanceRecord, ServiceRecord, State
from aiocloudmap.model.instance import HealthStatus
from aiocloudmap.model.query import HealthFilter

__all__ = ["ACTIONS"]

_DEFAULT_RESULTS: Final = 100
_MAX_RESULTS: Final = 1000


def discover_instances(state: State, request: Request) -> dict[str, Any]:
    """Instances of a service that match, in random order."""
    names = request.text("NamespaceName", NAMESPACE_NAME), request.text("ServiceName", SERVICE_NAME)
    owner = request.optional_text("OwnerAccount", ACCOUNT)
    max_results = request.number("MaxResults", 1, _MAX_RESULTS, default=_DEFAULT_RESULTS)
    query = request.mapping("QueryParameters", ATTRIBUTE_KEY, ATTRIBUTE_VALUE)
    optional = request.mapping("OptionalParameters", ATTRIBUTE_KEY, ATTRIBUTE_VALUE)
    health = HealthFilter(request.choice("HealthStatus", list(HealthFilter), default="HEALTHY"))
    service = state.discover(*names, owner)

    found = _healthy(state, service, _matching(service.instances.values(), query), health)
    if optional:
        found = _matching(found, optional) or found
    chosen = state.random.sample(found, min(max_results, len(found)))
    return {
        "Instances": [_described(state, service, instance) for instance in chosen],
        "InstancesRevision": service.revision,
    }


def discover_instances_revision(state: State, request: Request) -> dict[str, Any]:
    """The service's revision, which registrations and deregistrations increase. Health does not change it."""
    names = request.text("NamespaceName", NAMESPACE_NAME), request.text("ServiceName", SERVICE_NAME)
    service = state.discover(*names, request.optional_text("OwnerAccount", ACCOUNT))
    return {"InstancesRevision": service.revision}


def _matching(instances: Any, wanted: dict[str, str]) -> list[InstanceRecord]:
    pairs = wanted.items()
    return [each for each in instances if pairs <= each.attributes.items()]


def _healthy(
    state: State, service: ServiceRecord, instances: list[InstanceRecord], wanted: HealthFilter
) -> list[InstanceRecord]:
    if not service.has_health or wanted is HealthFilter.ALL:
        return instances
    status = HealthStatus.UNHEALTHY if wanted is HealthFilter.UNHEALTHY else HealthStatus.HEALTHY
    found = [each for each in instances if service.health_of(each, state.now) is status]
    return found or instances if wanted is HealthFilter.HEALTHY_OR_ELSE_ALL else found


def _described(state: State, service: ServiceRecord, instance: InstanceRecord) -> dict[str, Any]:
    return {
        "InstanceId": instance.id,
        "NamespaceName": service.namespace.http_name,
        "ServiceName": service.name,
        "HealthStatus": service.health_of(instance, state.now).value,
        "Attributes": dict(instance.attributes),
    }


ACTIONS: Final = {
    "DiscoverInstances": discover_instances,
    "DiscoverInstancesRevision": discover_instances_revision,
}
