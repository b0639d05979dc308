"""The error that the local world raises where AWS would refuse a request."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from aiocloudmap.errors import RequestError

__all__ = ["RefusedError"]

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
