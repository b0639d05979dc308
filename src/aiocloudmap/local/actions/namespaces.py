"""Create, get, list, update and delete namespaces, and the tags of namespaces and services."""

from __future__ import annotations

from collections.abc import Callable, Sized
from functools import partial
from typing import Any, Final

from aiocloudmap.local.request import (
    ARN,
    DESCRIPTION,
    NAMESPACE_NAME_HTTP,
    NAMESPACE_NAME_PRIVATE,
    NAMESPACE_NAME_PUBLIC,
    RESOURCE_ID,
    RefusedError,
    Request,
    Text,
    paginate,
    present,
    read_filters,
)
from aiocloudmap.local.state import NamespaceRecord, NamespaceType, Sent, State

__all__ = ["ACTIONS", "DELETE_NAMESPACE", "MAX_TTL", "matches_owner", "read_tags"]

DELETE_NAMESPACE: Final = "DELETE_NAMESPACE"
MAX_TTL: Final = 2**31 - 1
_DEFAULT_SOA_TTL = 15
_CREATE: Final = "CREATE_NAMESPACE"
_UPDATE: Final = "UPDATE_NAMESPACE"
_MAX_TAGS_PER_REQUEST: Final = 200
_MAX_TAGS_PER_RESOURCE: Final = 50
_TAG_KEY: Final = Text(128)
_NAMES: Final = {
    "HTTP": NAMESPACE_NAME_HTTP,
    "DNS_PRIVATE": NAMESPACE_NAME_PRIVATE,
    "DNS_PUBLIC": NAMESPACE_NAME_PUBLIC,
}


def create_namespace(kind: NamespaceType, state: State, request: Request) -> dict[str, Any]:
    """Start to create a namespace."""
    name = request.text("Name", _NAMES[kind])
    vpc = request.text("Vpc", RESOURCE_ID) if kind == "DNS_PRIVATE" else None
    token = request.optional_text("CreatorRequestId", RESOURCE_ID)
    tags = read_tags(request)
    description = request.optional_text("Description", DESCRIPTION)
    soa_ttl = None if kind == "HTTP" else _soa_ttl(request.optional_structure("Properties"), _DEFAULT_SOA_TTL)
    asked = (kind, name, vpc, description, soa_ttl)
    earlier = (each.creation for each in state.namespaces.values() if each.owner == state.account)
    if (answer := state.repeated(_CREATE, ("create",), token, asked, earlier)) is not None:
        return answer
    existing = _existing(state, kind, name, vpc)
    if existing is not None:
        raise RefusedError(
            f"namespace {name} already exists",
            code="NamespaceAlreadyExists",
            members={"NamespaceId": existing.id, "CreatorRequestId": existing.creator_request_id or ""},
        )
    if sum(each.owner == state.account for each in state.namespaces.values()) >= state.quotas.namespaces:
        raise RefusedError("namespace limit of the account reached", code="ResourceLimitExceeded")
    record = state.new_namespace(name, kind=kind, owner=state.account)
    record.vpc = vpc
    record.creator_request_id = token
    record.description, record.soa_ttl = description, soa_ttl
    if kind != "HTTP":
        record.hosted_zone = state.new_id("Z", 13).upper()

    def apply(operation_id: str) -> None:
        _check_hosted_zone(state, record)
        record.creation = Sent(token, asked, operation_id)
        state.add_namespace(record)
        if tags:
            state.tags[record.arn] = tags

    target = ("create", kind, name, vpc or "")
    targets = {"NAMESPACE": record.id}
    return state.submit(_CREATE, target, targets, record.owner, apply, token=token, request=asked)


def get_namespace(state: State, request: Request) -> dict[str, Any]:
    """One namespace."""
    record = state.namespace(request.text("Id", ARN))
    return {"Namespace": _described(state, record) | present(CreatorRequestId=record.creator_request_id)}


