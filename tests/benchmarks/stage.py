"""Where it all plays: one local Cloud Map, in process for caches and over the wire for AWS clients, counted as one."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Self

from aiocloudmap import Query, ServiceName
from aiocloudmap.local import LocalCloudMap, Quotas, World

__all__ = ["QUEUE_URL", "Stage", "bare_client", "child_server", "question"]

QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
_HERE = Path(__file__).parent


class Stage:
    """A world of one namespace, `shop`, whose services are there as soon as they are asked for.

    Caches of functions get `find`, which asks in this process; threads get `find_in_thread`, which asks by boto3. Both
    meet the same faults.
    """

    def __init__(self) -> None:
        self.local = LocalCloudMap(World(quotas=Quotas.unlimited()))
        self.backend = self.local.backend()
        self.threads = concurrent.futures.ThreadPoolExecutor(100)
        self._closing = contextlib.AsyncExitStack()

    def __enter__(self) -> Self:
        self.local.__enter__()
        os.environ.update(self.local.environment)
        return self

    def __exit__(self, *_: object) -> None:
        self.threads.shutdown()
        self.local.__exit__(None, None, None)

    def add(self, *services: str, instances: int = 1) -> None:
        """Register instances of these services."""
        for service in services:
            for number in range(instances):
                attributes = {"QUEUE_URL": QUEUE_URL, "AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_PORT": "8080"}
                self.local.world.register(service, f"i-{number}", attributes)

    def calls(self, service: str) -> int:
        """How often Cloud Map was asked about the service, whichever way."""
        return self.backend.calls.of(service) + self.local.stats.calls.of(service)

    async def find(self, service: str) -> str:
        """The queue's URL."""
        found = await self.backend.discover(Query(ServiceName.parse(service)))
        return found.instances[0].attributes["QUEUE_URL"]

    def find_in_thread(self, service: str) -> str:
        """The same by boto3, which waits: one client for all threads, as boto3's page "Clients" allows."""
        return queue_url(self._boto3.discover_instances(**names(service)))

    @functools.cached_property
    def _boto3(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(retries={"total_max_attempts": 1}, inject_host_prefix=False, max_pool_connections=100)
        return boto3.client("servicediscovery", config=config)

    async def keep(self, manager: contextlib.AbstractAsyncContextManager[Any]) -> Any:
        """Enter it; it is left when the stage is closed."""
        return await self._closing.enter_async_context(manager)

    async def close(self) -> None:
        """What was kept is left."""
        await self._closing.aclose()

    async def in_thread(self, function: Callable[[str], str], service: str) -> str:
        """Call a function that waits, as an async program would have to."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, function, service)


def names(service: str) -> dict[str, str]:
    """The service, in AWS's words."""
    namespace, name = service.split("/")
    return {"NamespaceName": namespace, "ServiceName": name}


def question(service: str) -> dict[str, Any]:
    """What aiocloudmap asks about the service: a thousand instances, not a hundred, and the healthy ones."""
    return names(service) | {"MaxResults": 1000, "HealthStatus": "HEALTHY_OR_ELSE_ALL"}


def queue_url(answer: dict[str, Any]) -> str:
    """What is looked for in AWS's answer."""
    found: str = answer["Instances"][0]["Attributes"]["QUEUE_URL"]
    return found


@contextlib.asynccontextmanager
async def bare_client(session: Any = None) -> AsyncIterator[Any]:
    """A client of aiobotocore, as its README makes one; without retries, so that failures are counted once."""
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    config = AioConfig(retries={"total_max_attempts": 1}, inject_host_prefix=False)
    async with (session or get_session()).create_client("servicediscovery", config=config) as client:
        yield client


@contextlib.contextmanager
def child_server(certificate: Path | None = None) -> Iterator[dict[str, str]]:
    """A Cloud Map in a process of its own, whose work is not counted as ours; gives the environment that leads there.

    It has `bench/of-1`, `bench/of-10`, `bench/of-100`, `bench/of-1000` with so many instances, and `bench/each-0` to
    `bench/each-49` with one.
    """
    command = [sys.executable, str(_HERE / "server.py"), *([str(certificate)] if certificate else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.stdin.close()
            server.wait(10)
