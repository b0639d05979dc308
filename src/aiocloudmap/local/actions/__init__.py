"""AWS's operations by name: functions that take the state and a request, and return the members of the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from aiocloudmap.local.actions import discovery, instances, namespaces, operations, services
from aiocloudmap.local.request import Request
from aiocloudmap.local.state import State

__all__ = ["ACTIONS"]

ACTIONS: Final[Mapping[str, Callable[[State, Request], dict[str, Any]]]] = {
    **discovery.ACTIONS,
    **instances.ACTIONS,
    **namespaces.ACTIONS,
    **operations.ACTIONS,
    **services.ACTIONS,
}
