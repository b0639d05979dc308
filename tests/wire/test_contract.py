"""The same behaviour with three backends: the local world in process, its server, and moto's server.

The tests use only what moto does as the real service does.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from aiocloudmap import (
    AttributeNotFoundError,
    CachePolicy,
    CloudMap,
    HealthFilter,
    NamespaceNotFoundError,
    NoInstancesError,
    ServiceName,
    ServiceNotFoundError,
)
from aiocloudmap.local import LocalCloudMap, Quotas, World
from aiocloudmap.local.cloud_map import local_session
from aiocloudmap.testing import ManualClock

POLICY = CachePolicy(jitter=0, refresh="background")


@dataclass
class Source:
    """A backend, and functions to fill it."""

    make: Callable[..., CloudMap]
    register: Callable[[str, str, dict[str, str]], Any]
    add_service: Callable[[str], Any]


@pytest.fixture(params=["in process", "server", "moto"])
def source(request, moto_url, clock):
    def make(**settings: Any) -> CloudMap:
        return CloudMap(**({"cache": POLICY, "clock": clock} | settings))

    if request.param == "moto":
        with contextlib.ExitStack() as exits:
            yield moto_source(moto_url, make, exits)
        return
    world = World(quotas=Quotas.unlimited())
    with LocalCloudMap(world) as local:
        in_process = request.param == "in process"

        def make_local(**settings: Any) -> CloudMap:
            return local.cloud_map(in_process=in_process, **({"cache": POLICY, "clock": clock} | settings))

        yield Source(make_local, world.register, world.add_service)


@pytest.fixture
def clock():
    return ManualClock()


def moto_source(url: str, make: Callable[..., CloudMap], exits: contextlib.ExitStack) -> Source:
    """moto, without namespaces of earlier tests. Namespaces and services are created when they are needed."""
    control = boto3.client(
        "servicediscovery", "eu-west-1", endpoint_url=url, aws_access_key_id="local", aws_secret_access_key="local"
    )
    exits.callback(control.close)
    for namespace in control.list_namespaces()["Namespaces"]:
        control.delete_namespace(Id=namespace["Id"])
    namespaces: dict[str, str] = {}
    services: dict[str, str] = {}

    def add_service(name: str) -> None:
        parsed = ServiceName.parse(name)
        if parsed.namespace not in namespaces:
            operation = control.create_http_namespace(Name=parsed.namespace)["OperationId"]
            namespaces[parsed.namespace] = control.get_operation(OperationId=operation)["Operation"]["Targets"][
                "NAMESPACE"
            ]
        made = control.create_service(Name=parsed.service, NamespaceId=namespaces[parsed.namespace])
        services[name] = made["Service"]["Id"]

    def register(name: str, instance: str, attributes: dict[str, str]) -> None:
        if name not in services:
            add_service(name)
        control.register_instance(ServiceId=services[name], InstanceId=instance, Attributes=attributes)

    def make_moto(**settings: Any) -> CloudMap:
        return make(endpoint_url=url, region="eu-west-1", session_factory=local_session, **settings)

    return Source(make_moto, register, add_service)


async def test_instances_are_typed_and_sorted(source):
    """resolve() returns the complete set, sorted by id, with its attributes."""
    for number in (3, 1, 2):
        source.register("shop/orders", f"orders-{number}", {"QUEUE_URL": f"https://{number}"})
    async with source.make() as cloud_map:
        snapshot = await cloud_map.service("shop/orders").resolve()
    assert [instance.id for instance in snapshot] == ["orders-1", "orders-2", "orders-3"]
    assert snapshot.values("QUEUE_URL") == ("https://1", "https://2", "https://3")
    assert all(instance.service == ServiceName("shop", "orders") for instance in snapshot)


async def test_where_filters_and_prefer_prefers(source):
    """All of `where` must match; `prefer` applies if anything matches."""
    source.register("shop/orders", "live", {"STAGE": "live", "ZONE": "a"})
    source.register("shop/orders", "test", {"STAGE": "test", "ZONE": "b"})
    async with source.make() as cloud_map:
        orders = cloud_map.service

        async def ids(**filters: Any) -> list[str]:
            return [instance.id for instance in await orders("shop/orders", **filters).resolve()]

        assert await ids(where={"STAGE": "live"}) == ["live"]
        assert await ids(where={"STAGE": "live", "ZONE": "b"}) == []
        assert await ids(prefer={"ZONE": "b"}) == ["test"]
        assert await ids(prefer={"ZONE": "c"}) == ["live", "test"]


async def test_unknown_namespaces_and_services_have_different_errors(source):
    """Each message has the name."""
    source.register("shop/orders", "one", {})
    async with source.make() as cloud_map:
        with pytest.raises(NamespaceNotFoundError, match="nowhere/orders"):
            await cloud_map.service("nowhere/orders").resolve()
        with pytest.raises(ServiceNotFoundError, match="shop/nothing"):
            await cloud_map.service("shop/nothing").resolve()


async def test_an_empty_service_is_an_answer_but_pick_fails(source):
    """resolve() returns an empty snapshot; pick() raises NoInstancesError."""
    source.add_service("shop/empty")
    async with source.make() as cloud_map:
        empty = cloud_map.service("shop/empty")
        snapshot = await empty.resolve()
        assert not snapshot
        assert len(snapshot) == 0
        with pytest.raises(NoInstancesError, match="shop/empty"):
            await empty.pick()


async def test_a_missing_attribute_error_lists_the_available_ones(source):
    """In its message and in `available`."""
    source.register("shop/orders", "one", {"QUEUE_URL": "https://one", "OWNER": "team"})
    async with source.make() as cloud_map:
        with pytest.raises(AttributeNotFoundError, match=r"There are: OWNER, QUEUE_URL\.") as caught:
            await cloud_map.service("shop/orders").attribute("QUEUE-URL")
    assert caught.value.available == ("OWNER", "QUEUE_URL")


async def test_a_hundred_callers_of_a_cold_key_share_one_call(source):
    """For every backend."""
    source.register("shop/orders", "one", {})
    async with source.make() as cloud_map:
        orders = cloud_map.service("shop/orders")
        answers = await asyncio.gather(*(orders.resolve() for _ in range(100)))
        assert len({id(answer) for answer in answers}) == 1
        assert cloud_map.stats().refreshes == 1


async def test_cancelling_nine_of_ten_leaves_one_answer(source):
    """For every backend."""
    source.register("shop/orders", "one", {})
    async with source.make() as cloud_map:
        tasks = [asyncio.create_task(cloud_map.service("shop/orders").resolve()) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[:9]:
            task.cancel()
        assert len(await tasks[9]) == 1
        assert cloud_map.stats().refreshes == 1
        await asyncio.wait(tasks)


async def test_answers_age_and_are_renewed(source, clock):
    """Fresh, then stale with a background refresh, then the new answer."""
    source.register("shop/orders", "one", {})
    async with source.make() as cloud_map:
        orders = cloud_map.service("shop/orders")
        await orders.resolve()
        source.register("shop/orders", "two", {})
        clock.tick(29)
        assert len(await orders.resolve()) == 1
        clock.tick(1)
        assert len(await orders.resolve()) == 1
        while orders.explain().in_flight:
            await asyncio.sleep(0.001)
        assert len(await orders.resolve()) == 2
        assert cloud_map.stats().refreshes == 2


async def test_invalidate_makes_the_next_caller_fetch(source):
    """A not-found error is cached until then."""
    async with source.make() as cloud_map:
        late = cloud_map.service("shop/late")
        for _ in range(3):
            with pytest.raises((NamespaceNotFoundError, ServiceNotFoundError)):
                await late.resolve()
        assert cloud_map.stats().refreshes == 1
        source.register("shop/late", "one", {})
        late.invalidate()
        assert len(await late.resolve()) == 1


async def test_max_age_zero_fetches_a_new_answer(source):
    """It also replaces the cached one."""
    source.register("shop/orders", "one", {})
    async with source.make() as cloud_map:
        orders = cloud_map.service("shop/orders")
        await orders.resolve()
        source.register("shop/orders", "two", {})
        assert len(await orders.resolve(max_age=0)) == 2
        assert len(orders.peek() or ()) == 2


async def test_the_health_filter_is_sent(source):
    """Instances without a health check match every filter."""
    source.register("shop/orders", "one", {})
    async with source.make() as cloud_map:
        assert len(await cloud_map.service("shop/orders", health=HealthFilter.ALL).resolve()) == 1
        assert len(await cloud_map.service("shop/orders", health="HEALTHY").resolve()) == 1
