"""One fault that is switched on: its kind, the calls it applies to, and the error it sends."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Self, TypedDict

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.local.actions import ACTIONS
from aiocloudmap.local.request import RefusedError
from aiocloudmap.model.error_codes import CODES
from aiocloudmap.model.query import ServiceName
from aiocloudmap.model.validation import check_number, safe_repr

__all__ = ["Fault", "Kind", "Scope", "check_scope", "default_status"]

_DATA_PLANE: Final = ("DiscoverInstances", "DiscoverInstancesRevision")
_SERVER_ERRORS: Final = {
    "InternalError": 500,
    "InternalFailure": 500,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
}
"""AWS's codes for its own failures, with their status. Every other code comes with 400."""

_MODELLED: Final = """
    CustomHealthNotFound DuplicateRequest InstanceNotFound InvalidInput NamespaceAlreadyExists NamespaceNotFound
    OperationNotFound RequestLimitExceeded ResourceInUse ResourceLimitExceeded ResourceNotFoundException
    ServiceAlreadyExists ServiceAttributesLimitExceededException ServiceNotFound TooManyTagsException
"""
"""The errors in the service model. Not all of them are in `CODES`: discovery raises only some."""

_KNOWN: Final = (*CODES, *_SERVER_ERRORS, *(code for code in _MODELLED.split() if code not in CODES))

_CLOUD_MAP_PREFIX: Final = "Route53AutoNaming_"


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
        amount: Seconds of a delay, the status of an error, or how many instances are left.
        code: The code of an error.
        remaining: How many more calls it applies to; None for all.
        operation: The only operation it applies to; None for all of Cloud Map's.
        service: The only service it applies to; None for all.
        hits: Calls that it has applied to.
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
        """Switch it off. Held calls go on; other calls that it has already applied to stay as they are."""
        self._clear(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def matches(self, operation: str, service: str | None, *, is_cloud_map: bool) -> bool:
        """Whether it applies to a call. Calls of other AWS services match only if it names their operation."""
        named = is_cloud_map if self.operation is None else self.operation == operation
        return named and self.service in (None, service)

    def refusal(self, operation: str) -> RefusedError | None:
        """The error that AWS sends to the call; None for faults of another kind."""
        if self.kind is Kind.ERROR:
            return RefusedError("injected fault", code=self.code, status=int(self.amount))
        if self.kind is Kind.SERVER_ERROR:
            code = "ServiceUnavailable" if self.amount == 503 else "InternalFailure"
            return RefusedError("injected fault", code=code, status=int(self.amount))
        if self.kind is Kind.THROTTLE:
            code = "RequestLimitExceeded" if operation in _DATA_PLANE else "ThrottlingException"
            return RefusedError("Rate exceeded", code=code)
        if self.kind is Kind.EXPIRED_TOKEN:
            what = "The security token included in the request is expired"
            return RefusedError(what, code="ExpiredTokenException")
        if self.kind is Kind.ACCESS_DENIED:
            action = operation if "." in operation else f"servicediscovery:{operation}"
            return RefusedError(f"not authorized to perform: {action}", code="AccessDeniedException")
        return None


class Scope(TypedDict, total=False):
    """The arguments that limit a fault to some calls."""

    next: int | None
    operation: str | None
    service: str | ServiceName | None


def check_scope(scope: Scope, targets: Collection[str]) -> tuple[int | None, str | None, str | None]:
    """The three arguments, checked, with the service as text.

    They are checked here because a fault that applies to no call would let a test pass for the wrong reason. `targets`
    are those of other AWS services that the server answers. An operation with a dot belongs to another AWS service,
    which may be added later.
    """
    if unknown := sorted(scope.keys() - Scope.__annotations__.keys()):
        raise TypeError(f"a fault takes {', '.join(Scope.__annotations__)}, not {', '.join(unknown)}")
    times, operation, service = scope.get("next"), scope.get("operation"), scope.get("service")
    if times is not None:
        check_number("next", times, 1, whole=True)
    if operation is not None and not _is_operation(operation, targets):
        raise ConfigurationError(
            f"invalid operation {safe_repr(operation)}: expected an operation of Cloud Map or an X-Amz-Target",
            advice=_suggestion(operation, [*ACTIONS, *targets]) or "Use AWS's name for it, like 'DiscoverInstances'.",
        )
    return times, operation, None if service is None else str(ServiceName.parse(service))


def default_status(code: str) -> int:
    """The HTTP status that comes with an error code."""
    if isinstance(code, str) and code in _KNOWN:
        return _SERVER_ERRORS.get(code, 400)
    raise ConfigurationError(
        f"invalid error {safe_repr(code)}: expected an error code that this library knows",
        advice=_suggestion(code, _KNOWN)
        or "For any other code, pass its status too, like fail('NewCode', status=400).",
    )


def _suggestion(value: object, names: Collection[str]) -> str:
    """A sentence with the name that is closest to a misspelled one; empty if no name is close."""
    import difflib  # noqa: PLC0415 - needed for an error message only

    close = difflib.get_close_matches(value.rpartition(".")[2], names, n=1) if isinstance(value, str) else []
    return f"Did you mean {close[0]!r}?" if close else ""


def _is_operation(operation: object, targets: Collection[str]) -> bool:
    if not isinstance(operation, str):
        return False
    other_service = "." in operation and not operation.startswith(_CLOUD_MAP_PREFIX)
    return other_service or operation in ACTIONS or operation in targets
