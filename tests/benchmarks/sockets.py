"""Open sockets while requests come, as the server sees them: clients made per request, one shared client, us."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from stage import Stage, bare_client, names

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy

__all__ = ["measure"]

_PAUSE = 0.01
_AT_A_TIME = 4
_SERVICES = [f"shop/s-{number}" for number in range(12)]

Request = Callable[[str], Awaitable[object]]


def measure(*, quick: bool) -> dict[str, Any]:
    """After each round of four requests at a time: how many sockets are open."""
    rounds = 5 if quick else 50
    ways = {
        "a client per request, kept": _kept,
        "a client per request, closed": _closed,
        "one shared client": _shared,
        "a CloudMap() per request": _ours,
    }
    rows = {}
    for name, way in ways.items():
        with Stage() as stage:
            stage.add(*_SERVICES)
            stage.local.faults.delay(0.01)
            rows[name] = asyncio.run(_requests(stage, way, rounds))
    limit = ConnectionPolicy().max_connections
    return {"at_a_time": _AT_A_TIME, "requests": rounds * _AT_A_TIME, "max_connections": limit, "rows": rows}


async def _requests(stage: Stage, way: Callable[[AsyncExitStack], Awaitable[Request]], rounds: int) -> dict[str, Any]:
    open_sockets, number = [], 0
    async with AsyncExitStack() as stack:
        request = await way(stack)
        for _ in range(rounds):
            services = [_SERVICES[(number + offset) % len(_SERVICES)] for offset in range(_AT_A_TIME)]
            number += _AT_A_TIME
            await asyncio.gather(*map(request, services))
            open_sockets.append(stage.local.stats.connections_open)
            await asyncio.sleep(_PAUSE)
        accepted = stage.local.stats.connections_accepted
        calls = stage.local.stats.calls.total
    return {"open": open_sockets, "peak": stage.local.stats.connections_peak, "accepted": accepted, "calls": calls}


async def _kept(stack: AsyncExitStack) -> Request:
    from aiobotocore.session import get_session

    session = get_session()

    async def request(service: str) -> object:
        client = await stack.enter_async_context(bare_client(session))
        return await client.discover_instances(**names(service))

    return request


async def _closed(_: AsyncExitStack) -> Request:
    from aiobotocore.session import get_session

    session = get_session()

    async def request(service: str) -> object:
        async with bare_client(session) as client:
            return await client.discover_instances(**names(service))

    return request


async def _shared(stack: AsyncExitStack) -> Request:
    client = await stack.enter_async_context(bare_client())
    return lambda service: client.discover_instances(**names(service))


async def _ours(_: AsyncExitStack) -> Request:
    async def request(service: str) -> object:
        # So short a ttl that it asks all the time.
        return await CloudMap(cache=CachePolicy(ttl=0.02, stale_while_revalidate=0)).service(service).resolve()

    return request
