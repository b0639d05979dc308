"""How cost grows with the number of services, of callers, and of instances."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import time
from contextlib import AsyncExitStack
from typing import Any

from pairs import Timed, compare
from server import SIZES
from testbed import bare_client, child_server, discover_parameters

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy, Discovery, Instance, Query, Service

__all__ = ["measure"]

_KEYS = (10, 100, 1000, 4000, 10_000, 100_000)
_CALLERS = (1, 10, 100, 1000, 10_000)
_UNLIMITED = ConnectionPolicy(max_calls_per_second=1e6, max_attempts=1)


def measure(*, quick: bool) -> dict[str, Any]:
    """Measure all three."""
    with child_server() as environment:
        os.environ.update(environment)
        sizes = asyncio.run(_sizes(SIZES[:2] if quick else SIZES, 2 if quick else 15, 5 if quick else 20))
    keys = asyncio.run(_keys(_KEYS[:2] if quick else _KEYS, 200 if quick else 5000, 2 if quick else 7))
    callers = asyncio.run(_callers(_CALLERS[:3] if quick else _CALLERS, 2 if quick else 15))
    return {"keys": keys, "callers": callers, "sizes": sizes}


class _InstantBackend:
    """Answers at once, and counts its calls."""

    calls = 0

    async def discover(self, query: Query) -> Discovery:
        self.calls += 1
        return Discovery((Instance("i-0", query.service, attributes={"QUEUE_URL": "https://queue"}),), 1)


async def _keys(counts: tuple[int, ...], asks: int, rounds: int) -> dict[str, Any]:
    """Ask for random services by name and by kept handles, against a dict that holds all."""
    rows = {}
    for count in counts:
        services = [f"shop/s-{number}" for number in range(count)]
        backend, known = _InstantBackend(), dict.fromkeys(services, "https://queue")
        cloud_map = CloudMap(backend=backend, cache=CachePolicy(ttl=3600), connections=_UNLIMITED)
        for service in services[:5000]:
            await cloud_map.service(service).resolve()
        pick = functools.partial(random.Random(1).choices, k=asks)
        handles = [cloud_map.service(service) for service in services]
        ways = {"by name": _asking(cloud_map, services, pick), "by handle": _resolving(handles, pick)}
        before = backend.calls
        row: dict[str, Any] = dict(await compare(_looking_up(known, pick), ways, rounds))
        row["calls_each"] = round((backend.calls - before) / ((rounds + 1) * asks * len(ways)), 4)
        row["entries"] = cloud_map.stats().entries
        rows[str(count)] = row
    return rows


# Each round asks for other services, as the same ones would all be known from the round before.


def _asking(cloud_map: CloudMap, services: list[str], pick: Any) -> Timed:
    async def timed() -> float:
        order = pick(services)
        started = time.thread_time()
        for service in order:
            await cloud_map.service(service).resolve()
        return (time.thread_time() - started) / len(order)

    return timed


def _resolving(handles: list[Service], pick: Any) -> Timed:
    async def timed() -> float:
        order = pick(handles)
        started = time.thread_time()
        for handle in order:
            await handle.resolve()
        return (time.thread_time() - started) / len(order)

    return timed


def _looking_up(known: dict[str, str], pick: Any) -> Timed:
    services = list(known)

    async def look_up(service: str) -> str:
        return known[service]

    async def timed() -> float:
        order = pick(services)
        started = time.thread_time()
        for service in order:
            await look_up(service)
        return (time.thread_time() - started) / len(order)

    return timed


async def _callers(counts: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Concurrent tasks with and without an answer in memory, against tasks that only await a coroutine."""
    rows = {}
    for count in counts:
        backend = _InstantBackend()
        cloud_map = CloudMap(backend=backend, cache=CachePolicy(ttl=3600), connections=_UNLIMITED)
        await cloud_map.service("shop/known").resolve()

        async def baseline(count: int = count) -> float:
            return await _at_once(count, _nothing)

        async def known(count: int = count, cloud_map: CloudMap = cloud_map) -> float:
            return await _at_once(count, cloud_map.service("shop/known").resolve)

        async def cold(count: int = count, cloud_map: CloudMap = cloud_map) -> float:
            cloud_map.clear()
            return await _at_once(count, cloud_map.service("shop/cold").resolve)

        # Known answers first, as clear() in the other case removes them too.
        hits = await compare(baseline, {"hit": known}, rounds)
        before = backend.calls
        rows[str(count)] = hits | await compare(baseline, {"cold": cold}, rounds)
        rows[str(count)]["calls_each_rush"] = (backend.calls - before) / (rounds + 1)
    return rows


async def _nothing() -> str:
    return "https://queue"


async def _at_once(count: int, ask: Any) -> float:
    started = time.process_time()
    await asyncio.gather(*(ask() for _ in range(count)))
    return (time.process_time() - started) / count


async def _sizes(sizes: tuple[int, ...], rounds: int, calls: int) -> dict[str, Any]:
    """For answers of each size: a hit, and the CPU time and event loop stall of a forced call."""
    rows = {}
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(bare_client())
        cloud_map = await stack.enter_async_context(CloudMap(connections=_UNLIMITED))
        for size in sizes:
            service = f"bench/of-{size}"
            parameters = discover_parameters(service)

            async def bare(parameters: Any = parameters) -> object:
                return await client.discover_instances(**parameters)

            async def ours(service: str = service) -> object:
                return await cloud_map.service(service).resolve(max_age=0)

            assert len(await cloud_map.service(service).resolve()) == size
            repeats = max(2, calls // max(1, size // 50))
            cpu = await compare(_cpu(bare, repeats), {"": _cpu(ours, repeats)}, rounds)
            stall = await compare(_stall(bare), {"": _stall(ours)}, rounds)
            known, always = {service: "https://queue"}, functools.partial(random.choices, k=500)
            hit = await compare(_looking_up(known, always), {"": _asking(cloud_map, [service], always)}, rounds)
            rows[str(size)] = {"hit": hit[""], "cpu": cpu[""], "stall": stall[""]}
    return rows


def _cpu(ask: Any, repeats: int) -> Timed:
    async def timed() -> float:
        started = time.process_time()
        for _ in range(repeats):
            await ask()
        return (time.process_time() - started) / repeats

    return timed


def _stall(ask: Any) -> Timed:
    """The longest step of the event loop while one answer is fetched, in this thread's CPU time."""

    async def timed() -> float:
        task, longest, last = asyncio.ensure_future(ask()), 0.0, time.thread_time()
        while not task.done():
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now
        await task
        return longest

    return timed
