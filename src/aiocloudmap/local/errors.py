"""Errors of the local world: the exception for refused requests, and the statuses of AWS's own failures."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from aiocloudmap.errors import RequestError

__all__ = ["SERVER_ERRORS", "RefusedError"]

SERVER_ERRORS: Final = {
    "InternalError": 500,
    "InternalFailure": 500,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
}
"""AWS's codes for its own failures, with their status. Every other code comes with 400."""

_NO_MEMBERS: Final[Mapping[str, str]] = MappingProxyType({})


class RefusedError(RequestError):
    """AWS would refuse this request.

    Args:
        what: Why, as a clause.
        code: AWS's error name.
        status: HTTP status.
        members: What the error carries besides its message, such as `DuplicateOperationId`.
    """

    def __init__(
        self,
        what: str,
        *,
        code: str = "InvalidInput",
        status: int = 400,
        members: Mapping[str, str] = _NO_MEMBERS,
        **fields: Any,
    ) -> None:
        super().__init__(what, code=code, **fields)
        self.status = status
        self.members = members
