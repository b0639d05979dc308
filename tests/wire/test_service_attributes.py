"""`Service.attributes()` over the wire: the local server, and moto's where it does as the real service does."""

from __future__ import annotations

import asyncio
import uuid

import boto3
import pytest

from aiocloudmap import (
    AccessDeniedError,
    CachePolicy,
    CloudMap,
    ConnectionPolicy,
    NamespaceNotFoundError,
    ServiceNotFoundError,
    ThrottledError,
)
from aiocloudmap.local import LocalCloudMap, World
from aiocloudmap.local.cloud_map import local_session
from aiocloudmap.testing import ManualClock

OWNER = "210987654321"
ONE_ATTEMPT = ConnectionPolicy(max_attempts=1, discovery_timeout=5)
BELIEVING = CachePolicy(empty_hold_time=0)
WAYS = pytest.mark.parametrize("in_process", [False, True], ids=["over the wire", "in process"])


@pytest.fixture
async def local():
    async with LocalCloudMap() as local:
        local.world.add_service("shop/orders", attributes={"OWNER": "team-a"})
        yield local


def walked(local) -> dict[str, int]:
    """Calls to the control plane so far."""
    return {name: local.stats.calls[name] for name in ("ListNamespaces", "ListServices", "GetServiceAttributes")}


@WAYS
async def test_both_ways_give_the_same_attributes_and_errors(local, in_process):
    """Shared namespaces with them."""
    local.world.add_service("theirs/orders", attributes={"OWNER": "theirs"}, owner_account=OWNER)
    async with local.cloud_map(in_process=in_process) as cloud_map:
        assert await cloud_map.service("shop/orders").attributes() == {"OWNER": "team-a"}
        assert await cloud_map.service("theirs/orders", owner_account=OWNER).attributes() == {"OWNER": "theirs"}
        for name, kind in (
            ("unknown/orders", NamespaceNotFoundError),
            ("theirs/orders", NamespaceNotFoundError),
            ("shop/unknown", ServiceNotFoundError),
        ):
            with pytest.raises(kind) as caught:
                await cloud_map.service(name).attributes()
            assert str(caught.value.service) == name


async def test_the_id_is_learnt_once_whoever_asks(local):
    """A hundred callers: one call to each; later refreshes: one call in all."""
    async with local.cloud_map(cache=BELIEVING) as cloud_map:
        handles = [cloud_map.service("shop/orders", where={"N": str(n)}) for n in range(100)]
        answers = await asyncio.gather(*(handle.attributes() for handle in handles))
        assert answers == [{"OWNER": "team-a"}] * 100
        assert walked(local) == {"ListNamespaces": 1, "ListServices": 1, "GetServiceAttributes": 1}
        cloud_map.invalidate()
        await cloud_map.service("shop/orders").attributes()
        assert walked(local) == {"ListNamespaces": 1, "ListServices": 1, "GetServiceAttributes": 2}
    assert local.stats.calls["DiscoverInstances"] == 0


async def test_a_service_that_was_made_anew_is_learnt_anew(local):
    """AWS says that it does not know the old id; the caller never hears of it."""
    async with local.cloud_map() as cloud_map:
        orders = cloud_map.service("shop/orders")
        await orders.attributes()
        local.world.remove_service("shop/orders")
        local.world.add_service("shop/orders", attributes={"OWNER": "team-b"})
        orders.invalidate()
        assert await orders.attributes() == {"OWNER": "team-b"}
        assert walked(local) == {"ListNamespaces": 2, "ListServices": 2, "GetServiceAttributes": 3}


async def test_a_service_that_is_gone_is_looked_for_once_more_and_not_found(local):
    """Not for ever: the old id is forgotten, and the list says that there is no other."""
    async with local.cloud_map(cache=BELIEVING) as cloud_map:
        orders = cloud_map.service("shop/orders")
        await orders.attributes()
        local.world.remove_service("shop/orders")
        orders.invalidate()
        with pytest.raises(ServiceNotFoundError) as caught:
            await orders.attributes()
        assert walked(local) == {"ListNamespaces": 2, "ListServices": 2, "GetServiceAttributes": 2}
        assert "spelling" in caught.value.advice


@pytest.mark.parametrize("operation", ["ListNamespaces", "ListServices", "GetServiceAttributes"])
async def test_a_throttled_control_plane_leaves_discovery_alone(operation):
    """And says which rates are meant."""
    world = World(clock=ManualClock())
    world.register("shop/orders", "a", {})
    async with LocalCloudMap(world) as local, local.cloud_map(connections=ONE_ATTEMPT) as cloud_map:
        orders = cloud_map.service("shop/orders")
        with local.faults.throttle(operation=operation):
            for _ in range(3):  # the clock stands still: the backoff is not over
                with pytest.raises(ThrottledError, match="control plane") as caught:
                    await orders.attributes()
        assert 0.25 <= caught.value.retry_after <= 0.5
        assert local.stats.calls[operation] == 1
        assert len(await orders.resolve()) == 1


async def test_the_actions_that_are_needed_are_named(local):
    """Not that of DiscoverInstances."""
    with local.faults.access_denied(operation="ListServices"):
        async with local.cloud_map() as cloud_map:
            with pytest.raises(AccessDeniedError) as caught:
                await cloud_map.service("shop/orders").attributes()
    for action in ("GetServiceAttributes", "ListNamespaces", "ListServices"):
        assert f"servicediscovery:{action}" in caught.value.advice
    assert "DiscoverInstances" not in str(caught.value)


async def test_pages_without_what_is_looked_for_are_no_end(local):
    """AWS filters after reading a page."""
    for number in range(120):
        local.world.add_service(f"other/service-{number}")
    local.world.add_service("shop/late", attributes={"OWNER": "late"})
    async with local.cloud_map() as cloud_map:
        assert await cloud_map.service("shop/late").attributes() == {"OWNER": "late"}
    assert walked(local) == {"ListNamespaces": 1, "ListServices": 2, "GetServiceAttributes": 1}


async def test_moto_gives_the_same(moto_url):
    """Another server, written by others. Its state is the process's, and it ignores filters: so names are its own."""
    boto = boto3.client(
        "servicediscovery",
        region_name="eu-west-1",
        endpoint_url=moto_url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    shop = f"shop-{uuid.uuid4()}"
    boto.create_http_namespace(Name=shop)
    namespace = next(each["Id"] for each in boto.list_namespaces()["Namespaces"] if each["Name"] == shop)
    service = boto.create_service(Name=f"orders-of-{shop}", NamespaceId=namespace)["Service"]["Id"]
    boto.update_service_attributes(ServiceId=service, Attributes={"OWNER": "team-a"})
    boto.close()
    settings = {"endpoint_url": moto_url, "region": "eu-west-1", "session_factory": local_session, "shared": False}
    async with CloudMap(**settings) as cloud_map:
        assert await cloud_map.service(f"{shop}/orders-of-{shop}").attributes() == {"OWNER": "team-a"}
        with pytest.raises(ServiceNotFoundError):
            await cloud_map.service(f"{shop}/unknown").attributes()
        with pytest.raises(NamespaceNotFoundError):
            await cloud_map.service(f"unknown-{shop}/orders").attributes()
