"""One process of a real fleet, which takes commands through a pipe."""

from __future__ import annotations

import asyncio
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

from aiocloudmap import CloudMap, ConnectionPolicy, Service, UnavailableError
from aiocloudmap.local.cloud_map import local_session

_MOMENT = 0.005


def member(endpoint_url: str, names: list[str], connections: ConnectionPolicy, pipe: Connection, go: Barrier) -> None:
    """Run until the "end" command.

    Args:
        endpoint_url: The local server.
        names: The services to ask for.
        connections: The policy of its CloudMap.
        pipe: Receives ("cold" | "steady" | "end", CachePolicy, seconds), and sends results.
        go: All processes begin a cold start here.
    """
    asyncio.run(_serve(endpoint_url, names, connections, pipe, go))


async def _serve(url: str, names: list[str], connections: ConnectionPolicy, pipe: Connection, go: Barrier) -> None:
    settings = {"region": "eu-west-1", "session_factory": local_session, "connections": connections}
    async with CloudMap(endpoint_url=url, **settings) as cloud_map:  # type: ignore[arg-type]
        while True:
            # Blocks the event loop: nothing is asked between two commands.
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
    """Ask until there is an answer, and return its moment on the machine's clock."""
    while True:
        try:
            await service.resolve()
        except UnavailableError as error:
            await asyncio.sleep(max(_MOMENT, error.retry_after or 0))
        else:
            return time.monotonic()


async def _steady(services: list[Service], seconds: float) -> int:
    """Ask for all services all the time, and return how many questions failed."""
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
