"""Three strategies for the same request: find the URL of a queue in Cloud Map, then send an event to EventBridge.

They differ only in how they keep their clients. Timeouts and all other settings are the same.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from aiocloudmap.cli.demo.schedule import NAMESPACE, Schedule

__all__ = ["STRATEGIES", "Steps", "Strategy"]


@dataclass(frozen=True, slots=True)
class Steps:
    """The two calls of a request: find the queue URL of a service, then send an event about the queue."""

    find: Callable[[str], Awaitable[str]]
    announce: Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Strategy:
    """One of the three strategies.

    Args:
        title: A few words for the heading of a column.
        description: What the program does.
        steps: Opens the clients and returns the steps.
    """

    title: str
    description: str
    steps: Callable[[Schedule], AbstractAsyncContextManager[Steps]]


@asynccontextmanager
async def _plain_clients(_: Schedule, *, shared: bool) -> AsyncIterator[Steps]:
    from aiobotocore.session import get_session

    session = get_session()
    async with AsyncExitStack() as kept:

        async def client(service: str, config: Any) -> Any:
            return await kept.enter_async_context(session.create_client(service, config=config))

        events = await client("events", _plain_config(force_close=True))
        cloud_map = await client("servicediscovery", _plain_config()) if shared else None

        async def find(service: str) -> str:
            # Without `shared`, this is the bug: each request makes a client that stays open.
            return await _discover(cloud_map or await client("servicediscovery", _plain_config()), service)

        yield Steps(find, partial(_put_event, events))


@asynccontextmanager
async def _aiocloudmap(schedule: Schedule) -> AsyncIterator[Steps]:
    from aiocloudmap import CachePolicy, CloudMap

    config = _plain_config()

    # One per request, as in the first strategy. Here it costs nothing.
    async def find(service: str) -> str:
        cloud_map = CloudMap(cache=CachePolicy(ttl=schedule.ttl))
        return await cloud_map.service(f"{NAMESPACE}/{service}").attribute("QUEUE_URL")

    async def announce(queue_url: str) -> None:
        await _put_event(await CloudMap().client("events", config=config), queue_url)

    yield Steps(find, announce)


STRATEGIES: Final[Mapping[str, Strategy]] = MappingProxyType(
    {
        "kept": Strategy(
            "a client kept per request",
            "each request makes and keeps an AWS client",
            partial(_plain_clients, shared=False),
        ),
        "shared": Strategy(
            "one shared client",
            "all requests share one AWS client, without a cache",
            partial(_plain_clients, shared=True),
        ),
        "aiocloudmap": Strategy("aiocloudmap", "each request makes a CloudMap()", _aiocloudmap),
    }
)


def _plain_config(*, force_close: bool = False) -> Any:
    """Sensible settings of a plain client: short timeouts and one retry.

    With `force_close` each call needs a new socket, as for a client that is used too rarely to keep a connection.
    """
    from aiobotocore.config import AioConfig

    return AioConfig(
        connect_timeout=1,
        read_timeout=2,
        retries={"mode": "standard", "total_max_attempts": 2},
        inject_host_prefix=False,
        connector_args={"force_close": True, "keepalive_timeout": None} if force_close else None,
    )


async def _discover(cloud_map: Any, service: str) -> str:
    answer = await cloud_map.discover_instances(NamespaceName=NAMESPACE, ServiceName=service)
    queue_url: str = answer["Instances"][0]["Attributes"]["QUEUE_URL"]
    return queue_url


async def _put_event(events: Any, queue_url: str) -> None:
    entry = {"Source": "shop", "DetailType": "queued", "Detail": json.dumps({"queue": queue_url})}
    await events.put_events(Entries=[entry])
