"""Create, get, list, update and delete services."""

from __future__ import annotations

from typing import Any, Final

from aiocloudmap.local.actions.namespaces import MOST_TTL, matches_owner
from aiocloudmap.local.actions.tags import read_tags
from aiocloudmap.local.errors import RefusedError
from aiocloudmap.local.request import ARN, DESCRIPTION, RESOURCE_ID, SERVICE_NAME, Request, Text, page, read_filters
from aiocloudmap.local.state import NamespaceRecord, ServiceRecord, State

__all__ = ["CALLS"]

_RECORD_SETS: Final = ({"A"}, {"AAAA"}, {"A", "AAAA"}, {"SRV"}, {"CNAME"})
_RESOURCE_PATH: Final = Text(255, least=0)


def create_service(state: State, request: Request) -> dict[str, Any]:
    """Make a service at once: this is no operation."""
    name = request.text("Name", SERVICE_NAME)
    namespace = _namespace(state, request)
    token = request.optional_text("CreatorRequestId", RESOURCE_ID)
    api_only = request.choice("Type", ("HTTP",), default="") == "HTTP"
    dns_config = _dns_config(request, namespace, api_only=api_only)
    record_types = {each["Type"] for each in dns_config["DnsRecords"]} if dns_config else set()
    route53_check, custom_check = _health_checks(request, namespace, record_types)
    tags = read_tags(request)
    fingerprint = (name, namespace.id, api_only, str(dns_config), str(route53_check), str(custom_check))
    twin = _twin(state, namespace, name, case_matters=dns_config is None)
    if twin is not None:
        if token is not None and (twin.creator_request_id, twin.fingerprint) == (token, fingerprint):
            return {"Service": _described(twin) | {"CreatorRequestId": token}}
        raise RefusedError(
            f"namespace {namespace.name} has a service {twin.name}",
            code="ServiceAlreadyExists",
            members={
                "ServiceId": twin.id,
                "ServiceArn": twin.arn,
                "CreatorRequestId": twin.creator_request_id or "",
            },
        )
    state.operations.check_free((namespace.id,))
    service = new_service(state, namespace, name)
    service.description = request.optional_text("Description", DESCRIPTION)
    service.creator_request_id, service.fingerprint = token, fingerprint
    service.dns_config, service.api_only = dns_config, api_only
    service.route53_check, service.custom_check = route53_check, custom_check
    state.add_service(service)
    if tags:
        state.tags[service.arn] = tags
    return {"Service": _described(service) | ({"CreatorRequestId": token} if token else {})}


def new_service(state: State, namespace: NamespaceRecord, name: str) -> ServiceRecord:
    """A service with its ids, not yet known to the state."""
    identifier = state.new_id("srv-")
    return ServiceRecord(
        id=identifier,
        arn=state.arn("service", identifier, namespace.owner),
        number=state.next_number(),
        name=name,
        namespace=namespace,
        created=state.date,
        created_by=state.account,
    )


def get_service(state: State, request: Request) -> dict[str, Any]:
    """Everything about one service but its instances and its attributes."""
    service = state.service(request.text("Id", ARN))
    token = service.creator_request_id
    return {"Service": _described(service) | ({"CreatorRequestId": token} if token else {})}


def list_services(state: State, request: Request) -> dict[str, Any]:
    """Services of the account's namespaces, and of those that others share with it."""
    keep = read_filters(
        request,
        {"NAMESPACE_ID": ("EQ",), "RESOURCE_OWNER": ("EQ",)},
        {
            "NAMESPACE_ID": lambda each, values, _: values[0] in (each.namespace.id, each.namespace.arn),
            "RESOURCE_OWNER": lambda each, values, _: matches_owner(state, each.namespace, values[0]),
        },
    )
    found, token = page(request, "ListServices", state.services.values(), keep)
    return {"Services": [_summary(service) for service in found], **token}


def update_service(state: State, request: Request) -> dict[str, Any]:
    """Start a change of TTLs, of a Route 53 health check, or of the description.

    What AWS deletes when it is left out, is deleted here: DnsConfig's records keep their types, so only a
    HealthCheckConfig can go.
    """
    service = state.service(request.text("Id", ARN))
    change = request.structure("Service")
    description = change.optional_text("Description", DESCRIPTION)
    if service.namespace.type == "HTTP" and ("DnsConfig" in change or "HealthCheckConfig" in change):
        raise RefusedError("settings of a service in an HTTP namespace cannot be updated")
    dns_config = service.dns_config
    if "DnsConfig" in change and dns_config is None:
        raise RefusedError("a service without DNS records cannot get any; delete it and create it anew")
    if "DnsConfig" in change and dns_config is not None:
        records = _dns_records(change.structure("DnsConfig"))
        if frozenset(each["Type"] for each in records) != service.record_types:
            raise RefusedError("the types of a service's DNS records cannot be changed; delete it and create it anew")
        dns_config = {**dns_config, "DnsRecords": records}
    route53_check, _ = _health_checks(change, service.namespace, set(service.record_types))
    if service.custom_check is not None and route53_check is not None:
        raise RefusedError("a service has a HealthCheckConfig or a HealthCheckCustomConfig, never both")

    def apply(_: str) -> None:
        service.description = service.description if description is None else description
        service.dns_config = dns_config
        if service.namespace.type != "HTTP":
            service.route53_check = route53_check

    target = (service.namespace.id, service.id)
    return state.submit("UPDATE_SERVICE", target, {"SERVICE": service.id}, service.namespace.owner, apply)


