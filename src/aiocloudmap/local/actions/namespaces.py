"""Create, get, list, update and delete namespaces.

A namespace's HttpName is its Name, unless that name is taken: then a hash is appended. Taken are the HttpNames of the
account's living namespaces, and for DNS namespaces every name that one of them ever had.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from aiocloudmap.local.actions.tags import read_tags
from aiocloudmap.local.errors import RefusedError
from aiocloudmap.local.request import (
    ARN,
    DESCRIPTION,
    NAMESPACE_NAME_HTTP,
    NAMESPACE_NAME_PRIVATE,
    NAMESPACE_NAME_PUBLIC,
    RESOURCE_ID,
    Request,
    page,
    read_filters,
)
from aiocloudmap.local.state import NamespaceRecord, NamespaceType, State

__all__ = ["CALLS", "matches_owner"]

MOST_TTL: Final = 2**31 - 1
_DEFAULT_SOA_TTL = 15
_NAMES: Final = {
    "HTTP": NAMESPACE_NAME_HTTP,
    "DNS_PRIVATE": NAMESPACE_NAME_PRIVATE,
    "DNS_PUBLIC": NAMESPACE_NAME_PUBLIC,
}


def create_namespace(kind: NamespaceType, state: State, request: Request) -> dict[str, Any]:
    """Start a namespace of this kind."""
    name = request.text("Name", _NAMES[kind])
    vpc = request.text("Vpc", RESOURCE_ID) if kind == "DNS_PRIVATE" else None
    token = request.optional_text("CreatorRequestId", RESOURCE_ID)
    tags = read_tags(request)
    twin = _twin(state, kind, name, vpc)
    if twin is not None:
        if token is not None and twin.creator_request_id == token:
            return {"OperationId": twin.creating_operation}
        raise RefusedError(
            f"the account has a namespace {name} of this kind",
            code="NamespaceAlreadyExists",
            members={"NamespaceId": twin.id, "CreatorRequestId": twin.creator_request_id or ""},
        )
    if sum(each.owner == state.account for each in state.namespaces.values()) >= state.quotas.namespaces:
        raise RefusedError("the account has as many namespaces as it may have", code="ResourceLimitExceeded")
    record = new_namespace(state, name, kind=kind, owner=state.account)
    record.vpc = vpc
    record.creator_request_id = token
    record.description = request.optional_text("Description", DESCRIPTION)
    if kind != "HTTP":
        record.hosted_zone = state.new_id("Z", 13).upper()
        record.soa_ttl = _soa_ttl(request.optional_structure("Properties"), _DEFAULT_SOA_TTL)

    def apply(operation_id: str) -> None:
        record.creating_operation = operation_id
        state.namespaces[record.id] = record
        if kind != "HTTP":
            state.dns_names_used.add(name)
        if tags:
            state.tags[record.arn] = tags

    target = ("create", kind, name, vpc or "")
    return state.submit("CREATE_NAMESPACE", target, {"NAMESPACE": record.id}, record.owner, apply, token=token)


def new_namespace(state: State, name: str, *, kind: NamespaceType, owner: str) -> NamespaceRecord:
    """A namespace with its ids and names, not yet known to the state."""
    taken = state.find_namespace(name, owner) is not None or (kind != "HTTP" and name in state.dns_names_used)
    identifier = state.new_id("ns-")
    return NamespaceRecord(
        id=identifier,
        arn=state.arn("namespace", identifier, owner),
        number=state.next_number(),
        name=name,
        http_name=f"{name}-{state.new_id('')}" if taken else name,
        type=kind,
        owner=owner,
        created=state.date,
    )


def get_namespace(state: State, request: Request) -> dict[str, Any]:
    """Everything about one namespace."""
    record = state.namespace(request.text("Id", ARN))
    return {"Namespace": _described(state, record) | _present(CreatorRequestId=record.creator_request_id)}


def list_namespaces(state: State, request: Request) -> dict[str, Any]:
    """Namespaces of the account, and those that others share with it."""
    keep = read_filters(
        request,
        {
            "TYPE": ("EQ", "BEGINS_WITH"),
            "NAME": ("EQ", "BEGINS_WITH"),
            "HTTP_NAME": ("EQ", "BEGINS_WITH"),
            "RESOURCE_OWNER": ("EQ",),
        },
        {
            "TYPE": lambda each, values, how: _matches(each.type, values[0], how),
            "NAME": lambda each, values, how: _matches(each.name, values[0], how),
            "HTTP_NAME": lambda each, values, how: _matches(each.http_name, values[0], how),
            "RESOURCE_OWNER": lambda each, values, _: matches_owner(state, each, values[0]),
        },
    )
    found, token = page(request, "ListNamespaces", state.namespaces.values(), keep)
    return {"Namespaces": [_described(state, record) for record in found], **token}


def update_namespace(kind: NamespaceType, state: State, request: Request) -> dict[str, Any]:
    """Start a change of a namespace's description or SOA record."""
    record = state.namespace(request.text("Id", ARN))
    change = request.structure("Namespace")
    if record.type != kind:
        raise RefusedError(f"namespace {record.id} is of type {record.type}, not {kind}")
    if kind == "HTTP":
        description: str | None = change.text("Description", DESCRIPTION)
    else:
        description = change.optional_text("Description", DESCRIPTION)
    soa_ttl = None if kind == "HTTP" else _soa_ttl(change.optional_structure("Properties"), record.soa_ttl)

    def apply(_: str) -> None:
        record.description = record.description if description is None else description
        record.soa_ttl = soa_ttl

    return state.submit("UPDATE_NAMESPACE", (record.id,), {"NAMESPACE": record.id}, record.owner, apply)


