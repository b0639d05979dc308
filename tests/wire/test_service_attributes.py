"""`Service.attributes()` over the wire, against the local server and moto's."""

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
NO_HOLD = CachePolicy(empty_hold_time=0)
BACKENDS = pytest.mark.parametrize("in_process", [False, True], ids=["over the wire", "in process"])


@pytest.fixture
async def local():
    async with LocalCloudMap() as local:
        local.world.add_service("shop/orders", attributes={"OWNER": "team-a"})
        yield local


def control_plane_calls(local) -> dict[str, int]:
    """The calls to the control plane so far."""
    return {name: local.stats.calls[name] for name in ("ListNamespaces", "ListServices", "GetServiceAttributes")}


@BACKENDS
async def test_both_backends_return_the_same_attributes_and_errors(local, in_process):
    """For shared namespaces too."""
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


async def test_an_id_is_looked_up_once_for_all_callers(local):
    """A hundred callers cost one call to each operation; a later refresh costs one call in all."""
    async with local.cloud_map(cache=NO_HOLD) as cloud_map:
        handles = [cloud_map.service("shop/orders", where={"N": str(n)}) for n in range(100)]
        answers = await asyncio.gather(*(handle.attributes() for handle in handles))
        assert answers == [{"OWNER": "team-a"}] * 100
        assert control_plane_calls(local) == {"ListNamespaces": 1, "ListServices": 1, "GetServiceAttributes": 1}
        cloud_map.invalidate()
        await cloud_map.service("shop/orders").attributes()
        assert control_plane_calls(local) == {"ListNamespaces": 1, "ListServices": 1, "GetServiceAttributes": 2}
    assert local.stats.calls["DiscoverInstances"] == 0


async def test_a_recreated_service_is_looked_up_again(local):
    """AWS no longer knows the old id; the caller does not notice."""
    async with local.cloud_map() as cloud_map:
        orders = cloud_map.service("shop/orders")
        await orders.attributes()
        local.world.remove_service("shop/orders")
        local.world.add_service("shop/orders", attributes={"OWNER": "team-b"})
        orders.invalidate()
        assert await orders.attributes() == {"OWNER": "team-b"}
        assert control_plane_calls(local) == {"ListNamespaces": 2, "ListServices": 2, "GetServiceAttributes": 3}


async def test_a_deleted_service_is_looked_up_once_more(local):
    """The old id is forgotten, and the list does not have another one."""
    async with local.cloud_map(cache=NO_HOLD) as cloud_map:
        orders = cloud_map.service("shop/orders")
        await orders.attributes()
        local.world.remove_service("shop/orders")
        orders.invalidate()
        with pytest.raises(ServiceNotFoundError) as caught:
            await orders.attributes()
        assert control_plane_calls(local) == {"ListNamespaces": 2, "ListServices": 2, "GetServiceAttributes": 2}
        assert "spelling" in caught.value.advice


@pytest.mark.parametrize("operation", ["ListNamespaces", "ListServices", "GetServiceAttributes"])
async def test_a_throttled_control_plane_leaves_discovery_alone(operation):
    """The message names the control plane's rates."""
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


async def test_access_denied_names_the_needed_permissions(local):
    """DiscoverInstances is not one of them."""
    with local.faults.access_denied(operation="ListServices"):
        async with local.cloud_map() as cloud_map:
            with pytest.raises(AccessDeniedError) as caught:
                await cloud_map.service("shop/orders").attributes()
    for action in ("GetServiceAttributes", "ListNamespaces", "ListServices"):
        assert f"servicediscovery:{action}" in caught.value.advice
    assert "DiscoverInstances" not in str(caught.value)


async def test_pages_without_a_match_do_not_end_the_search(local):
    """AWS filters a page after reading it."""
    for number in range(120):
        local.world.add_service(f"other/service-{number}")
    local.world.add_service("shop/late", attributes={"OWNER": "late"})
    async with local.cloud_map() as cloud_map:
        assert await cloud_map.service("shop/late").attributes() == {"OWNER": "late"}
    assert control_plane_calls(local) == {"ListNamespaces": 1, "ListServices": 2, "GetServiceAttributes": 1}


async def test_moto_returns_the_same(moto_url):
    """Its state belongs to the process and it ignores filters, so the names here are unique."""
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
