"""Three strategies for the same request: find the URL of a queue in Cloud Map, then send an event to EventBridge.

They differ only in how they keep their clients; timeouts and all else are the same.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from aiocloudmap.cli.demo.schedule import NAMESPACE, Schedule

__all__ = ["STRATEGIES", "Steps", "Strategy"]


@dataclass(frozen=True, slots=True)
class Steps:
    """The two calls of a request.

    Args:
        find: Finds the queue URL of a service in Cloud Map.
        announce: Sends an event about the queue to EventBridge.
    """

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
async def _kept_per_request(_: Schedule) -> AsyncIterator[Steps]:
    from aiobotocore.session import get_session

    session = get_session()
    async with AsyncExitStack() as kept:
        events = await kept.enter_async_context(session.create_client("events", config=_plain(force_close=True)))

        async def find(service: str) -> str:
            # The bug: each request makes a client that lives as long as the application.
            cloud_map = await kept.enter_async_context(session.create_client("servicediscovery", config=_plain()))
            return await _discover(cloud_map, service)

        yield Steps(find, lambda queue_url: _put_event(events, queue_url))


@asynccontextmanager
async def _one_shared(_: Schedule) -> AsyncIterator[Steps]:
    from aiobotocore.session import get_session

    session = get_session()
    async with AsyncExitStack() as kept:
        events = await kept.enter_async_context(session.create_client("events", config=_plain(force_close=True)))
        cloud_map = await kept.enter_async_context(session.create_client("servicediscovery", config=_plain()))
        yield Steps(
            lambda service: _discover(cloud_map, service),
            lambda queue_url: _put_event(events, queue_url),
        )


@asynccontextmanager
async def _aiocloudmap(schedule: Schedule) -> AsyncIterator[Steps]:
    from aiocloudmap import CachePolicy, CloudMap

    config = _plain()

    # One per request, as in the first strategy. Here it costs nothing.
    async def find(service: str) -> str:
        cloud_map = CloudMap(cache=CachePolicy(ttl=schedule.ttl))
        return await cloud_map.service(f"{NAMESPACE}/{service}").attribute("QUEUE_URL")

    async def announce(queue_url: str) -> None:
        await _put_event(await CloudMap().client("events", config=config), queue_url)

    yield Steps(find, announce)


STRATEGIES: Final[Mapping[str, Strategy]] = MappingProxyType(
    {
        "kept": Strategy("a client kept per request", "each request makes and keeps an AWS client", _kept_per_request),
        "shared": Strategy("one shared client", "all requests share one AWS client, without a cache", _one_shared),
        "aiocloudmap": Strategy("aiocloudmap", "each request makes a CloudMap()", _aiocloudmap),
    }
)


def _plain(*, force_close: bool = False) -> Any:
    """Sensible settings of a bare client: short timeouts and one retry.

    The EventBridge client closes its connection after each call, like a client that is used too rarely to keep one.
    So it needs a new socket each time.
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
