"""AWS's calls, by name: each takes the state and a request, and returns the answer's members or refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from aiocloudmap.local.actions import attributes, discovery, health, instances, namespaces, operations, services, tags
from aiocloudmap.local.request import Request
from aiocloudmap.local.state import State

__all__ = ["CALLS", "Call"]

Call = Callable[[State, Request], dict[str, Any]]

CALLS: Final[Mapping[str, Call]] = MappingProxyType(
    {
        **attributes.CALLS,
        **discovery.CALLS,
        **health.CALLS,
        **instances.CALLS,
        **namespaces.CALLS,
        **operations.CALLS,
        **services.CALLS,
        **tags.CALLS,
    }
)
