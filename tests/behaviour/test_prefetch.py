"""prefetch(): several services at once, before somebody waits for one."""

import asyncio

import pytest

from aiocloudmap import CloudMap, ConfigurationError, ConnectionPolicy, ServiceNotFoundError, UnavailableError


async def test_it_fetches_each_service_once_and_skips_fresh_ones(stage):
    """Names, handles and repetitions are all one question each."""
    stage.world.register("shop/payments", "payments-1", {})
    cloud_map = stage.cloud_map()
    await cloud_map.service("shop/orders").resolve()
    await cloud_map.prefetch("shop/orders", "shop/payments", cloud_map.service("shop/payments"))
    assert stage.calls == 2
    assert cloud_map.service("shop/payments").peek() is not None


async def test_it_never_has_more_calls_under_way_than_connections_to_one_host(stage):
    """A prefetch of everything is not a burst."""
    names = [f"shop/service-{n}" for n in range(20)]
    for name in names:
        stage.world.register(name, "one", {})
    cloud_map = stage.cloud_map(connections=ConnectionPolicy(max_connections_per_host=3))
    stage.faults.hold()
    running = asyncio.create_task(cloud_map.prefetch(*names))
    await asyncio.wait_for(stage.faults.until_held(3), 5)
    await stage.settle()
    assert stage.faults.held == 3
    stage.faults.release()
    await running
    assert stage.calls == 20


async def test_what_cannot_be_had_is_no_error_unless_it_is_required(stage):
    """A service that is down must not keep a process from starting."""
    cloud_map = stage.cloud_map()
    await cloud_map.prefetch("shop/orders", "shop/nothing")
    assert cloud_map.service("shop/orders").peek() is not None


async def test_required_raises_one_group_after_all_were_tried(stage):
    """The group holds every failure, and the others are in memory."""
    stage.faults.server_error(service="shop/broken")
    stage.world.register("shop/broken", "one", {})
    cloud_map = stage.cloud_map()
    with pytest.raises(ExceptionGroup, match="2 of 3") as caught:
        await cloud_map.prefetch("shop/nothing", "shop/broken", "shop/orders", required=True)
    assert [type(error) for error in caught.value.exceptions] == [ServiceNotFoundError, UnavailableError]
    assert cloud_map.service("shop/orders").peek() is not None


async def test_a_name_that_is_none_is_refused_before_anything_is_fetched(stage):
    """Bad input costs nothing."""
    with pytest.raises(ConfigurationError, match="orders"):
        await stage.cloud_map().prefetch("shop/orders", "orders")
    assert stage.calls == 0


async def test_a_wrong_configuration_is_raised_as_itself_whether_required_or_not():
    """Without a Region nothing can be had; that is never hidden, nor wrapped."""
    cloud_map = CloudMap(shared=False)
    with pytest.raises(ConfigurationError, match="Region"):
        await cloud_map.prefetch("shop/orders", "shop/payments")
