"""Which calls a fault meets: checked where it is switched on, since one that meets none would be silent."""

from __future__ import annotations

from collections.abc import Collection
from math import inf
from typing import NamedTuple, TypedDict

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.local.calls import CALLS
from aiocloudmap.model import ServiceName
from aiocloudmap.shown import shown

__all__ = ["Scope", "Scoped", "check_number", "nearest", "scoped"]

_CLOUD_MAP = "Route53AutoNaming_"
"""How its X-Amz-Target begins, of which calls leave nothing but the operation's name."""


class Scope(TypedDict, total=False):
    """Which calls a fault meets."""

    next: int | None
    operation: str | None
    service: str | ServiceName | None


class Scoped(NamedTuple):
    """A scope that has been checked, with the service as text."""

    next: int | None
    operation: str | None
    service: str | None


def scoped(scope: Scope, targets: Collection[str]) -> Scoped:
    """The scope, checked.

    An operation with a dot is another AWS service's, which may be registered later. So may a service be.

    Args:
        scope: What somebody said.
        targets: What is known of other AWS services.

    Raises:
        ConfigurationError: No such number of calls, no such operation, or no name of a service.
        TypeError: A word that is none of a scope's.
    """
    if unknown := sorted(scope.keys() - Scope.__annotations__.keys()):
        raise TypeError(f"a fault takes {', '.join(Scope.__annotations__)}, not {', '.join(unknown)}")
    times, operation, service = scope.get("next"), scope.get("operation"), scope.get("service")
    if times is not None:
        check_number(f"next={shown(times)} is no number of calls", times, least=1, whole=True, advice="Give 1 or more.")
    if operation is not None and not _can_be(operation, targets):
        raise ConfigurationError(
            f"operation={shown(operation)} is no operation of Cloud Map{nearest(operation, [*CALLS, *targets])}",
            advice="Give AWS's name of one, like 'DiscoverInstances', or another service's X-Amz-Target.",
        )
    if service is not None and not isinstance(service, ServiceName):
        service = ServiceName.parse(service)
    return Scoped(times, operation, None if service is None else str(service))


def check_number(
    what: str, value: object, *, least: float, most: float = inf, whole: bool = False, advice: str
) -> None:
    """Refuse what is no number of that range, or a bool, in these words.

    Raises:
        ConfigurationError: It is none.
    """
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        raise ConfigurationError(what, advice=advice)


def nearest(slip: object, names: Collection[str]) -> str:
    """The name that was probably meant, as a question at the end of a message; nothing where there is none."""
    import difflib  # noqa: PLC0415 - a slip is rare

    near = difflib.get_close_matches(slip.rpartition(".")[2], names, n=1) if isinstance(slip, str) else []
    return f"; is it {near[0]}?" if near else ""


def _can_be(operation: object, targets: Collection[str]) -> bool:
    if not isinstance(operation, str):
        return False
    elsewhere = "." in operation and not operation.startswith(_CLOUD_MAP)
    return elsewhere or operation in CALLS or operation in targets
