"""Type checks of the public API, by mypy and pyright (`nox -s types`). Never run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_type

import aiohttp
import httpx
import httpx2

from aiocloudmap import (
    AttributesBackend,
    AttributesQuery,
    Backend,
    CachePolicy,
    CloudMap,
    CloudMapError,
    ConfigurationError,
    ConnectionPolicy,
    Discovery,
    Event,
    Explanation,
    HealthFilter,
    Instance,
    NotFoundError,
    Query,
    Service,
    ServiceAttributes,
    ServiceName,
    Snapshot,
    Stats,
    UnavailableError,
)
from aiocloudmap.integrations.aiohttp import CloudMapResolver
from aiocloudmap.integrations.aws_lambda import async_handler
from aiocloudmap.integrations.httpx import CloudMapTransport
from aiocloudmap.integrations.worker import NotDrainedError, until_sigterm
from aiocloudmap.local import LocalCloudMap
from aiocloudmap.testing import FakeWorld, ManualClock, every_cloud_map


class Fixed:
    """A backend needs no base class."""

    async def discover(self, query: Query) -> Discovery:
        """Always the same."""
        return Discovery((Instance("orders-1", query.service, attributes={"QUEUE_URL": "here"}),), revision=1)


class Owned:
    """A backend for attributes of services."""

    async def service_attributes(self, query: AttributesQuery) -> Mapping[str, str]:
        """Always the same."""
        return {"OWNER": query.service.namespace}


def listen(event: Event) -> None:
    """A listener."""
    print(event)


def make() -> CloudMap:
    """All arguments of the constructor."""
    backend: Backend = Fixed()
    owned: AttributesBackend = Owned()
    assert_type(isinstance(owned, AttributesBackend), bool)
    CloudMap.from_env(ttl=5, region="eu-west-1")
    return CloudMap(
        region="eu-west-1",
        endpoint_url=None,
        cache=CachePolicy(ttl=60, refresh="inline"),
        connections=ConnectionPolicy(max_connections=32),
        backend=backend,
        shared=False,
        on_event=listen,
    )


async def ask(cloud_map: CloudMap) -> None:
    """Handles and their methods."""
    orders = cloud_map.service("shop/orders", health="ALL", where={"STAGE": "live"}, prefer={"ZONE": "a"})
    cloud_map.service(ServiceName("shop", "orders"), health=HealthFilter.HEALTHY, cache=CachePolicy(ttl=1))
    assert_type(orders, Service)
    assert_type(orders.name, ServiceName)
    assert_type(orders.query, Query)
    assert_type(await orders.resolve(), Snapshot)
    assert_type(await orders.resolve(max_age=0), Snapshot)
    assert_type(await orders.pick(), Instance)
    assert_type(await orders.attributes(), ServiceAttributes)
    own: Mapping[str, str] = await orders.attributes()
    assert_type(own["OWNER"], str)
    assert_type(orders.peek(), Snapshot | None)
    assert_type(orders.explain(), Explanation)
    assert_type(await orders.attribute("QUEUE_URL"), str)
    assert_type(await orders.attribute("WEIGHT", int), int)
    assert_type(await orders.attribute("WEIGHT", int, default=None), int | None)
    assert_type(await orders.attribute("QUEUE_URL", default=None), str | None)
    assert_type(await orders.attribute("QUEUE_URL", default=""), str)


async def look(snapshot: Snapshot) -> None:
    """A snapshot is a sequence of instances."""
    everything: Sequence[Instance] = snapshot
    assert_type(everything[0], Instance)
    assert_type(snapshot[0], Instance)
    assert_type(snapshot[:2], tuple[Instance, ...])
    assert_type([instance.id for instance in snapshot], list[str])
    assert_type(snapshot.values("ZONE"), tuple[str, ...])
    assert_type(snapshot.revision, int | None)
    assert_type(snapshot[0].attributes, Mapping[str, str])
    assert_type(snapshot[0].host, str | None)
    assert_type(snapshot[0].hosts, tuple[str, ...])
    assert_type(snapshot[0].port, int | None)


async def use(cloud_map: CloudMap) -> None:
    """The rest of CloudMap."""
    async with cloud_map as same:
        assert_type(same, CloudMap)
    await cloud_map.prefetch("shop/orders", cloud_map.service("shop/payments"), required=True)
    assert_type(await cloud_map.client("sqs"), Any)
    assert_type(await cloud_map.http_session(), aiohttp.ClientSession)
    assert_type(cloud_map.invalidate("shop/orders"), int)
    assert_type(cloud_map.clear(), int)
    assert_type(cloud_map.stats(), Stats)
    cloud_map.before_snapshot()
    cloud_map.after_restore()
    await cloud_map.aclose()


async def connect(cloud_map: CloudMap) -> None:
    """By host name; one transport works with both libraries."""
    resolver = CloudMapResolver(
        cloud_map, namespaces=["shop"], zone="eu-west-1a", health="ALL", fallback=aiohttp.ThreadedResolver()
    )
    aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)
    transport = CloudMapTransport(
        cloud_map, namespaces=("shop",), zone=None, health=HealthFilter.HEALTHY, verify=False, limits=httpx2.Limits()
    )
    httpx2.AsyncClient(transport=transport, mounts={"all://*.shop": transport})
    httpx.AsyncClient(transport=transport, mounts={"all://*.shop": transport})
    assert_type(await transport.handle_async_request(httpx2.Request("GET", "http://orders.shop/")), httpx2.Response)
    assert_type(await transport.handle_async_request(httpx.Request("GET", "http://orders.shop/")), httpx.Response)
    assert_type(await cloud_map.service("shop/orders").grpc_target(), str)


async def fail(orders: Service) -> None:
    """The fields of errors."""
    try:
        await orders.pick()
    except NotFoundError as error:
        assert_type(error.service, str | None)
    except UnavailableError as error:
        assert_type(error.retry_after, float | None)
    except CloudMapError as error:
        assert_type(error.last_good_age, float | None)
    try:
        CachePolicy(ttl=-1)
    except ValueError as error:
        assert isinstance(error, ConfigurationError)


async def work() -> None:
    """A worker."""
    try:
        async with until_sigterm() as stop:
            assert_type(stop, asyncio.Event)
        async with until_sigterm(drain_timeout=25):
            pass
    except NotDrainedError as error:
        late: TimeoutError = error
        assert_type(late.args, tuple[Any, ...])


@async_handler
async def bare(event: dict[str, str], context: object, *, suffix: str = "") -> str:
    """The decorator keeps its signature."""
    return event["order"] + suffix


@async_handler(margin=0.25)
async def with_margin(event: list[int], context: object) -> int:
    """With arguments of the decorator."""
    return event[0]


def handle() -> None:
    """Decorated handlers are plain functions with the same arguments."""
    assert_type(bare({"order": "7"}, None), str)
    assert_type(bare(event={"order": "7"}, context=None, suffix="!"), str)
    assert_type(with_margin([1], None), int)
    runtime_handler: Callable[[list[int], object], int] = with_margin
    assert_type(runtime_handler([1], None), int)


async def test(cloud_map_world: FakeWorld, cloud_map_clock: ManualClock, cloud_map_server: LocalCloudMap) -> None:
    """The fixtures of the pytest plugin."""
    cloud_map_world.register("shop/orders", "orders-1", {"QUEUE_URL": "here"}, owner_account=None)
    cloud_map_world.set_health("shop/orders", "orders-1", "UNHEALTHY")
    with cloud_map_world.fail(
        "RequestLimitExceeded", next=2, operation="DiscoverInstances", service="shop/orders"
    ) as on:
        assert_type(on.hits, int)
    cloud_map_world.delay(0.2, next=1).clear()
    assert_type(cloud_map_world.calls["DiscoverInstances"], int)
    cloud_map_clock.tick(31)
    assert_type(cloud_map_server.endpoint_url, str)
    assert_type(cloud_map_server.environment, dict[str, str])
    with every_cloud_map(backend=cloud_map_world.backend, clock=cloud_map_clock):
        await ask(CloudMap())
