"""One fault that is switched on: what goes wrong, with which calls, and what AWS says to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from types import TracebackType
from typing import Final, Self

from aiocloudmap.local.errors import RefusedError

__all__ = ["Fault", "Kind"]

_DATA_PLANE: Final = ("DiscoverInstances", "DiscoverInstancesRevision")


class Kind(Enum):
    """What goes wrong."""

    ACCESS_DENIED = auto()
    DELAY = auto()
    EMPTY = auto()
    ERROR = auto()
    EXPIRED_TOKEN = auto()
    FEWER = auto()
    GARBAGE = auto()
    HANG = auto()
    HOLD = auto()
    RESET = auto()
    SERVER_ERROR = auto()
    THROTTLE = auto()
    TRUNCATE = auto()


@dataclass(slots=True, eq=False)
class Fault:
    """A fault that is switched on. As a context manager it is cleared at the end.

    Args:
        kind: What goes wrong.
        amount: Seconds of a delay, the status of an error, how many instances are left.
        code: The code of an error.
        remaining: Calls that it will still meet; None for all.
        operation: The only operation it meets; None for all.
        service: The only service it meets; None for all.
        hits: Calls that it has met.
    """

    kind: Kind
    amount: float = 0
    code: str = ""
    remaining: int | None = None
    operation: str | None = None
    service: str | None = None
    hits: int = 0
    _clear: Callable[[Fault], object] = field(default=lambda _: None, repr=False)

    def clear(self) -> None:
        """Switch it off. Calls that it has met already are not helped by that, but held ones go on."""
        self._clear(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.clear()

    def meets(self, operation: str, service: str | None) -> bool:
        """Whether a call is one of its own."""
        return self.operation in (None, operation) and self.service in (None, service)

    def refusal(self, operation: str) -> RefusedError | None:
        """What AWS says to the call instead of an answer; None where the trouble is of another kind."""
        if self.kind is Kind.ERROR:
            return RefusedError("told to fail", code=self.code, status=int(self.amount))
        if self.kind is Kind.SERVER_ERROR:
            code = "ServiceUnavailable" if self.amount == 503 else "InternalFailure"
            return RefusedError("told to fail", code=code, status=int(self.amount))
        if self.kind is Kind.THROTTLE:
            code = "RequestLimitExceeded" if operation in _DATA_PLANE else "ThrottlingException"
            return RefusedError("Rate exceeded", code=code)
        if self.kind is Kind.EXPIRED_TOKEN:
            what = "The security token included in the request is expired"
            return RefusedError(what, code="ExpiredTokenException")
        if self.kind is Kind.ACCESS_DENIED:
            action = operation if "." in operation else f"servicediscovery:{operation}"
            what = f"the caller is not authorized to perform: {action}"
            return RefusedError(what, code="AccessDeniedException")
        return None
