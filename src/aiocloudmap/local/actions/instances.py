"""Register, deregister, get and list instances; get and report their health.

Registering an existing id changes the instance (upsert). Registering and deregistering are operations: their effect is
visible when they end, and each end increases the service's revision, whether the instance was new or not.
"""

from __future__ import annotations

from typing import Any, Final

from aiocloudmap.local.actions.services import UPDATE_SERVICE
from aiocloudmap.local.request import (
    ARN,
    ATTRIBUTE_KEY,
    ATTRIBUTE_VALUE,
    INSTANCE_ID,
    RESOURCE_ID,
    RefusedError,
    Request,
    paginate,
    present,
)
from aiocloudmap.local.state import Health, InstanceRecord, Sent, ServiceRecord, State
from aiocloudmap.local.validation import add_ec2_address, check_attributes
from aiocloudmap.model.instance import HealthStatus

__all__ = ["ACTIONS", "check_registration", "drop_instance", "find_instance", "put_instance"]


def register_instance(state: State, request: Request) -> dict[str, Any]:
    """Start to register or change an instance."""
    service = state.service(request.text("ServiceId", ARN))
    identifier = request.text("InstanceId", INSTANCE_ID)
    token = request.optional_text("CreatorRequestId", RESOURCE_ID)
    attributes = request.mapping("Attributes", ATTRIBUTE_KEY, ATTRIBUTE_VALUE, required=True)
    check_registration(state, service, identifier, attributes)
    attributes = add_ec2_address(attributes)
    asked, scope = (identifier, attributes), (service.namespace.id, service.id)
    earlier = (each.registration for each in service.instances.values())
    if (answer := state.repeated("REGISTER_INSTANCE", scope, token, asked, earlier)) is not None:
        return answer
    _check_not_updated(state, service)

    def apply(operation_id: str) -> None:
        instance = put_instance(state, service, identifier, attributes)
        instance.creator_request_id, instance.registration = token, Sent(token, asked, operation_id)

    target, targets = _targets(service, identifier)
    owner = service.namespace.owner
    return state.submit("REGISTER_INSTANCE", target, targets, owner, apply, token=token, request=asked)


def check_registration(state: State, service: ServiceRecord, identifier: str, attributes: dict[str, str]) -> None:
    """Refuse what AWS would not register: by its attributes, and by the quotas if the instance is new.

    Registrations that are still running do not count against the quotas.
    """
    check_attributes(service, attributes)
    if identifier in service.instances:
        return
    if len(service.instances) >= state.quotas.instances_per_service:
        raise RefusedError(f"instance limit of service {service.id} reached", code="ResourceLimitExceeded")
    in_namespace = sum(len(each.instances) for each in state.services_of(service.namespace))
    if in_namespace >= state.quotas.instances_per_namespace:
        raise RefusedError(f"instance limit of namespace {service.namespace.id} reached", code="ResourceLimitExceeded")


def put_instance(state: State, service: ServiceRecord, identifier: str, attributes: dict[str, str]) -> InstanceRecord:
    """Add or replace the instance, and increase the revision. Its health stays unless the attributes name one."""
    former = service.instances.get(identifier)
    health = former.health if former else Health()
    if (status := attributes.get("AWS_INIT_HEALTH_STATUS")) is not None:
        health = Health(HealthStatus(status))
    instance = service.instances[identifier] = InstanceRecord(
        id=identifier,
        number=former.number if former else state.next_number(),
        attributes=attributes,
        created_by=state.account,
        health=health,
    )
    service.revision += 1
    return instance


def drop_instance(service: ServiceRecord, identifier: str) -> None:
    """Remove the instance, if it still exists, and increase the revision."""
    if service.instances.pop(identifier, None) is not None:
        service.revision += 1


def deregister_instance(state: State, request: Request) -> dict[str, Any]:
    """Start to deregister an instance."""
    service = state.service(request.text("ServiceId", ARN))
    identifier = request.text("InstanceId", RESOURCE_ID)
    target, targets = _targets(service, identifier)
    _check_not_updated(state, service)
    state.operations.check_free(target)
    find_instance(service, identifier)

    def apply(_: str) -> None:
        drop_instance(service, identifier)

    return state.submit("DEREGISTER_INSTANCE", target, targets, service.namespace.owner, apply)


def get_instance(state: State, request: Request) -> dict[str, Any]:
    """One instance, without its health."""
    service = state.service(request.text("ServiceId", ARN))
    instance = find_instance(service, request.text("InstanceId", RESOURCE_ID))
    described = {**_described(instance), **present(CreatorRequestId=instance.creator_request_id)}
    return {"ResourceOwner": service.namespace.owner, "Instance": described}


def list_instances(state: State, request: Request) -> dict[str, Any]:
    """A service's instances, in the order they were registered."""
    service = state.service(request.text("ServiceId", ARN))
    found, token = paginate(request, "ListInstances", service.instances.values())
    return {
        "ResourceOwner": service.namespace.owner,
        "Instances": [_described(instance) for instance in found],
        **token,
    }


def get_instances_health_status(state: State, request: Request) -> dict[str, Any]:
    """The health of the named instances, or of all; UNKNOWN if the service has no health check."""
    service = state.service(request.text("ServiceId", ARN))
    records = list(service.instances.values())
    if "Instances" in request:
        wanted = request.texts("Instances", RESOURCE_ID)
        if not wanted:
            raise RefusedError("invalid Instances: expected at least one id")
        records = list({identifier: find_instance(service, identifier) for identifier in wanted}.values())
    found, token = paginate(request, "GetInstancesHealthStatus", records)
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


def find_instance(service: ServiceRecord, identifier: str) -> InstanceRecord:
    """The instance."""
    if identifier not in service.instances:
        raise RefusedError(f"service {service.id} has no instance {identifier}", code="InstanceNotFound")
    return service.instances[identifier]


def _check_not_updated(state: State, service: ServiceRecord) -> None:
    if state.operations.is_running(UPDATE_SERVICE, (service.namespace.id, service.id)):
        raise RefusedError(f"service {service.id} is being updated", code="ResourceInUse")


def _targets(service: ServiceRecord, identifier: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """What the operation locks, and the Targets that GetOperation returns."""
    namespace = service.namespace.id
    targets = {"NAMESPACE": namespace, "SERVICE": service.id, "INSTANCE": identifier}
    return (namespace, service.id, identifier), targets


def _described(instance: InstanceRecord) -> dict[str, Any]:
    return {
        "Id": instance.id,
        "Attributes": dict(instance.attributes),
        "CreatedByAccount": instance.created_by,
    }


ACTIONS: Final = {
    "RegisterInstance": register_instance,
    "DeregisterInstance": deregister_instance,
    "GetInstance": get_instance,
    "ListInstances": list_instances,
    "GetInstancesHealthStatus": get_instances_health_status,
    "UpdateInstanceCustomHealthStatus": update_instance_custom_health_status,
}
