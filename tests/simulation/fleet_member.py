"""One process of a real fleet: does what it is told through a pipe."""

from __future__ import annotations

import asyncio
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

from aiocloudmap import CloudMap, ConnectionPolicy, Service, UnavailableError
from aiocloudmap.local.cloud_map import local_session

_MOMENT = 0.005


def member(endpoint_url: str, names: list[str], connections: ConnectionPolicy, pipe: Connection, go: Barrier) -> None:
    """Runs until it is told to end.

    Args:
        endpoint_url: Of the local server.
        names: The services it asks for.
        connections: The policy of its one CloudMap.
        pipe: Takes ("cold" | "steady" | "end", CachePolicy, seconds), gives what was seen.
        go: What all processes begin a cold start at.
    """
    asyncio.run(_serve(endpoint_url, names, connections, pipe, go))


async def _serve(url: str, names: list[str], connections: ConnectionPolicy, pipe: Connection, go: Barrier) -> None:
    settings = {"region": "eu-west-1", "session_factory": local_session, "connections": connections}
    async with CloudMap(endpoint_url=url, **settings) as cloud_map:  # type: ignore[arg-type]
        while True:
            # The event loop stands still between two orders: nothing is asked then.
            act, policy, seconds = pipe.recv()
            if act == "end":
                return
            services = [cloud_map.service(name, cache=policy) for name in names]
            if act == "cold":
                cloud_map.clear()
                go.wait(60)
                pipe.send(await asyncio.gather(*(_first_answer(service) for service in services)))
            else:
                pipe.send(await _steady(services, seconds))


async def _first_answer(service: Service) -> float:
    """Ask until there is an answer; gives that moment, on the machine's clock."""
    while True:
        try:
            await service.resolve()
        except UnavailableError as error:
            await asyncio.sleep(max(_MOMENT, error.retry_after or 0))
        else:
            return time.monotonic()


async def _steady(services: list[Service], seconds: float) -> int:
    """Ask for everything all the time; gives how often a caller was told an error."""
    errors, end = 0, time.monotonic() + seconds
    while True:
        for service in services:
            try:
                await service.resolve()
            except UnavailableError:
                errors += 1
        if time.monotonic() > end:
            return errors
        await asyncio.sleep(0.02)