def delete_namespace(state: State, request: Request) -> dict[str, Any]:
    """Start the end of a namespace that has no services."""
    record = state.namespace(request.text("Id", ARN))
    if record.owner != state.account:
        raise RefusedError("only the account that owns a namespace can delete it", code="AccessDeniedException")
    state.operations.check_free((record.id,))
    if any(state.services_of(record)):
        raise RefusedError(f"namespace {record.id} still has services", code="ResourceInUse")

    def apply(_: str) -> None:
        state.namespaces.pop(record.id, None)
        state.tags.pop(record.arn, None)

    return state.submit("DELETE_NAMESPACE", (record.id,), {"NAMESPACE": record.id}, record.owner, apply)


def matches_owner(state: State, record: NamespaceRecord, value: str) -> bool:
    """Whether the namespace is one of those that the filter RESOURCE_OWNER asks for."""
    if value not in ("SELF", "OTHER_ACCOUNTS"):
        raise RefusedError(f"filter RESOURCE_OWNER takes SELF or OTHER_ACCOUNTS, not {value!a}")
    return (record.owner == state.account) == (value == "SELF")


def _twin(state: State, kind: str, name: str, vpc: str | None) -> NamespaceRecord | None:
    """The namespace that stands in the way: the same in kind, name and VPC. Public ones may share a name."""
    if kind == "DNS_PUBLIC":
        return None
    for record in state.namespaces.values():
        if (record.owner, record.type, record.name, record.vpc) == (state.account, kind, name, vpc):
            return record
    return None


def _described(state: State, record: NamespaceRecord) -> dict[str, Any]:
    properties: dict[str, Any] = {"HttpProperties": {"HttpName": record.http_name}}
    if record.type != "HTTP":
        properties["DnsProperties"] = {"HostedZoneId": record.hosted_zone, "SOA": {"TTL": record.soa_ttl}}
    return {
        "Id": record.id,
        "Arn": record.arn,
        "ResourceOwner": record.owner,
        "Name": record.name,
        "Type": record.type,
        "ServiceCount": sum(1 for _ in state.services_of(record)),
        "Properties": properties,
        "CreateDate": record.created,
        **_present(Description=record.description),
    }


def _present(**members: str | None) -> dict[str, str]:
    return {name: value for name, value in members.items() if value is not None}


def _matches(text: str, value: str, condition: str) -> bool:
    return text.startswith(value) if condition == "BEGINS_WITH" else text == value


def _soa_ttl(properties: Request | None, default: int | None) -> int | None:
    if properties is None:
        return default
    return properties.structure("DnsProperties").structure("SOA").number("TTL", 0, MOST_TTL)


CALLS: Final[dict[str, Callable[[State, Request], dict[str, Any]]]] = {
    "CreateHttpNamespace": partial(create_namespace, "HTTP"),
    "CreatePrivateDnsNamespace": partial(create_namespace, "DNS_PRIVATE"),
    "CreatePublicDnsNamespace": partial(create_namespace, "DNS_PUBLIC"),
    "GetNamespace": get_namespace,
    "ListNamespaces": list_namespaces,
    "UpdateHttpNamespace": partial(update_namespace, "HTTP"),
    "UpdatePrivateDnsNamespace": partial(update_namespace, "DNS_PRIVATE"),
    "UpdatePublicDnsNamespace": partial(update_namespace, "DNS_PUBLIC"),
    "DeleteNamespace": delete_namespace,
}
