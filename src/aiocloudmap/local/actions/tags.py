"""Tags of namespaces and services."""

from __future__ import annotations

from typing import Any, Final

from aiocloudmap.local.errors import RefusedError
from aiocloudmap.local.request import Request, Text
from aiocloudmap.local.state import State

__all__ = ["CALLS", "read_tags"]

_MOST_PER_REQUEST: Final = 200
_MOST_PER_RESOURCE: Final = 50
_RESOURCE: Final = Text(1011)
_KEY: Final = Text(128)
_VALUE: Final = Text(256, least=0)


def read_tags(request: Request) -> dict[str, str]:
    """The tags of a call, by key."""
    tags = {each.text("Key", _KEY): each.text("Value", _VALUE) for each in request.structures("Tags")}
    return _within_limit(tags, "the new resource")


def tag_resource(state: State, request: Request) -> dict[str, Any]:
    """Add tags, or change them."""
    resource = _resource(state, request)
    if "Tags" not in request:
        raise RefusedError("Tags is missing")
    state.tags[resource] = _within_limit(state.tags.get(resource, {}) | read_tags(request), resource)
    return {}


def untag_resource(state: State, request: Request) -> dict[str, Any]:
    """Take tags away; those that are not there do not matter."""
    resource = _resource(state, request)
    if "TagKeys" not in request:
        raise RefusedError("TagKeys is missing")
    for key in request.texts("TagKeys", _KEY):
        state.tags.get(resource, {}).pop(key, None)
    return {}


def list_tags(state: State, request: Request) -> dict[str, Any]:
    """The tags of one resource."""
    tags = state.tags.get(_resource(state, request), {})
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _resource(state: State, request: Request) -> str:
    arn = request.text("ResourceARN", _RESOURCE)
    known = {record.arn for table in (state.namespaces, state.services) for record in table.values()}
    if arn not in known:
        raise RefusedError(f"there is no resource {arn}", code="ResourceNotFoundException")
    return arn


def _within_limit(tags: dict[str, str], resource: str) -> dict[str, str]:
    if len(tags) > _MOST_PER_REQUEST:
        raise RefusedError(f"{len(tags)} tags; a request holds up to {_MOST_PER_REQUEST}")
    if len(tags) > _MOST_PER_RESOURCE:
        raise RefusedError(
            f"{len(tags)} tags; a resource holds up to {_MOST_PER_RESOURCE}",
            code="TooManyTagsException",
            members={"ResourceName": resource},
        )
    return tags


CALLS: Final = {"TagResource": tag_resource, "UntagResource": untag_resource, "ListTagsForResource": list_tags}
