"""prefetch(): fetch several services at once, before they are needed."""

import asyncio

import pytest

from aiocloudmap import CloudMap, ConfigurationError, ConnectionPolicy, ServiceNotFoundError, UnavailableError


async def test_prefetch_fetches_each_service_once_and_skips_fresh_ones(stage):
    """Names, handles and repetitions of one service are one query."""
    stage.world.register("shop/payments", "payments-1", {})
    cloud_map = stage.cloud_map()
    await cloud_map.service("shop/orders").resolve()
    await cloud_map.prefetch("shop/orders", "shop/payments", cloud_map.service("shop/payments"))
    assert stage.calls == 2
    assert cloud_map.service("shop/payments").peek() is not None


async def test_prefetch_is_limited_by_max_connections_per_host(stage):
    """A prefetch of many services is not a burst."""
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


async def test_a_failed_prefetch_is_not_an_error_unless_required(stage):
    """A service that is down must not keep a process from starting."""
    cloud_map = stage.cloud_map()
    await cloud_map.prefetch("shop/orders", "shop/nothing")
    assert cloud_map.service("shop/orders").peek() is not None


async def test_required_raises_one_group_after_all_calls(stage):
    """The group holds every failure, and the other answers are in memory."""
    stage.faults.server_error(service="shop/broken")
    stage.world.register("shop/broken", "one", {})
    cloud_map = stage.cloud_map()
    with pytest.raises(ExceptionGroup, match="2 of 3") as caught:
        await cloud_map.prefetch("shop/nothing", "shop/broken", "shop/orders", required=True)
    assert [type(error) for error in caught.value.exceptions] == [ServiceNotFoundError, UnavailableError]
    assert cloud_map.service("shop/orders").peek() is not None


async def test_an_invalid_name_is_refused_before_any_call(stage):
    """Invalid input costs no call."""
    with pytest.raises(ConfigurationError, match="orders"):
        await stage.cloud_map().prefetch("shop/orders", "orders")
    assert stage.calls == 0


async def test_prefetch_always_raises_a_configuration_error():
    """Without a Region no call can succeed: the error is neither hidden nor wrapped."""
    cloud_map = CloudMap(shared=False)
    with pytest.raises(ConfigurationError, match="Region"):
        await cloud_map.prefetch("shop/orders", "shop/payments")
