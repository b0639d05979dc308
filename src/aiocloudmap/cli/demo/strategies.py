"""The three ways to do the same: find a queue's URL in Cloud Map, then tell EventBridge.

Each way gives two functions, `find(service)` and `announce(queue_url)`. What they do alike is written alike, down to
the time-outs, so that the three differ in how they hold their clients and in nothing else.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from aiocloudmap.cli.demo.plan import NAMESPACE, Plan

__all__ = ["WAYS", "Steps", "Way"]


@dataclass(frozen=True, slots=True)
class Steps:
    """What a request does.

    Args:
        find: A service's queue URL, from Cloud Map.
        announce: Tells EventBridge that something is in the queue.
    """

    find: Callable[[str], Awaitable[str]]
    announce: Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Way:
    """One of the three.

    Args:
        title: A few words for the head of a column.
        told: What the program does, as a clause.
        steps: Gives the steps, with what they share.
    """

    title: str
    told: str
    steps: Callable[[Plan], AbstractAsyncContextManager[Steps]]


@asynccontextmanager
async def _kept_per_request(_: Plan) -> AsyncIterator[Steps]:
    from aiobotocore.session import get_session

    session = get_session()
    async with AsyncExitStack() as kept:
        events = await kept.enter_async_context(session.create_client("events", config=_plain(force_close=True)))

        async def find(service: str) -> str:
            # The bug of the story: a client per request that lives as long as the application.
            cloud_map = await kept.enter_async_context(session.create_client("servicediscovery", config=_plain()))
            return await _discover(cloud_map, service)

        yield Steps(find, lambda queue_url: _put_event(events, queue_url))


@asynccontextmanager
async def _one_shared(_: Plan) -> AsyncIterator[Steps]:
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
async def _aiocloudmap(plan: Plan) -> AsyncIterator[Steps]:
    from aiocloudmap import CachePolicy, CloudMap

    config = _plain()

    # Made per request like the client of the first way, on purpose: here it costs nothing.
    async def find(service: str) -> str:
        cloud_map = CloudMap(cache=CachePolicy(ttl=plan.ttl))
        return await cloud_map.service(f"{NAMESPACE}/{service}").attribute("QUEUE_URL")

    async def announce(queue_url: str) -> None:
        await _put_event(await CloudMap().client("events", config=config), queue_url)

    yield Steps(find, announce)


WAYS: Final[Mapping[str, Way]] = MappingProxyType(
    {
        "kept": Way("a client kept per request", "each request makes an AWS client and keeps it", _kept_per_request),
        "shared": Way("one shared client", "all requests share one AWS client, without a cache", _one_shared),
        "aiocloudmap": Way("aiocloudmap", "each request makes a CloudMap()", _aiocloudmap),
    }
)


def _plain(*, force_close: bool = False) -> Any:
    """What a careful person gives to a bare client: short time-outs, one retry.

    The client for EventBridge closes its connection after each call: it stands for one that is called so seldom that
    its connection is gone by then. That is how it comes to need a new socket when there is none.
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
