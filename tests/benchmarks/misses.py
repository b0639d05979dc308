"""A question that goes to AWS: this process's time for each.

Against one shared client of aiobotocore, which asks the same server the same; and `asyncio.run` for each invocation,
against a new client each time.
"""

from __future__ import annotations

import asyncio
import cProfile
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from pairs import Timed, compare, compare_synchronously
from shares import by_package
from stage import bare_client, child_server, question

from aiocloudmap import CloudMap, ConnectionPolicy

__all__ = ["BUDGETS", "measure"]

# Times the shared client's CPU; and seconds.
BUDGETS = {"cpu": 0.9, "invocation": 0.005}
_CONCURRENT = 50
_POLICY = ConnectionPolicy(max_calls_per_second=1e6, max_attempts=1)

Ask = Callable[[str], Awaitable[object]]


def measure(*, quick: bool) -> dict[str, Any]:
    """CPU seconds a call, one at a time and fifty at a time; wall seconds of an invocation that has to ask."""
    rounds, calls = (2, 50) if quick else (100, 50)
    with child_server() as environment:
        os.environ.update(environment)
        found = asyncio.run(_cpu(rounds, calls))
        invocation = compare_synchronously(_with_new_client, {"aiocloudmap": _with_cloud_map}, 1 if quick else 30)
    return {"budgets": BUDGETS, "concurrent": _CONCURRENT, **found, "invocation": invocation["aiocloudmap"]}


async def _cpu(rounds: int, calls: int) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(bare_client())
        cloud_map = await stack.enter_async_context(CloudMap(connections=_POLICY))

        async def bare(service: str) -> object:
            return await client.discover_instances(**question(service))

        async def ours(service: str) -> object:
            return await cloud_map.service(service).resolve(max_age=0)

        alone, many = "one at a time", f"{_CONCURRENT} at a time"
        ways = {alone: _one_by_one(ours, calls), many: _together(ours, calls)}
        cpu = await compare(_one_by_one(bare, calls), {alone: ways[alone]}, rounds)
        cpu |= await compare(_together(bare, calls), {many: ways[many]}, rounds)
        return {"cpu": cpu, "shares": {name: await _shares(way) for name, way in ways.items()}}


async def _shares(way: Timed) -> dict[str, float]:
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    await way()
    profile.disable()
    return by_package(profile)


def _one_by_one(ask: Ask, calls: int) -> Timed:
    async def timed() -> float:
        begun = time.process_time()
        for _ in range(calls):
            await ask("bench/each-0")
        return (time.process_time() - begun) / calls

    return timed


def _together(ask: Ask, calls: int) -> Timed:
    """Each asks for another service, so that no call can be saved."""

    async def caller(number: int) -> None:
        for _ in range(max(1, calls // _CONCURRENT)):
            await ask(f"bench/each-{number}")

    async def timed() -> float:
        begun = time.process_time()
        await asyncio.gather(*(caller(number) for number in range(_CONCURRENT)))
        return (time.process_time() - begun) / (max(1, calls // _CONCURRENT) * _CONCURRENT)

    return timed


def _with_cloud_map() -> float:
    async def invocation() -> None:
        await CloudMap(connections=_POLICY).service("bench/each-0").resolve(max_age=0)

    begun = time.perf_counter()
    asyncio.run(invocation())
    return time.perf_counter() - begun


def _with_new_client() -> float:
    async def invocation() -> None:
        async with bare_client() as client:
            await client.discover_instances(**question("bench/each-0"))

    begun = time.perf_counter()
    asyncio.run(invocation())
    return time.perf_counter() - begun
