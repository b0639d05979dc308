"""Cloud Map fails: twenty callers, one after the other, who had an answer that has expired by then."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

from peers import OURS, Peer, installed
from stage import Stage

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy

__all__ = ["measure"]

CALLERS = 20
_TTL = 1
_DELAY = 0.05


def measure(*, quick: bool) -> dict[str, Any]:
    """How many got an answer, after how long, and what calls that cost; each failure comes after 50 ms."""
    ways = {peer.name: peer for peer in installed(quick=quick)}
    ways["aiocloudmap, without stale time"] = replace(OURS, make=_in_fallback)
    with Stage() as stage:
        rows = asyncio.run(_outage(stage, ways))
    return {"callers": CALLERS, "delay": _DELAY, "rows": rows}


def _in_fallback(stage: Stage, ttl: float) -> Any:
    """No stale-while-revalidate: the first caller has to wait for the attempt."""
    cloud_map = CloudMap(
        backend=stage.backend,
        cache=CachePolicy(ttl=ttl, stale_while_revalidate=0),
        connections=ConnectionPolicy(max_attempts=1),
    )

    async def ask(service: str) -> str:
        return await cloud_map.service(service).attribute("QUEUE_URL")

    return ask


async def _outage(stage: Stage, ways: dict[str, Peer]) -> dict[str, Any]:
    asks = {}
    for number, (name, peer) in enumerate(ways.items()):
        service = f"shop/s-{number}"
        stage.add(service)
        asks[name] = service, peer.ask(stage, _TTL)
        await asks[name][1](service)
    await asyncio.sleep(_TTL * 1.3)
    rows = {}
    with stage.local.faults.delay(_DELAY), stage.local.faults.server_error():
        for name, (service, ask) in asks.items():
            before = stage.calls(service)
            waits = [await _wait(ask, service) for _ in range(CALLERS)]
            # A refresh in the background may be under way.
            await asyncio.sleep(2 * _DELAY)
            rows[name] = {
                "answered": sum(answered for answered, _ in waits),
                "calls": stage.calls(service) - before,
                "first_wait": round(waits[0][1], 5),
                "later_waits": round(sum(wait for _, wait in waits[1:]), 5),
            }
    await stage.close()
    return rows


async def _wait(ask: Any, service: str) -> tuple[bool, float]:
    begun = time.perf_counter()
    try:
        await ask(service)
    except Exception:
        return False, time.perf_counter() - begun
    return True, time.perf_counter() - begun
