"""Ten thousand callers of a cold key: the calls they cost, and this process's time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from pairs import spread
from peers import installed
from stage import Stage

__all__ = ["measure"]

_DELAY = 0.02


def measure(*, quick: bool) -> dict[str, Any]:
    """For each cache of coroutine functions, in turns: calls, and CPU seconds beside ours of the same round."""
    callers, rounds = (200, 2) if quick else (10_000, 5)
    peers = installed(quick=quick, caches=True, threaded=False)
    seconds: dict[str, list[float]] = {peer.name: [] for peer in peers}
    calls: dict[str, list[int]] = {peer.name: [] for peer in peers}
    with Stage() as stage:
        stage.add("shop/orders")
        stage.local.faults.delay(_DELAY)
        for _ in range(rounds):
            for peer in peers:
                before = stage.calls("shop/orders")
                seconds[peer.name].append(asyncio.run(_rush(peer.make(stage, 3600), callers)))
                calls[peer.name].append(stage.calls("shop/orders") - before)
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


async def _rush(ask: Any, callers: int) -> float:
    # A coroutine each: of an awaitable that all share, gather would make one task.
    async def caller() -> None:
        await ask("shop/orders")

    begun = time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return time.process_time() - begun
