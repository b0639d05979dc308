"""What a hit costs, as ratios to the least that awaiting anything can cost, all taken in one run.

    python tests/benchmarks/hit_path.py [--rounds 60] [--json]

The floor is `await f()` with `async def f(): return d[k]`. Each round times the floor and then every row right after
it, so that what else the machine does meets both; a row's figure is the median of its ratios, with their quartiles.
Ends with 1 if a row is over its budget.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from aiocloudmap import CachePolicy, CloudMap, Discovery, Instance, Query
from aiocloudmap.testing import ManualClock

BUDGETS = {
    "await service.resolve()": 1.75,
    "service.peek()": 1.05,
    "await cloud_map.service(name).resolve()": 3.0,
    'await service.attribute("QUEUE_URL")': 2.4,
}
CALLERS = 10_000
_STORE = {"key": "value"}


class Counting:
    """Answers at once, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    async def discover(self, query: Query) -> Discovery:
        self.calls += 1
        await asyncio.sleep(0)
        return Discovery((Instance("orders-1", query.service, attributes={"QUEUE_URL": "https://queue"}),), 1)


async def floor(key: str = "key") -> str:
    """The least there is to await."""
    return _STORE[key]


# Each loop is written out: a call through a variable would cost as much as what is measured.


async def time_floor(n: int) -> float:
    begun = time.perf_counter()
    for _ in range(n):
        await floor()
    return time.perf_counter() - begun


def rows(cloud_map: CloudMap) -> dict[str, Callable[[int], Coroutine[Any, Any, float]]]:
    """The timed loops, by what they time."""
    service = cloud_map.service("shop/orders")

    async def resolve(n: int) -> float:
        begun = time.perf_counter()
        for _ in range(n):
            await service.resolve()
        return time.perf_counter() - begun

    async def peek(n: int) -> float:
        begun = time.perf_counter()
        for _ in range(n):
            service.peek()
        return time.perf_counter() - begun

    async def by_name(n: int) -> float:
        begun = time.perf_counter()
        for _ in range(n):
            await cloud_map.service("shop/orders").resolve()
        return time.perf_counter() - begun

    async def attribute(n: int) -> float:
        begun = time.perf_counter()
        for _ in range(n):
            await service.attribute("QUEUE_URL")
        return time.perf_counter() - begun

    return dict(zip(BUDGETS, (resolve, peek, by_name, attribute), strict=True))


async def ratios(rounds: int, n: int) -> dict[str, list[float]]:
    """Each row's ratio to the floor, once a round."""
    cloud_map = CloudMap(backend=Counting(), cache=CachePolicy(ttl=3600))
    await cloud_map.prefetch("shop/orders")
    found: dict[str, list[float]] = {name: [] for name in BUDGETS}
    for _ in range(rounds):
        for name, timed in rows(cloud_map).items():
            before = await time_floor(n)
            taken = await timed(n)
            found[name].append(taken / ((before + await time_floor(n)) / 2))
    return found


async def stampedes() -> dict[str, Any]:
    """How many AWS calls ten thousand callers cost, of a cold key and at the moment of expiry."""
    backend, clock = Counting(), ManualClock()
    cache = CachePolicy(jitter=0, refresh="background")
    service = CloudMap(backend=backend, clock=clock, cache=cache).service("shop/orders")
    await asyncio.gather(*(service.resolve() for _ in range(CALLERS)))
    cold = backend.calls
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
    return {"cold": cold, "expiry": backend.calls - cold, "waited": waited}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--hits", type=int, default=5000, help="hits a round and row")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(ratios(options.rounds, options.hits))
    calls = asyncio.run(stampedes())
    table = {name: statistics.quantiles(values, n=4) for name, values in found.items()}
    if options.json:
        print(json.dumps({"python": platform.python_version(), "ratios": table, "calls": calls}))
    else:
        print(f"Python {platform.python_version()}, {options.rounds} rounds of {options.hits} hits, times the floor")
        for name, (low, middle, high) in table.items():
            print(f"{name:42} {middle:5.2f}  ({low:.2f} to {high:.2f})  budget {BUDGETS[name]}")
        print(f"{CALLERS} callers of a cold key: {calls['cold']} AWS call(s), budget 1")
        print(f"{CALLERS} callers at expiry: {calls['expiry']} AWS call(s), {calls['waited']} waited, budget 1 and 0")
    over = [name for name, (_, middle, _) in table.items() if middle > BUDGETS[name]]
    return 1 if over or calls != {"cold": 1, "expiry": 1, "waited": 0} else 0


if __name__ == "__main__":
    sys.exit(main())
