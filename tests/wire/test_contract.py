"""The same behaviour whatever answers: the local world in process, its server, and moto's server.

Only what moto does as the real service does is asked of all three.
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
class Answering:
    """Something that answers, and a way to fill it."""

    make: Callable[..., CloudMap]
    register: Callable[[str, str, dict[str, str]], Any]
    add_service: Callable[[str], Any]


@pytest.fixture(params=["in process", "server", "moto"])
def answering(request, moto_url, clock):
    def make(**settings: Any) -> CloudMap:
        return CloudMap(**({"cache": POLICY, "clock": clock} | settings))

    if request.param == "moto":
        with contextlib.ExitStack() as exits:
            yield answering_moto(moto_url, make, exits)
        return
    world = World(quotas=Quotas.unlimited())
    with LocalCloudMap(world) as local:
        in_process = request.param == "in process"

        def make_local(**settings: Any) -> CloudMap:
            return local.cloud_map(in_process=in_process, **({"cache": POLICY, "clock": clock} | settings))

        yield Answering(make_local, world.register, world.add_service)


@pytest.fixture
def clock():
    return ManualClock()


def answering_moto(url: str, make: Callable[..., CloudMap], exits: contextlib.ExitStack) -> Answering:
    """Namespaces and services are made as they are needed, all new for each test."""
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

    return Answering(make_moto, register, add_service)


async def test_every_instance_comes_typed_and_sorted(answering):
    """resolve() gives the complete set, sorted by id, with the attributes that were registered."""
    for number in (3, 1, 2):
        answering.register("shop/orders", f"orders-{number}", {"QUEUE_URL": f"https://{number}"})
    async with answering.make() as cloud_map:
        snapshot = await cloud_map.service("shop/orders").resolve()
    assert [instance.id for instance in snapshot] == ["orders-1", "orders-2", "orders-3"]
    assert snapshot.values("QUEUE_URL") == ("https://1", "https://2", "https://3")
    assert all(instance.service == ServiceName("shop", "orders") for instance in snapshot)


async def test_where_filters_and_prefer_prefers(answering):
    """All of `where` must match; `prefer` counts where anything matches it."""
    answering.register("shop/orders", "live", {"STAGE": "live", "ZONE": "a"})
    answering.register("shop/orders", "test", {"STAGE": "test", "ZONE": "b"})
    async with answering.make() as cloud_map:
        orders = cloud_map.service

        async def ids(**filters: Any) -> list[str]:
            return [instance.id for instance in await orders("shop/orders", **filters).resolve()]

        assert await ids(where={"STAGE": "live"}) == ["live"]
        assert await ids(where={"STAGE": "live", "ZONE": "b"}) == []
        assert await ids(prefer={"ZONE": "b"}) == ["test"]
        assert await ids(prefer={"ZONE": "c"}) == ["live", "test"]


async def test_unknown_namespace_and_unknown_service_are_told_apart(answering):
    """Two mistakes, two errors, each with the name in it."""
    answering.register("shop/orders", "one", {})
    async with answering.make() as cloud_map:
        with pytest.raises(NamespaceNotFoundError, match="nowhere/orders"):
            await cloud_map.service("nowhere/orders").resolve()
        with pytest.raises(ServiceNotFoundError, match="shop/nothing"):
            await cloud_map.service("shop/nothing").resolve()


async def test_an_empty_service_is_an_answer_and_pick_has_nothing_to_pick(answering):
    """No instance is no error of resolve(), and a named one of pick()."""
    answering.add_service("shop/empty")
    async with answering.make() as cloud_map:
        empty = cloud_map.service("shop/empty")
        snapshot = await empty.resolve()
        assert not snapshot
        assert len(snapshot) == 0
        with pytest.raises(NoInstancesError, match="shop/empty"):
            await empty.pick()


async def test_a_missing_attribute_lists_those_that_are_there(answering):
    """The message is what somebody needs who has mistyped a key."""
    answering.register("shop/orders", "one", {"QUEUE_URL": "https://one", "OWNER": "team"})
    async with answering.make() as cloud_map:
        with pytest.raises(AttributeNotFoundError, match=r"There are: OWNER, QUEUE_URL\.") as caught:
            await cloud_map.service("shop/orders").attribute("QUEUE-URL")
    assert caught.value.available == ("OWNER", "QUEUE_URL")


async def test_a_hundred_callers_of_a_cold_key_share_one_call(answering):
    """Over real sockets as in process."""
    answering.register("shop/orders", "one", {})
    async with answering.make() as cloud_map:
        orders = cloud_map.service("shop/orders")
        answers = await asyncio.gather(*(orders.resolve() for _ in range(100)))
        assert len({id(answer) for answer in answers}) == 1
        assert cloud_map.stats().refreshes == 1


async def test_cancelling_nine_of_ten_leaves_one_answer(answering):
    """Over real sockets as in process."""
    answering.register("shop/orders", "one", {})
    async with answering.make() as cloud_map:
        tasks = [asyncio.create_task(cloud_map.service("shop/orders").resolve()) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[:9]:
            task.cancel()
        assert len(await tasks[9]) == 1
        assert cloud_map.stats().refreshes == 1
        await asyncio.wait(tasks)


async def test_answers_age_and_are_renewed(answering, clock):
    """Fresh, stale with a refresh behind it, then the new answer."""
    answering.register("shop/orders", "one", {})
    async with answering.make() as cloud_map:
        orders = cloud_map.service("shop/orders")
        await orders.resolve()
        answering.register("shop/orders", "two", {})
        clock.tick(29)
        assert len(await orders.resolve()) == 1
        clock.tick(1)
        assert len(await orders.resolve()) == 1
        while orders.explain().in_flight:
            await asyncio.sleep(0.001)
        assert len(await orders.resolve()) == 2
        assert cloud_map.stats().refreshes == 2


async def test_invalidate_makes_the_next_caller_ask(answering):
    """And a not-found is remembered until then."""
    async with answering.make() as cloud_map:
        late = cloud_map.service("shop/late")
        for _ in range(3):
            with pytest.raises((NamespaceNotFoundError, ServiceNotFoundError)):
                await late.resolve()
        assert cloud_map.stats().refreshes == 1
        answering.register("shop/late", "one", {})
        late.invalidate()
        assert len(await late.resolve()) == 1


async def test_max_age_zero_sees_what_was_registered_a_moment_ago(answering):
    """A forced fetch costs one call and returns the truth."""
    answering.register("shop/orders", "one", {})
    async with answering.make() as cloud_map:
        orders = cloud_map.service("shop/orders")
        await orders.resolve()
        answering.register("shop/orders", "two", {})
        assert len(await orders.resolve(max_age=0)) == 2
        assert len(orders.peek() or ()) == 2


async def test_the_health_filter_is_sent(answering):
    """An instance without a health check counts as healthy for every filter that AWS would apply."""
    answering.register("shop/orders", "one", {})
    async with answering.make() as cloud_map:
        assert len(await cloud_map.service("shop/orders", health=HealthFilter.ALL).resolve()) == 1
        assert len(await cloud_map.service("shop/orders", health="HEALTHY").resolve()) == 1