def list_namespaces(state: State, request: Request) -> dict[str, Any]:
    """Namespaces of the account, and those that other accounts share with it."""
    keep = read_filters(
        request,
        {
            "TYPE": (("EQ", "BEGINS_WITH"), lambda each, values, how: _matches(each.type, values[0], how)),
            "NAME": (("EQ", "BEGINS_WITH"), lambda each, values, how: _matches(each.name, values[0], how)),
            "HTTP_NAME": (("EQ", "BEGINS_WITH"), lambda each, values, how: _matches(each.http_name, values[0], how)),
            "RESOURCE_OWNER": (("EQ",), lambda each, values, _: matches_owner(state, each, values[0])),
        },
    )
    found, token = paginate(request, "ListNamespaces", state.namespaces.values(), keep)
    return {"Namespaces": [_described(state, record) for record in found], **token}


def update_namespace(kind: NamespaceType, state: State, request: Request) -> dict[str, Any]:
    """Start to change a namespace's description or SOA record."""
    record = state.namespace(request.text("Id", ARN))
    token = request.optional_text("UpdaterRequestId", RESOURCE_ID)
    change = request.structure("Namespace")
    if record.type != kind:
        raise RefusedError(f"namespace {record.id} has type {record.type}, not {kind}")
    description: str | None
    if kind == "HTTP":
        description, soa_ttl = change.text("Description", DESCRIPTION), None
    else:
        description = change.optional_text("Description", DESCRIPTION)
        soa_ttl = _soa_ttl(change.optional_structure("Properties"), record.soa_ttl)

    if state.operations.is_running(DELETE_NAMESPACE, (record.id,)):
        raise RefusedError(f"namespace {record.id} is being deleted", code="ResourceInUse")
    target, asked = (record.id,), (description, soa_ttl if "Properties" in change else None)
    if (answer := state.repeated(_UPDATE, target, token, asked, [record.update])) is not None:
        return answer

    def apply(operation_id: str) -> None:
        record.description = record.description if description is None else description
        record.soa_ttl = soa_ttl
        record.update = Sent(token, asked, operation_id)

    targets = {"NAMESPACE": record.id}
    return state.submit(_UPDATE, target, targets, record.owner, apply, token=token, request=asked)


def delete_namespace(state: State, request: Request) -> dict[str, Any]:
    """Start to delete a namespace without services."""
    record = state.namespace(request.text("Id", ARN))
    if record.owner != state.account:
        raise RefusedError("only the owner of a namespace can delete it", code="AccessDeniedException")
    state.operations.check_free((record.id,))
    if any(state.services_of(record)):
        raise RefusedError(f"namespace {record.id} still has services", code="ResourceInUse")

    def apply(_: str) -> None:
        state.namespaces.pop(record.id, None)
        state.tags.pop(record.arn, None)

    return state.submit(DELETE_NAMESPACE, (record.id,), {"NAMESPACE": record.id}, record.owner, apply)


def read_tags(request: Request) -> dict[str, str]:
    """The Tags of a call, by key."""
    values = Text(256, min_length=0)
    tags = [(each.text("Key", _TAG_KEY), each.text("Value", values)) for each in request.structures("Tags")]
    _check_count("Tags", tags)
    return _within_limit(dict(tags), "the new resource")


def tag_resource(state: State, request: Request) -> dict[str, Any]:
    """Add or change tags."""
    resource = _resource(state, request)
    if "Tags" not in request:
        raise RefusedError("missing Tags")
    state.tags[resource] = _within_limit(state.tags.get(resource, {}) | read_tags(request), resource)
    return {}


def untag_resource(state: State, request: Request) -> dict[str, Any]:
    """Remove tags; unknown keys are ignored."""
    resource = _resource(state, request)
    if "TagKeys" not in request:
        raise RefusedError("missing TagKeys")
    keys = request.texts("TagKeys", _TAG_KEY)
    _check_count("TagKeys", keys)
    for key in keys:
        state.tags.get(resource, {}).pop(key, None)
    return {}


