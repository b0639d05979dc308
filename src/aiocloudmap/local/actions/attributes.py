"""The attributes of a service's own, which are not those of its instances."""

from __future__ import annotations

from typing import Any, Final

from aiocloudmap.local.errors import RefusedError
from aiocloudmap.local.request import ARN, Request, Text
from aiocloudmap.local.state import State

__all__ = ["CALLS", "checked_service_attributes"]

_MOST_ATTRIBUTES: Final = 30
_KEY: Final = Text(255, least=0)
_VALUE: Final = Text(1024, least=0)


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
    """Add attributes to a service, or change them; the others stay."""
    service = state.service(request.text("ServiceId", ARN))
    changes = request.mapping("Attributes", _KEY, _VALUE, required=True)
    if not changes:
        raise RefusedError("Attributes is empty")
    service.attributes = checked_service_attributes(service.attributes | changes)
    return {}


def checked_service_attributes(attributes: dict[str, str]) -> dict[str, str]:
    """The attributes, if a service may have as many."""
    if len(attributes) > _MOST_ATTRIBUTES:
        raise RefusedError(
            f"{len(attributes)} attributes; a service has up to {_MOST_ATTRIBUTES}",
            code="ServiceAttributesLimitExceededException",
        )
    return attributes


def delete_service_attributes(state: State, request: Request) -> dict[str, Any]:
    """Take attributes away from a service; those that are not there do not matter."""
    service = state.service(request.text("ServiceId", ARN))
    keys = request.texts("Attributes", _KEY)
    if not 1 <= len(keys) <= _MOST_ATTRIBUTES:
        raise RefusedError(f"Attributes names {len(keys)} keys; 1 to {_MOST_ATTRIBUTES} are allowed")
    service.attributes = {key: value for key, value in service.attributes.items() if key not in keys}
    return {}


CALLS: Final = {
    "GetServiceAttributes": get_service_attributes,
    "UpdateServiceAttributes": update_service_attributes,
    "DeleteServiceAttributes": delete_service_attributes,
}
