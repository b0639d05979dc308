"""A local Cloud Map: a world that follows AWS's rules, a server that speaks AWS's protocol, and faults on demand.

Names are loaded on first use, so that the world alone imports neither aiohttp nor botocore.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiocloudmap.local.backend import LocalBackend
    from aiocloudmap.local.cloud_map import LocalCloudMap
    from aiocloudmap.local.faults import Faults
    from aiocloudmap.local.quotas import Quotas, Rate
    from aiocloudmap.local.request import RefusedError
    from aiocloudmap.local.server import LocalServer, serve_in_thread
    from aiocloudmap.local.world import World

__all__ = [
    "Faults",
    "LocalBackend",
    "LocalCloudMap",
    "LocalServer",
    "Quotas",
    "Rate",
    "RefusedError",
    "World",
    "serve_in_thread",
]

_MODULES = {
    "Faults": "faults",
    "LocalBackend": "backend",
    "LocalCloudMap": "cloud_map",
    "LocalServer": "server",
    "Quotas": "quotas",
    "Rate": "quotas",
    "RefusedError": "request",
    "World": "world",
    "serve_in_thread": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
