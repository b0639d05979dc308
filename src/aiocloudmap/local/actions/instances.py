"""Register, deregister, get and list instances.

Registering an id that is there changes it (upsert). Both calls are operations; what they change is seen when they end,
and each end moves the service's revision, whether the instance was new or not.
"""

from __future__ import annotations

from typing import Any, Final

from aiocloudmap.local.errors import RefusedError
from aiocloudmap.local.request import ARN, ATTRIBUTE_KEY, ATTRIBUTE_VALUE, INSTANCE_ID, RESOURCE_ID, Request, page
from aiocloudmap.local.state import Health, InstanceRecord, ServiceRecord, State
from aiocloudmap.local.validation import check_attributes, filled_in
from aiocloudmap.model.instance import HealthStatus

__all__ = ["CALLS", "check_registration", "drop_instance", "find_instance", "put_instance"]


def register_instance(state: State, request: Request) -> dict[str, Any]:
    """Start the registration of an instance, or its change."""
    service = state.service(request.text("ServiceId", ARN))
    identifier = request.text("InstanceId", INSTANCE_ID)
    token = request.optional_text("CreatorRequestId", RESOURCE_ID)
    attributes = request.mapping("Attributes", ATTRIBUTE_KEY, ATTRIBUTE_VALUE, required=True)
    check_registration(state, service, identifier, attributes)
    attributes = filled_in(attributes)
    known = service.instances.get(identifier)
    if known and token is not None and (known.creator_request_id, known.attributes) == (token, attributes):
        return {"OperationId": known.registering_operation}

    def apply(operation_id: str) -> None:
        instance = put_instance(state, service, identifier, attributes)
        instance.creator_request_id, instance.registering_operation = token, operation_id

    target, targets = _targets(service, identifier)
    return state.submit("REGISTER_INSTANCE", target, targets, service.namespace.owner, apply, token=token)


def check_registration(state: State, service: ServiceRecord, identifier: str, attributes: dict[str, str]) -> None:
    """Refuse what AWS would refuse to register: by its attributes, and by the quotas where the instance is new."""
    check_attributes(service, attributes)
    if identifier not in service.instances:
        _check_quotas(state, service)


def put_instance(state: State, service: ServiceRecord, identifier: str, attributes: dict[str, str]) -> InstanceRecord:
    """Make the instance what it is to be, new or changed, and move the revision."""
    former = service.instances.get(identifier)
    instance = service.instances[identifier] = InstanceRecord(
        id=identifier,
        number=former.number if former else state.next_number(),
        attributes=attributes,
        created_by=state.account,
        health=_health(attributes, former),
    )
    service.revision += 1
    return instance


def drop_instance(service: ServiceRecord, identifier: str) -> None:
    """Forget the instance, and move the revision; one that has gone meanwhile does not matter."""
    if service.instances.pop(identifier, None) is not None:
        service.revision += 1


def deregister_instance(state: State, request: Request) -> dict[str, Any]:
    """Start the end of an instance."""
    service = state.service(request.text("ServiceId", ARN))
    identifier = request.text("InstanceId", RESOURCE_ID)
    state.operations.check_free((service.namespace.id, service.id, identifier))
    find_instance(service, identifier)

    def apply(_: str) -> None:
        drop_instance(service, identifier)

    target, targets = _targets(service, identifier)
    return state.submit("DEREGISTER_INSTANCE", target, targets, service.namespace.owner, apply)


def get_instance(state: State, request: Request) -> dict[str, Any]:
    """Everything about one instance but its health."""
    service = state.service(request.text("ServiceId", ARN))
    instance = find_instance(service, request.text("InstanceId", RESOURCE_ID))
    token = instance.creator_request_id
    described = _described(instance) | ({"CreatorRequestId": token} if token else {})
    return {"ResourceOwner": service.namespace.owner, "Instance": described}


def list_instances(state: State, request: Request) -> dict[str, Any]:
    """A service's instances, in the order they were registered."""
    service = state.service(request.text("ServiceId", ARN))
    found, token = page(request, "ListInstances", service.instances.values())
    return {
        "ResourceOwner": service.namespace.owner,
        "Instances": [_described(instance) for instance in found],
        **token,
    }


def find_instance(service: ServiceRecord, identifier: str) -> InstanceRecord:
    """The instance.

    Raises:
        RefusedError: `InstanceNotFound`.
    """
    if identifier not in service.instances:
        raise RefusedError(f"service {service.id} has no instance {identifier}", code="InstanceNotFound")
    return service.instances[identifier]


def _targets(service: ServiceRecord, identifier: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """What the operation locks, and what GetOperation tells of it."""
    namespace = service.namespace.id
    targets = {"NAMESPACE": namespace, "SERVICE": service.id, "INSTANCE": identifier}
    return (namespace, service.id, identifier), targets


def _check_quotas(state: State, service: ServiceRecord) -> None:
    """Instances that are there count; those on their way do not."""
    if len(service.instances) >= state.quotas.instances_per_service:
        raise RefusedError(f"service {service.id} has as many instances as it may have", code="ResourceLimitExceeded")
    if (
        sum(len(each.instances) for each in state.services_of(service.namespace))
        >= state.quotas.instances_per_namespace
    ):
        raise RefusedError(
            f"namespace {service.namespace.id} has as many instances as it may have", code="ResourceLimitExceeded"
        )


def _health(attributes: dict[str, str], former: InstanceRecord | None) -> Health:
    """A changed instance keeps its health, unless the change names one."""
    if (status := attributes.get("AWS_INIT_HEALTH_STATUS")) is not None:
        return Health(HealthStatus(status))
    return former.health if former else Health()


def _described(instance: InstanceRecord) -> dict[str, Any]:
    return {
        "Id": instance.id,
        "Attributes": dict(instance.attributes),
        "CreatedByAccount": instance.created_by,
    }


CALLS: Final = {
    "RegisterInstance": register_instance,
    "DeregisterInstance": deregister_instance,
    "GetInstance": get_instance,
    "ListInstances": list_instances,
}
