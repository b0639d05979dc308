"""An outage: twenty callers in sequence, with an answer that has expired."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

from peers import OURS, Peer, installed
from testbed import Testbed

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy

__all__ = ["measure"]

CALLERS = 20
_TTL = 1
_DELAY = 0.05


def measure(*, quick: bool) -> dict[str, Any]:
    """How many callers got an answer, after how long, and how many calls failed. Each failure takes 50 ms."""
    ways = {peer.name: peer for peer in installed(quick=quick)}
    ways["aiocloudmap, without stale time"] = replace(OURS, make=_in_fallback)
    with Testbed() as testbed:
        rows = asyncio.run(_outage(testbed, ways))
    return {"callers": CALLERS, "delay": _DELAY, "rows": rows}


def _in_fallback(testbed: Testbed, ttl: float) -> Any:
    """Without stale-while-revalidate, the first caller waits for the failed call."""
    cloud_map = CloudMap(
        backend=testbed.backend,
        cache=CachePolicy(ttl=ttl, stale_while_revalidate=0),
        connections=ConnectionPolicy(max_attempts=1),
    )

    async def ask(service: str) -> str:
        return await cloud_map.service(service).attribute("QUEUE_URL")

    return ask


async def _outage(testbed: Testbed, ways: dict[str, Peer]) -> dict[str, Any]:
    asks = {}
    for number, (name, peer) in enumerate(ways.items()):
        service = f"shop/s-{number}"
        testbed.add(service)
        asks[name] = service, peer.ask(testbed, _TTL)
        await asks[name][1](service)
    await asyncio.sleep(_TTL * 1.3)
    rows = {}
    with testbed.local.faults.delay(_DELAY), testbed.local.faults.server_error():
        for name, (service, ask) in asks.items():
            before = testbed.calls(service)
            waits = [await _wait(ask, service) for _ in range(CALLERS)]
            # A background refresh may be under way.
            await asyncio.sleep(2 * _DELAY)
            rows[name] = {
                "answered": sum(answered for answered, _ in waits),
                "calls": testbed.calls(service) - before,
                "first_wait": round(waits[0][1], 5),
                "later_waits": round(sum(wait for _, wait in waits[1:]), 5),
            }
    await testbed.close()
    return rows


async def _wait(ask: Any, service: str) -> tuple[bool, float]:
    started = time.perf_counter()
    try:
        await ask(service)
    except Exception:
        return False, time.perf_counter() - started
    return True, time.perf_counter() - started
