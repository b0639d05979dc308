"""Callers under steady load while the answer expires again and again: how long each waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from peers import Peer, installed
from testbed import Testbed

__all__ = ["REPORTED", "measure"]

REPORTED = ("0.5", "0.99", "0.999", "1")
"""The quantiles in the table of the page. All of them are in the figure."""

_TTL = 0.4
_DELAY = 0.05
_TASKS = 20
_PAUSE = 0.01
_QUANTILES = (0.5, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.997, 0.999, 1.0)


def measure(*, quick: bool) -> dict[str, Any]:
    """For each cache of coroutine functions in turn: waits by quantile, and calls."""
    rounds, seconds = (1, 0.6) if quick else (3, 2.2)
    peers = installed(quick=quick, caches=True, threaded=False)
    waits: dict[str, list[float]] = {peer.name: [] for peer in peers}
    calls = dict.fromkeys(waits, 0)
    with Testbed() as testbed:
        for round_ in range(rounds):
            for peer in peers:
                service = f"shop/round-{round_}-{peers.index(peer)}"
                testbed.add(service)
                waits[peer.name] += asyncio.run(_load(testbed, peer, service, seconds))
                calls[peer.name] += testbed.calls(service)
    return {
        "ttl": _TTL,
        "delay": _DELAY,
        "tasks": _TASKS,
        "pause": _PAUSE,
        "seconds": seconds * rounds,
        "rows": {name: _row(sorted(found), calls[name]) for name, found in waits.items()},
    }


async def _load(testbed: Testbed, peer: Peer, service: str, seconds: float) -> list[float]:
    """Return every wait except the one of the cold start."""
    ask, waits = peer.make(testbed, _TTL), list[float]()
    await ask(service)
    with testbed.local.faults.delay(_DELAY):
        end = time.perf_counter() + seconds
        await asyncio.gather(*(_caller(ask, service, end, waits) for _ in range(_TASKS)))
        # A background refresh may be under way.
        await asyncio.sleep(2 * _DELAY)
    return waits


async def _caller(ask: Callable[[str], Awaitable[str]], service: str, end: float, waits: list[float]) -> None:
    while (started := time.perf_counter()) < end:
        await ask(service)
        waits.append(time.perf_counter() - started)
        await asyncio.sleep(_PAUSE)


def _row(waits: list[float], calls: int) -> dict[str, Any]:
    quantiles = {f"{share:g}": waits[min(len(waits) - 1, int(share * len(waits)))] for share in _QUANTILES}
    return {
        "asked": len(waits),
        "calls": calls,
        "waited": sum(wait > _DELAY / 2 for wait in waits),
        "quantiles": {share: float(f"{wait:.4g}") for share, wait in quantiles.items()},
    }
