"""What a hit costs, as a ratio to the cheapest possible `await`, and how many calls ten thousand callers cause.

The baseline is `await f()` with `async def f(): return d[k]`. Only CPU time counts, as nothing waits, which leaves out
other processes.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from budgets import HITS
from pairs import Compared, Timed, compare
from peers import installed
from testbed import Testbed

from aiocloudmap import CachePolicy, CloudMap
from aiocloudmap.testing import ManualClock

__all__ = ["measure"]

CALLERS = 10_000
SERVICE = "shop/orders"
_STORE = {"key": "value"}


def measure(*, quick: bool) -> dict[str, Any]:
    """Measure hits of aiocloudmap and of others, and the calls after a cold start and an expiry."""
    rounds, hits = (3, 500) if quick else (60, 5000)
    with Testbed() as testbed:
        testbed.add(SERVICE)
        ours = asyncio.run(_our_ways(testbed, rounds, hits))
        peers = asyncio.run(_peers(testbed, rounds, hits // 10, quick=quick))
        calls = asyncio.run(_stampedes(testbed))
    return {"ours": ours, "peers": peers, "callers": CALLERS, "calls": calls}


async def _baseline(key: str = "key") -> str:
    """The cheapest coroutine."""
    return _STORE[key]


# Each loop is written out, as a call through a variable would cost as much as what is measured.


def _time_baseline(n: int) -> Timed:
    async def timed() -> float:
        started = time.thread_time()
        for _ in range(n):
            await _baseline()
        return (time.thread_time() - started) / n

    return timed


async def _our_ways(testbed: Testbed, rounds: int, n: int) -> dict[str, Compared]:
    cloud_map = CloudMap(backend=testbed.backend, cache=CachePolicy(ttl=3600))
    service = cloud_map.service(SERVICE)
    await service.resolve()

    async def resolve() -> float:
        started = time.thread_time()
        for _ in range(n):
            await service.resolve()
        return (time.thread_time() - started) / n

    async def peek() -> float:
        started = time.thread_time()
        for _ in range(n):
            service.peek()
        return (time.thread_time() - started) / n

    async def by_name() -> float:
        started = time.thread_time()
        for _ in range(n):
            await cloud_map.service("shop/orders").resolve()
        return (time.thread_time() - started) / n

    async def attribute() -> float:
        started = time.thread_time()
        for _ in range(n):
            await service.attribute("QUEUE_URL")
        return (time.thread_time() - started) / n

    ways = dict(zip(HITS, (resolve, peek, by_name, attribute), strict=True))
    return await compare(_time_baseline(n), ways, rounds)


async def _peers(testbed: Testbed, rounds: int, n: int, *, quick: bool) -> dict[str, Compared]:
    """Caches of functions, called by name. Threaded ones are called on this thread, which favours them."""
    subjects: dict[str, Timed] = {}
    for peer in installed(quick=quick, caches=True)[1:]:
        ask = peer.make(testbed, 3600)
        if peer.threaded:
            ask(SERVICE)
            subjects[peer.name] = _waiting(ask, n)
        else:
            await ask(SERVICE)
            subjects[peer.name] = _awaiting(ask, n)
    return await compare(_time_baseline(n * 4), subjects, rounds)


def _awaiting(ask: Any, n: int) -> Timed:
    async def timed() -> float:
        started = time.thread_time()
        for _ in range(n):
            await ask("shop/orders")
        return (time.thread_time() - started) / n

    return timed


def _waiting(ask: Any, n: int) -> Timed:
    async def timed() -> float:
        started = time.thread_time()
        for _ in range(n):
            ask("shop/orders")
        return (time.thread_time() - started) / n

    return timed


async def _stampedes(testbed: Testbed) -> dict[str, int]:
    """Count the calls for ten thousand callers without an answer and at expiry, and how many callers wait."""
    clock, cache = ManualClock(), CachePolicy(jitter=0, refresh="background")
    service = CloudMap(backend=testbed.backend, clock=clock, cache=cache).service(SERVICE)
    before = testbed.calls(SERVICE)
    await asyncio.gather(*(service.resolve() for _ in range(CALLERS)))
    cold = testbed.calls(SERVICE) - before
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
    return {"cold": cold, "expiry": testbed.calls(SERVICE) - before - cold, "waited": waited}
