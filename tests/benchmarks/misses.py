"""A question that goes to AWS: CPU time against one shared aiobotocore client that asks the same server.

And `asyncio.run` for each invocation, against a new client each time.
"""

from __future__ import annotations

import asyncio
import cProfile
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from budgets import CPU
from pairs import Timed, compare, compare_synchronously
from testbed import bare_client, child_server, discover_parameters
from time_by_package import by_package

from aiocloudmap import CloudMap, ConnectionPolicy

__all__ = ["measure"]

_CONCURRENT = 50
_POLICY = ConnectionPolicy(max_calls_per_second=1e6, max_attempts=1)

Ask = Callable[[str], Awaitable[object]]


def measure(*, quick: bool) -> dict[str, Any]:
    """Measure CPU seconds of a call, one at a time and fifty at a time, and wall seconds of an invocation."""
    rounds, calls = (2, 50) if quick else (100, 50)
    with child_server() as environment:
        os.environ.update(environment)
        found = asyncio.run(_cpu(rounds, calls))
        invocation = compare_synchronously(_with_new_client, {"aiocloudmap": _with_cloud_map}, 1 if quick else 30)
    return {"concurrent": _CONCURRENT, **found, "invocation": invocation["aiocloudmap"]}


async def _cpu(rounds: int, calls: int) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(bare_client())
        cloud_map = await stack.enter_async_context(CloudMap(connections=_POLICY))

        async def bare(service: str) -> object:
            return await client.discover_instances(**discover_parameters(service))

        async def ours(service: str) -> object:
            return await cloud_map.service(service).resolve(max_age=0)

        single, many = CPU
        ways = {single: _one_by_one(ours, calls), many: _together(ours, calls)}
        cpu = await compare(_one_by_one(bare, calls), {single: ways[single]}, rounds)
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
        started = time.process_time()
        for _ in range(calls):
            await ask("bench/each-0")
        return (time.process_time() - started) / calls

    return timed


def _together(ask: Ask, calls: int) -> Timed:
    """Each caller asks for another service, so that no call is shared."""

    async def caller(number: int) -> None:
        for _ in range(max(1, calls // _CONCURRENT)):
            await ask(f"bench/each-{number}")

    async def timed() -> float:
        started = time.process_time()
        await asyncio.gather(*(caller(number) for number in range(_CONCURRENT)))
        return (time.process_time() - started) / (max(1, calls // _CONCURRENT) * _CONCURRENT)

    return timed


def _with_cloud_map() -> float:
    async def invocation() -> None:
        await CloudMap(connections=_POLICY).service("bench/each-0").resolve(max_age=0)

    started = time.perf_counter()
    asyncio.run(invocation())
    return time.perf_counter() - started


def _with_new_client() -> float:
    async def invocation() -> None:
        async with bare_client() as client:
            await client.discover_instances(**discover_parameters("bench/each-0"))

    started = time.perf_counter()
    asyncio.run(invocation())
    return time.perf_counter() - started