def list_tags(state: State, request: Request) -> dict[str, Any]:
    """The tags of one namespace or service."""
    tags = state.tags.get(_resource(state, request), {})
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def matches_owner(state: State, record: NamespaceRecord, value: str) -> bool:
    """Whether the namespace matches the filter RESOURCE_OWNER."""
    if value not in ("SELF", "OTHER_ACCOUNTS"):
        raise RefusedError(f"invalid RESOURCE_OWNER {value!a}: expected SELF or OTHER_ACCOUNTS")
    return (record.owner == state.account) == (value == "SELF")


def _resource(state: State, request: Request) -> str:
    arn = request.text("ResourceARN", Text(1011))
    if not any(arn == record.arn for table in (state.namespaces, state.services) for record in table.values()):
        raise RefusedError(f"resource {arn} not found", code="ResourceNotFoundException")
    return arn


def _check_count(name: str, entries: Sized) -> None:
    if len(entries) > _MAX_TAGS_PER_REQUEST:
        raise RefusedError(f"{len(entries)} {name} in a request: expected up to {_MAX_TAGS_PER_REQUEST}")


def _within_limit(tags: dict[str, str], resource: str) -> dict[str, str]:
    if len(tags) > _MAX_TAGS_PER_RESOURCE:
        raise RefusedError(
            f"{len(tags)} tags for a resource: expected up to {_MAX_TAGS_PER_RESOURCE}",
            code="TooManyTagsException",
            members={"ResourceName": resource},
        )
    return tags


def _existing(state: State, kind: str, name: str, vpc: str | None) -> NamespaceRecord | None:
    """The existing namespace of the same kind, name and VPC."""
    for record in state.namespaces.values():
        if (record.owner, record.type, record.name, record.vpc) == (state.account, kind, name, vpc):
            return record
    return None


def _check_hosted_zone(state: State, new: NamespaceRecord) -> None:
    """Fail the operation if a private name contains another one in its VPC, or is contained."""
    ours = _domain(new.name)
    for each in state.namespaces.values():
        if new.vpc is not None and (each.owner, each.vpc) == (new.owner, new.vpc):
            theirs = _domain(each.name)
            if ours.endswith(theirs) or theirs.endswith(ours):
                what = f"the VPC {new.vpc} has the hosted zone {each.name}, which conflicts with {new.name}"
                raise RefusedError(what, code="CANNOT_CREATE_HOSTED_ZONE")


def _domain(name: str) -> str:
    """The name with a dot before each label, in lower case."""
    return "." + name.rstrip(".").lower()


def _described(state: State, record: NamespaceRecord) -> dict[str, Any]:
    dns = {**present(HostedZoneId=record.hosted_zone), "SOA": present(TTL=record.soa_ttl)}
    return {
        "Id": record.id,
        "Arn": record.arn,
        "ResourceOwner": record.owner,
        "Name": record.name,
        "Type": record.type,
        "ServiceCount": sum(1 for _ in state.services_of(record)),
        "Properties": {"DnsProperties": dns, "HttpProperties": {"HttpName": record.http_name}},
        "CreateDate": record.created,
        **present(Description=record.description),
    }


def _matches(text: str, value: str, condition: str) -> bool:
    return text.startswith(value) if condition == "BEGINS_WITH" else text == value


def _soa_ttl(properties: Request | None, default: int | None) -> int | None:
    if properties is None:
        return default
    return properties.structure("DnsProperties").structure("SOA").number("TTL", 0, MAX_TTL)


ACTIONS: Final[dict[str, Callable[[State, Request], dict[str, Any]]]] = {
    "CreateHttpNamespace": partial(create_namespace, "HTTP"),
    "CreatePrivateDnsNamespace": partial(create_namespace, "DNS_PRIVATE"),
    "CreatePublicDnsNamespace": partial(create_namespace, "DNS_PUBLIC"),
    "GetNamespace": get_namespace,
    "ListNamespaces": list_namespaces,
    "UpdateHttpNamespace": partial(update_namespace, "HTTP"),
    "UpdatePrivateDnsNamespace": partial(update_namespace, "DNS_PRIVATE"),
    "UpdatePublicDnsNamespace": partial(update_namespace, "DNS_PUBLIC"),
    "DeleteNamespace": delete_namespace,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "ListTagsForResource": list_tags,
}
