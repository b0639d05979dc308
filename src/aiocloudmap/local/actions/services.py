"""Create, get, list, update and delete services, and their own attributes."""

from __future__ import annotations

from typing import Any, Final

from aiocloudmap.local.actions.namespaces import DELETE_NAMESPACE, MAX_TTL, matches_owner, read_tags
from aiocloudmap.local.request import (
    ARN,
    DESCRIPTION,
    RESOURCE_ID,
    SERVICE_NAME,
    RefusedError,
    Request,
    Text,
    paginate,
    present,
    read_filters,
)
from aiocloudmap.local.state import NamespaceRecord, ServiceRecord, State

__all__ = ["ACTIONS", "UPDATE_SERVICE", "check_service_attributes"]

UPDATE_SERVICE: Final = "UPDATE_SERVICE"
_RECORD_SETS: Final = ({"A"}, {"AAAA"}, {"A", "AAAA"}, {"SRV"}, {"CNAME"})
_TWO_HEALTH_CHECKS: Final = "HealthCheckConfig cannot be combined with HealthCheckCustomConfig"
_MAX_ATTRIBUTES: Final = 30
_ATTRIBUTE_KEY: Final = Text(255, min_length=0)
_ATTRIBUTE_VALUE: Final = Text(1024, min_length=0)


def create_service(state: State, request: Request) -> dict[str, Any]:
    """Create a service at once: this call starts no operation."""
    name = request.text("Name", SERVICE_NAME)
    namespace = _namespace(state, request)
    token = request.optional_text("CreatorRequestId", RESOURCE_ID)
    api_only = request.choice("Type", ("HTTP",), default="") == "HTTP"
    dns_config = _dns_config(request, namespace, api_only=api_only)
    record_types = {each["Type"] for each in dns_config["DnsRecords"]} if dns_config else set()
    route53_check, custom_check = _health_checks(request, namespace, record_types)
    tags = read_tags(request)
    description = request.optional_text("Description", DESCRIPTION)
    checks = (str(route53_check), str(custom_check))
    fingerprint = (name, namespace.id, api_only, str(dns_config), *checks, description)
    existing = _existing(state, namespace, name, case_matters=dns_config is None)
    if existing is not None:
        if token is not None and (existing.creator_request_id, existing.fingerprint) == (token, fingerprint):
            return {"Service": _described(existing)}
        raise RefusedError(
            f"service {namespace.name}/{existing.name} already exists",
            code="ServiceAlreadyExists",
            members={
                "ServiceId": existing.id,
                "ServiceArn": existing.arn,
                "CreatorRequestId": existing.creator_request_id or "",
            },
        )
    if state.operations.is_running(DELETE_NAMESPACE, (namespace.id,)):
        raise RefusedError(f"namespace {namespace.id} is being deleted", code="NamespaceNotFound")
    if sum(1 for _ in state.services_of(namespace)) >= state.quotas.services_per_namespace:
        raise RefusedError(f"service limit of namespace {namespace.id} reached", code="ResourceLimitExceeded")
    service = state.new_service(namespace, name)
    service.description = description
    service.creator_request_id, service.fingerprint = token, fingerprint
    service.dns_config, service.api_only = dns_config, api_only
    service.route53_check, service.custom_check = route53_check, custom_check
    state.add_service(service)
    if tags:
        state.tags[service.arn] = tags
    return {"Service": _described(service)}


def get_service(state: State, request: Request) -> dict[str, Any]:
    """One service, without its instances and attributes."""
    return {"Service": _described(state.service(request.text("Id", ARN)))}


def list_services(state: State, request: Request) -> dict[str, Any]:
    """Services of the account's namespaces, and of those that other accounts share with it."""
    keep = read_filters(
        request,
        {
            "NAMESPACE_ID": (("EQ",), lambda each, values, _: values[0] in (each.namespace.id, each.namespace.arn)),
            "RESOURCE_OWNER": (("EQ",), lambda each, values, _: matches_owner(state, each.namespace, values[0])),
        },
    )
    found, token = paginate(request, "ListServices", state.services.values(), keep)
    return {"Services": [_summary(service) for service in found], **token}


