"""The test bed: one local Cloud Map, used in process by caches and over the wire by AWS clients, and counted as one."""

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

__all__ = ["QUEUE_URL", "Testbed", "bare_client", "child_server", "discover_parameters"]

QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
_HERE = Path(__file__).parent


class Testbed:
    """A local Cloud Map with services in the namespace `shop`.

    Caches of coroutine functions call `find` in this process. Caches of threaded functions call `find_in_thread`, which
    uses boto3. Both meet the same faults.
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
        """The number of calls for the service, in process and over the wire."""
        return self.backend.calls.of(service) + self.local.stats.calls.of(service)

    async def find(self, service: str) -> str:
        """Return the queue's URL, from the backend in this process."""
        found = await self.backend.discover(Query(ServiceName.parse(service)))
        return found.instances[0].attributes["QUEUE_URL"]

    def find_in_thread(self, service: str) -> str:
        """Return the queue's URL through boto3, with one client for all threads, as boto3's page "Clients" allows."""
        return queue_url(self._boto3.discover_instances(**name_parameters(service)))

    @functools.cached_property
    def _boto3(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(retries={"total_max_attempts": 1}, inject_host_prefix=False, max_pool_connections=100)
        return boto3.client("servicediscovery", config=config)

    async def keep(self, manager: contextlib.AbstractAsyncContextManager[Any]) -> Any:
        """Enter a context manager, to leave it when the test bed is closed."""
        return await self._closing.enter_async_context(manager)

    async def close(self) -> None:
        """Leave the context managers that were kept."""
        await self._closing.aclose()

    async def in_thread(self, function: Callable[[str], str], service: str) -> str:
        """Run a blocking function in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, function, service)


def name_parameters(service: str) -> dict[str, str]:
    """The service as parameters of DiscoverInstances."""
    namespace, name = service.split("/")
    return {"NamespaceName": namespace, "ServiceName": name}


def discover_parameters(service: str) -> dict[str, Any]:
    """The parameters that aiocloudmap sends: MaxResults is 1000 and unhealthy instances are left out if possible."""
    return name_parameters(service) | {"MaxResults": 1000, "HealthStatus": "HEALTHY_OR_ELSE_ALL"}


def queue_url(answer: dict[str, Any]) -> str:
    """Read the queue's URL from a response of DiscoverInstances."""
    found: str = answer["Instances"][0]["Attributes"]["QUEUE_URL"]
    return found


@contextlib.asynccontextmanager
async def bare_client(session: Any = None) -> AsyncIterator[Any]:
    """A client made as in aiobotocore's README. Retries are off, so that each failure counts once."""
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    config = AioConfig(retries={"total_max_attempts": 1}, inject_host_prefix=False)
    async with (session or get_session()).create_client("servicediscovery", config=config) as client:
        yield client


@contextlib.contextmanager
def child_server(certificate: Path | None = None) -> Iterator[dict[str, str]]:
    """Run a Cloud Map in a process of its own, and yield the environment variables that lead to it.

    Its CPU time is not counted. It has `bench/of-1`, `bench/of-10`, `bench/of-100` and `bench/of-1000` with that many
    instances, and `bench/each-0` to `bench/each-49` with one.
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
