"""Open sockets under load, counted by the server: a client per request, one shared client, and aiocloudmap."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from testbed import Testbed, bare_client, name_parameters

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy

__all__ = ["measure"]

_PAUSE = 0.01
_CONCURRENT = 4
_SERVICES = [f"shop/s-{number}" for number in range(12)]

Request = Callable[[str], Awaitable[object]]
Way = Callable[[AsyncExitStack], Awaitable[Request]]


def measure(*, quick: bool) -> dict[str, Any]:
    """Record the number of open sockets after each round of four requests."""
    rounds = 5 if quick else 50
    ways = {
        "a client per request, kept": _kept,
        "a client per request, closed": _closed,
        "one shared client": _shared,
        "a CloudMap() per request": _ours,
    }
    rows = {}
    for name, way in ways.items():
        with Testbed() as testbed:
            testbed.add(*_SERVICES)
            testbed.local.faults.delay(0.01)
            rows[name] = asyncio.run(_requests(testbed, way, rounds))
    limit = ConnectionPolicy().max_connections
    return {"at_a_time": _CONCURRENT, "requests": rounds * _CONCURRENT, "max_connections": limit, "rows": rows}


async def _requests(
    testbed: Testbed, way: Callable[[AsyncExitStack], Awaitable[Request]], rounds: int
) -> dict[str, Any]:
    open_sockets, number = [], 0
    async with AsyncExitStack() as stack:
        request = await way(stack)
        for _ in range(rounds):
            services = [_SERVICES[(number + offset) % len(_SERVICES)] for offset in range(_CONCURRENT)]
            number += _CONCURRENT
            await asyncio.gather(*map(request, services))
            open_sockets.append(testbed.local.stats.connections_open)
            await asyncio.sleep(_PAUSE)
        accepted = testbed.local.stats.connections_accepted
        calls = testbed.local.stats.calls.total
    return {"open": open_sockets, "peak": testbed.local.stats.connections_peak, "accepted": accepted, "calls": calls}


async def _kept(stack: AsyncExitStack) -> Request:
    from aiobotocore.session import get_session

    session = get_session()

    async def request(service: str) -> object:
        client = await stack.enter_async_context(bare_client(session))
        return await client.discover_instances(**name_parameters(service))

    return request


async def _closed(_: AsyncExitStack) -> Request:
    from aiobotocore.session import get_session

    session = get_session()

    async def request(service: str) -> object:
        async with bare_client(session) as client:
            return await client.discover_instances(**name_parameters(service))

    return request


async def _shared(stack: AsyncExitStack) -> Request:
    client = await stack.enter_async_context(bare_client())
    return lambda service: client.discover_instances(**name_parameters(service))


async def _ours(_: AsyncExitStack) -> Request:
    async def request(service: str) -> object:
        # A ttl so short that nearly every request goes to the server.
        return await CloudMap(cache=CachePolicy(ttl=0.02, stale_while_revalidate=0)).service(service).resolve()

    return request