def delete_service(state: State, request: Request) -> dict[str, Any]:
    """Delete a service that has no instances, at once, with its attributes."""
    service = state.service(request.text("Id", ARN))
    if service.instances or state.operations.running_under((service.namespace.id, service.id)):
        raise RefusedError(f"service {service.id} still has instances, or some on their way", code="ResourceInUse")
    state.drop_service(service)
    return {}


def _namespace(state: State, request: Request) -> NamespaceRecord:
    identifier = request.optional_text("NamespaceId", ARN)
    if identifier is None and (dns_config := request.optional_structure("DnsConfig")) is not None:
        identifier = dns_config.optional_text("NamespaceId", RESOURCE_ID)
    if identifier is None:
        raise RefusedError("NamespaceId is missing")
    return state.namespace(identifier)


def _twin(state: State, namespace: NamespaceRecord, name: str, *, case_matters: bool) -> ServiceRecord | None:
    """The service of this name; names that differ only in case are one name to the DNS."""
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
        raise RefusedError("DnsConfig is for services that are found by DNS queries")
    records = _dns_records(given)
    policy = given.choice("RoutingPolicy", ("MULTIVALUE", "WEIGHTED"), default="MULTIVALUE")
    types = {each["Type"] for each in records}
    if types not in _RECORD_SETS or len(types) != len(records):
        raise RefusedError("DnsRecords must be one of: A; AAAA; A and AAAA; SRV; CNAME")
    if types == {"CNAME"} and policy != "WEIGHTED":
        raise RefusedError("a CNAME record needs the RoutingPolicy WEIGHTED")
    return {"NamespaceId": namespace.id, "RoutingPolicy": policy, "DnsRecords": records}


def _dns_records(given: Request) -> list[dict[str, Any]]:
    return [
        {"Type": each.choice("Type", ("SRV", "A", "AAAA", "CNAME")), "TTL": each.number("TTL", 0, MOST_TTL)}
        for each in given.structures("DnsRecords")
    ]


def _health_checks(
    request: Request, namespace: NamespaceRecord, record_types: set[str]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The Route 53 health check and the custom one; at most one of them is there."""
    route53, custom = (
        request.optional_structure("HealthCheckConfig"),
        request.optional_structure("HealthCheckCustomConfig"),
    )
    if route53 is not None and custom is not None:
        raise RefusedError("a service has a HealthCheckConfig or a HealthCheckCustomConfig, never both")
    if custom is not None:
        custom.number("FailureThreshold", 1, 10, default=1)
        return None, {"FailureThreshold": 1}
    if route53 is None:
        return None, None
    if namespace.type == "DNS_PRIVATE":
        raise RefusedError("HealthCheckConfig is for public DNS and HTTP namespaces only")
    if "CNAME" in record_types:
        raise RefusedError("HealthCheckConfig cannot go with a CNAME record")
    check: dict[str, Any] = {
        "Type": route53.choice("Type", ("HTTP", "HTTPS", "TCP")),
        "FailureThreshold": route53.number("FailureThreshold", 1, 10, default=1),
    }
    path = route53.optional_text("ResourcePath", _RESOURCE_PATH)
    if check["Type"] == "TCP" and path is not None:
        raise RefusedError("a health check of type TCP has no ResourcePath")
    return (check if check["Type"] == "TCP" else {**check, "ResourcePath": path or "/"}), None


def _described(service: ServiceRecord) -> dict[str, Any]:
    return {**_summary(service), "NamespaceId": service.namespace.id}


def _summary(service: ServiceRecord) -> dict[str, Any]:
    optional = {
        "Description": service.description,
        "DnsConfig": service.dns_config,
        "HealthCheckConfig": service.route53_check,
        "HealthCheckCustomConfig": service.custom_check,
    }
    return {
        "Id": service.id,
        "Arn": service.arn,
        "ResourceOwner": service.namespace.owner,
        "Name": service.name,
        "InstanceCount": len(service.instances),
        "Type": service.type,
        "CreateDate": service.created,
        "CreatedByAccount": service.created_by,
        **{name: value for name, value in optional.items() if value is not None},
    }


CALLS: Final = {
    "CreateService": create_service,
    "GetService": get_service,
    "ListServices": list_services,
    "UpdateService": update_service,
    "DeleteService": delete_service,
}
