"""Bytes for each cached answer of one instance with two attributes, beyond its strings, as tracemalloc counts them."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy, Discovery, Instance, Query, ServiceName

__all__ = ["BUDGETS", "measure"]

BUDGETS = {"aiocloudmap": 900}
_TEXTS = [f"text number {number}" for number in range(16)]


def measure(*, quick: bool) -> dict[str, Any]:
    """Ours, beside the bare answer of aiobotocore in a dict, without any times; the strings are the same objects."""
    entries = 200 if quick else 2000
    names = [ServiceName("shop", f"s-{number}") for number in range(entries)]
    rows = {"aiocloudmap": _grown(lambda: _ours(names)), "aiobotocore's answer in a dict": _grown(lambda: _bare(names))}
    return {
        "budgets": BUDGETS,
        "entries": entries,
        "bytes": {name: round(size / entries) for name, size in rows.items()},
    }


def _grown(fill: Callable[[], object]) -> int:
    """Once to make what is made once, then counted."""
    fill()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = fill()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    del kept
    return grown


class _Answering:
    """One instance, of texts that are there already."""

    async def discover(self, query: Query) -> Discovery:
        attributes = {_TEXTS[0]: _TEXTS[1], _TEXTS[2]: _TEXTS[3]}
        return Discovery((Instance(_TEXTS[4], query.service, attributes=attributes),), 1)


def _ours(names: list[ServiceName]) -> object:
    """Handles are not kept: they are made when they are needed."""
    policy = ConnectionPolicy(max_calls_per_second=1e6)
    cloud_map = CloudMap(backend=_Answering(), cache=CachePolicy(ttl=3600), connections=policy)

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
