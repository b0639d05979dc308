"""Ten thousand concurrent callers without an answer: the calls they cause, and CPU time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from pairs import spread
from peers import installed
from testbed import Testbed

__all__ = ["measure"]

_DELAY = 0.02


def measure(*, quick: bool) -> dict[str, Any]:
    """For each cache of coroutine functions in turn: calls, and CPU seconds beside ours in the same round."""
    callers, rounds = (200, 2) if quick else (10_000, 5)
    peers = installed(quick=quick, caches=True, threaded=False)
    seconds: dict[str, list[float]] = {peer.name: [] for peer in peers}
    calls: dict[str, list[int]] = {peer.name: [] for peer in peers}
    with Testbed() as testbed:
        testbed.add("shop/orders")
        testbed.local.faults.delay(_DELAY)
        for _ in range(rounds):
            for peer in peers:
                before = testbed.calls("shop/orders")
                seconds[peer.name].append(asyncio.run(_stampede(peer.make(testbed, 3600), callers)))
                calls[peer.name].append(testbed.calls("shop/orders") - before)
    ours = seconds[peers[0].name]
    rows = {
        name: {
            "calls": max(calls[name]),
            "cpu": spread(taken),
            "ratio": spread(mine / other for mine, other in zip(taken, ours, strict=True)),
        }
        for name, taken in seconds.items()
    }
    return {"callers": callers, "delay": _DELAY, "rows": rows}


async def _stampede(ask: Any, callers: int) -> float:
    # A coroutine for each caller, as gather would make one task of a shared awaitable.
    async def caller() -> None:
        await ask("shop/orders")

    started = time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return time.process_time() - started
