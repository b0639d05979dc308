"""Memory for each cached answer of one instance with two attributes, beyond its strings, measured with tracemalloc."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy, Discovery, Instance, Query, ServiceName

__all__ = ["measure"]

_TEXTS = [f"text number {number}" for number in range(16)]


def measure(*, quick: bool) -> dict[str, Any]:
    """Compare ours with a dict of aiobotocore's responses, which keeps no times. Both use the same string objects."""
    entries = 200 if quick else 2000
    names = [ServiceName("shop", f"s-{number}") for number in range(entries)]
    rows = {
        "aiocloudmap": _allocated(lambda: _ours(names)),
        "aiobotocore's answer in a dict": _allocated(lambda: _bare(names)),
    }
    return {
        "entries": entries,
        "bytes": {name: round(size / entries) for name, size in rows.items()},
    }


def _allocated(fill: Callable[[], object]) -> int:
    """Fill once so that shared objects exist, then measure a second time."""
    fill()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = fill()
    gc.collect()
    allocated = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    del kept
    return allocated


class _InstantBackend:
    """Returns one instance made of existing strings."""

    async def discover(self, query: Query) -> Discovery:
        attributes = {_TEXTS[0]: _TEXTS[1], _TEXTS[2]: _TEXTS[3]}
        return Discovery((Instance(_TEXTS[4], query.service, attributes=attributes),), 1)


def _ours(names: list[ServiceName]) -> object:
    """Handles are not kept, as programs make them when they need one."""
    policy = ConnectionPolicy(max_calls_per_second=1e6)
    cloud_map = CloudMap(backend=_InstantBackend(), cache=CachePolicy(ttl=3600), connections=policy)

    async def fill() -> None:
        for name in names:
            await CloudMap.service(cloud_map, name, health="ALL").resolve()

    asyncio.run(fill())
    return cloud_map


def _bare(names: list[ServiceName]) -> object:
    def answer() -> dict[str, Any]:
        instance = {
            _TEXTS[5]: _TEXTS[4],
            _TEXTS[6]: _TEXTS[7],
            _TEXTS[8]: _TEXTS[9],
            _TEXTS[10]: _TEXTS[11],
            _TEXTS[12]: {_TEXTS[0]: _TEXTS[1], _TEXTS[2]: _TEXTS[3]},
        }
        return {_TEXTS[13]: [instance], _TEXTS[14]: 1}

    return {name: answer() for name in names}