def update_service(state: State, request: Request) -> dict[str, Any]:
    """Start to change TTLs, the Route 53 health check, or the description.

    In a DNS namespace, AWS deletes DNS records and the HealthCheckConfig if the call leaves them out. The types of
    records and of the health check cannot change.
    """
    service = state.service(request.text("Id", ARN))
    change = request.structure("Service")
    description = change.optional_text("Description", DESCRIPTION)
    if service.namespace.type == "HTTP" and ("DnsConfig" in change or "HealthCheckConfig" in change):
        raise RefusedError("DnsConfig and HealthCheckConfig cannot be updated in an HTTP namespace")
    dns_config = _changed_dns_config(service, change)
    route53_check, _ = _health_checks(change, service.namespace, set(service.record_types))
    if route53_check is not None:
        if service.custom_check is not None:
            raise RefusedError(_TWO_HEALTH_CHECKS)
        if service.route53_check is not None and route53_check["Type"] != service.route53_check["Type"]:
            raise RefusedError("the type of a health check cannot be changed: delete it first")

    def apply(_: str) -> None:
        service.description = service.description if description is None else description
        service.dns_config = dns_config
        if service.namespace.type != "HTTP":
            service.route53_check = route53_check

    target = (service.namespace.id, service.id)
    return state.submit(UPDATE_SERVICE, target, {"SERVICE": service.id}, service.namespace.owner, apply)


def delete_service(state: State, request: Request) -> dict[str, Any]:
    """Delete a service without instances, with its attributes, at once."""
    service = state.service(request.text("Id", ARN))
    if service.instances or state.operations.running_under((service.namespace.id, service.id)):
        raise RefusedError(f"service {service.id} still has instances or running operations", code="ResourceInUse")
    state.drop_service(service)
    return {}


def get_service_attributes(state: State, request: Request) -> dict[str, Any]:
    """The service's own attributes."""
    service = state.service(request.text("ServiceId", ARN))
    return {
        "ServiceAttributes": {
            "ServiceArn": service.arn,
            "ResourceOwner": service.namespace.owner,
            "Attributes": dict(service.attributes),
        }
    }


def update_service_attributes(state: State, request: Request) -> dict[str, Any]:
    """Add or change attributes of a service; the others stay."""
    service = state.service(request.text("ServiceId", ARN))
    changes = request.mapping("Attributes", _ATTRIBUTE_KEY, _ATTRIBUTE_VALUE, required=True)
    if not 1 <= len(changes) <= _MAX_ATTRIBUTES:
        raise RefusedError(f"{len(changes)} Attributes in a request: expected 1 to {_MAX_ATTRIBUTES}")
    service.attributes = check_service_attributes(service.attributes | changes)
    return {}


def delete_service_attributes(state: State, request: Request) -> dict[str, Any]:
    """Remove attributes from a service; unknown keys are ignored."""
    service = state.service(request.text("ServiceId", ARN))
    keys = request.texts("Attributes", _ATTRIBUTE_KEY)
    if not 1 <= len(keys) <= _MAX_ATTRIBUTES:
        raise RefusedError(f"{len(keys)} keys in Attributes: expected 1 to {_MAX_ATTRIBUTES}")
    service.attributes = {key: value for key, value in service.attributes.items() if key not in keys}
    return {}


def check_service_attributes(attributes: dict[str, str]) -> dict[str, str]:
    """The attributes, unless there are too many for a service."""
    if len(attributes) > _MAX_ATTRIBUTES:
        raise RefusedError(
            f"{len(attributes)} attributes for a service: expected up to {_MAX_ATTRIBUTES}",
            code="ServiceAttributesLimitExceededException",
        )
    return attributes


def _namespace(state: State, request: Request) -> NamespaceRecord:
    """The namespace of a new service, by its NamespaceId. Old clients send the DnsConfig's instead, or both."""
    identifier = request.optional_text("NamespaceId", ARN)
    dns_config = request.optional_structure("DnsConfig")
    other = None if dns_config is None else dns_config.optional_text("NamespaceId", RESOURCE_ID)
    if identifier is None and other is None:
        raise RefusedError("missing NamespaceId")
    namespace = state.namespace(identifier or other or "")
    if other not in (None, namespace.id):
        raise RefusedError(f"invalid DnsConfig.NamespaceId {other!a}: expected {namespace.id}, as in NamespaceId")
    return namespace


def _existing(state: State, namespace: NamespaceRecord, name: str, *, case_matters: bool) -> ServiceRecord | None:
    """The existing service with this name. DNS names are not case-sensitive."""
    if case_matters:
        return state.find_service(namespace, name)
    for service in state.services_of(namespace):
        if service.name == name or (service.dns_config and service.name.lower() == name.lower()):
            return service
    return None


