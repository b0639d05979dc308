"""What a hit costs, as ratios to the least that awaiting anything can cost, and what ten thousand callers cost at once.

The floor is `await f()` with `async def f(): return d[k]`. It is all CPU time, as nothing is waited for; and CPU time
does not count what other processes take.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from pairs import Compared, Timed, compare
from peers import installed
from stage import Stage

from aiocloudmap import CachePolicy, CloudMap
from aiocloudmap.testing import ManualClock

__all__ = ["BUDGETS", "measure"]

BUDGETS = {
    "await service.resolve()": 1.75,
    "service.peek()": 1.05,
    "await cloud_map.service(name).resolve()": 3.0,
    'await service.attribute("QUEUE_URL")': 2.4,
}
CALLERS = 10_000
SERVICE = "shop/orders"
_STORE = {"key": "value"}


def measure(*, quick: bool) -> dict[str, Any]:
    """Our four ways and others' hits, by the floor; and the calls that a cold key and an expiry cost."""
    rounds, hits = (3, 500) if quick else (60, 5000)
    with Stage() as stage:
        stage.add(SERVICE)
        ours = asyncio.run(_our_ways(stage, rounds, hits))
        peers = asyncio.run(_peers(stage, rounds, hits // 10, quick=quick))
        calls = asyncio.run(_stampedes(stage))
    return {"budgets": BUDGETS, "ours": ours, "peers": peers, "callers": CALLERS, "calls": calls}


async def _floor(key: str = "key") -> str:
    """The least there is to await."""
    return _STORE[key]


# Each loop is written out: a call through a variable would cost as much as what is measured.


def _floor_of(n: int) -> Timed:
    async def timed() -> float:
        begun = time.thread_time()
        for _ in range(n):
            await _floor()
        return (time.thread_time() - begun) / n

    return timed


async def _our_ways(stage: Stage, rounds: int, n: int) -> dict[str, Compared]:
    cloud_map = CloudMap(backend=stage.backend, cache=CachePolicy(ttl=3600))
    service = cloud_map.service(SERVICE)
    await service.resolve()

    async def resolve() -> float:
        begun = time.thread_time()
        for _ in range(n):
            await service.resolve()
        return (time.thread_time() - begun) / n

    async def peek() -> float:
        begun = time.thread_time()
        for _ in range(n):
            service.peek()
        return (time.thread_time() - begun) / n

    async def by_name() -> float:
        begun = time.thread_time()
        for _ in range(n):
            await cloud_map.service("shop/orders").resolve()
        return (time.thread_time() - begun) / n

    async def attribute() -> float:
        begun = time.thread_time()
        for _ in range(n):
            await service.attribute("QUEUE_URL")
        return (time.thread_time() - begun) / n

    return await compare(_floor_of(n), dict(zip(BUDGETS, (resolve, peek, by_name, attribute), strict=True)), rounds)


async def _peers(stage: Stage, rounds: int, n: int, *, quick: bool) -> dict[str, Compared]:
    """Caches of functions, called by name; those that wait are called on this thread, as if that cost nothing."""
    subjects: dict[str, Timed] = {}
    for peer in installed(quick=quick, caches=True)[1:]:
        ask = peer.make(stage, 3600)
        if peer.threaded:
            ask(SERVICE)
            subjects[peer.name] = _waiting(ask, n)
        else:
            await ask(SERVICE)
            subjects[peer.name] = _awaiting(ask, n)
    return await compare(_floor_of(n * 4), subjects, rounds)


def _awaiting(ask: Any, n: int) -> Timed:
    async def timed() -> float:
        begun = time.thread_time()
        for _ in range(n):
            await ask("shop/orders")
        return (time.thread_time() - begun) / n

    return timed


def _waiting(ask: Any, n: int) -> Timed:
    async def timed() -> float:
        begun = time.thread_time()
        for _ in range(n):
            ask("shop/orders")
        return (time.thread_time() - begun) / n

    return timed


async def _stampedes(stage: Stage) -> dict[str, int]:
    """How many calls our ten thousand callers cost, of a cold key and at the moment of expiry, and how many waited."""
    clock, cache = ManualClock(), CachePolicy(jitter=0, refresh="background")
    service = CloudMap(backend=stage.backend, clock=clock, cache=cache).service(SERVICE)
    before = stage.calls(SERVICE)
    await asyncio.gather(*(service.resolve() for _ in range(CALLERS)))
    cold = stage.calls(SERVICE) - before
    clock.tick(cache.ttl)
    waited = 0
    for _ in range(CALLERS):
        call = service.resolve()
        try:
            call.send(None)
            waited += 1
        except StopIteration:
            pass
    while service.explain().in_flight:
        await asyncio.sleep(0)
    return {"cold": cold, "expiry": stage.calls(SERVICE) - before - cold, "waited": waited}
