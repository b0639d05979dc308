"""Get and list operations."""

from __future__ import annotations

from typing import Any, Final

from aiocloudmap.local.operations import Operation
from aiocloudmap.local.request import ACCOUNT, RefusedError, Request, Text, paginate, read_filters
from aiocloudmap.local.state import State

__all__ = ["ACTIONS"]


def get_operation(state: State, request: Request) -> dict[str, Any]:
    """An operation and its status. One on another account's namespace requires its OwnerAccount."""
    identifier = request.text("OperationId", Text(255))
    owner = request.optional_text("OwnerAccount", ACCOUNT) or state.account
    operation = state.operations.by_id.get(identifier)
    if operation is None or operation.owner != owner:
        raise RefusedError(f"operation {identifier} not found", code="OperationNotFound")
    described: dict[str, Any] = {
        "Id": operation.id,
        "OwnerAccount": operation.owner,
        "Type": operation.type,
        "Status": operation.status(state.now),
        "CreateDate": operation.created,
        "UpdateDate": operation.updated(state.now),
        "Targets": dict(operation.targets),
    }
    if operation.done and operation.fails_with:
        described["ErrorCode"], described["ErrorMessage"] = operation.fails_with
    return {"Operation": described}


def list_operations(state: State, request: Request) -> dict[str, Any]:
    """Ids and statuses of operations, oldest first.

    The filter STATUS takes both SUCCESS, from the service model, and SUCCEED, from the API reference.
    """
    keep = read_filters(
        request,
        {
            "NAMESPACE_ID": (("EQ",), lambda each, values, _: each.targets.get("NAMESPACE") == values[0]),
            "SERVICE_ID": (("EQ",), lambda each, values, _: each.targets.get("SERVICE") == values[0]),
            "STATUS": (("EQ", "IN"), lambda each, values, _: _has_status(state, each, values)),
            "TYPE": (("EQ", "IN"), lambda each, values, _: each.type in values),
            "UPDATE_DATE": (("BETWEEN",), lambda each, values, _: _updated_between(state, each, values)),
        },
    )
    found, token = paginate(request, "ListOperations", list(state.operations.by_id.values()), keep)
    return {"Operations": [{"Id": each.id, "Status": each.status(state.now)} for each in found], **token}


def _has_status(state: State, operation: Operation, values: list[str]) -> bool:
    wanted = {"SUCCESS" if value == "SUCCEED" else value for value in values}
    return operation.status(state.now) in wanted


def _updated_between(state: State, operation: Operation, values: list[str]) -> bool:
    try:
        start, end = map(float, values)
    except ValueError:
        raise RefusedError("invalid Values for UPDATE_DATE: expected two numbers of seconds since the epoch") from None
    return start <= operation.updated(state.now) <= end


ACTIONS: Final = {"GetOperation": get_operation, "ListOperations": list_operations}