def _dns_config(request: Request, namespace: NamespaceRecord, *, api_only: bool) -> dict[str, Any] | None:
    given = request.optional_structure("DnsConfig")
    if given is None:
        return None
    if namespace.type == "HTTP" or api_only:
        raise RefusedError("DnsConfig requires a DNS namespace and a service without Type HTTP")
    records = _dns_records(given)
    policy = given.choice("RoutingPolicy", ("MULTIVALUE", "WEIGHTED"), default="MULTIVALUE")
    types = {each["Type"] for each in records}
    if types not in _RECORD_SETS or len(types) != len(records):
        raise RefusedError("invalid DnsRecords: expected A, AAAA, A and AAAA, SRV, or CNAME")
    if types == {"CNAME"} and policy != "WEIGHTED":
        raise RefusedError("a CNAME record requires the RoutingPolicy WEIGHTED")
    return {"NamespaceId": namespace.id, "RoutingPolicy": policy, "DnsRecords": records}


def _changed_dns_config(service: ServiceRecord, change: Request) -> dict[str, Any] | None:
    if "DnsConfig" not in change:
        return None
    if service.dns_config is None:
        raise RefusedError("DNS records cannot be added to a service: delete and recreate it")
    records = _dns_records(change.structure("DnsConfig"))
    types = {each["Type"] for each in records}
    if not types or not types <= service.record_types or len(types) != len(records):
        raise RefusedError("the types of DNS records cannot be changed: delete and recreate the service")
    return {**service.dns_config, "DnsRecords": records}


def _dns_records(given: Request) -> list[dict[str, Any]]:
    return [
        {"Type": each.choice("Type", ("SRV", "A", "AAAA", "CNAME")), "TTL": each.number("TTL", 0, MAX_TTL)}
        for each in given.structures("DnsRecords")
    ]


def _health_checks(
    request: Request, namespace: NamespaceRecord, record_types: set[str]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The Route 53 health check and the custom one; a service has one of them at most."""
    route53 = request.optional_structure("HealthCheckConfig")
    custom = request.optional_structure("HealthCheckCustomConfig")
    if route53 is not None and custom is not None:
        raise RefusedError(_TWO_HEALTH_CHECKS)
    if custom is not None:
        custom.number("FailureThreshold", 1, 10, default=1)
        return None, {"FailureThreshold": 1}
    if route53 is None:
        return None, None
    if namespace.type == "DNS_PRIVATE":
        raise RefusedError("HealthCheckConfig requires a public DNS or HTTP namespace")
    if "CNAME" in record_types:
        raise RefusedError("HealthCheckConfig cannot be combined with a CNAME record")
    check: dict[str, Any] = {
        "Type": route53.choice("Type", ("HTTP", "HTTPS", "TCP")),
        "FailureThreshold": route53.number("FailureThreshold", 1, 10, default=1),
    }
    path = route53.optional_text("ResourcePath", Text(255, min_length=0))
    if check["Type"] == "TCP" and path is not None:
        raise RefusedError("ResourcePath cannot be combined with a health check of type TCP")
    return (check if check["Type"] == "TCP" else {**check, "ResourcePath": path or "/"}), None


def _described(service: ServiceRecord) -> dict[str, Any]:
    return {
        **_summary(service),
        "NamespaceId": service.namespace.id,
        **present(CreatorRequestId=service.creator_request_id),
    }


def _summary(service: ServiceRecord) -> dict[str, Any]:
    return {
        "Id": service.id,
        "Arn": service.arn,
        "ResourceOwner": service.namespace.owner,
        "Name": service.name,
        "InstanceCount": len(service.instances),
        "Type": service.type,
        "CreateDate": service.created,
        "CreatedByAccount": service.created_by,
        "DnsConfig": service.dns_config or {},
        **present(
            Description=service.description,
            HealthCheckConfig=service.route53_check,
            HealthCheckCustomConfig=service.custom_check,
        ),
    }


ACTIONS: Final = {
    "CreateService": create_service,
    "GetService": get_service,
    "ListServices": list_services,
    "UpdateService": update_service,
    "DeleteService": delete_service,
    "GetServiceAttributes": get_service_attributes,
    "UpdateServiceAttributes": update_service_attributes,
    "DeleteServiceAttributes": delete_service_attributes,
}
