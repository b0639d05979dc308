"""AWS throttles: the whole engine waits, and comes back; other failures hold back their own key."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import ConnectError, ThrottledError


async def test_throttling_holds_back_the_whole_engine(stage):
    """One throttled key sets a floor for all: others get what is in memory, or the error, and AWS is not asked."""
    cloud_map = stage.cloud_map()
    orders, other = cloud_map.service("shop/orders"), cloud_map.service("shop/other")
    await orders.resolve()
    stage.clock.tick(60)
    stage.faults.throttle(next=1)
    with pytest.raises(ThrottledError) as first:
        await other.resolve()
    # The throttled key has a backoff of its own besides, which may be the longer one.
    assert 0.25 <= first.value.retry_after < 0.5
    assert len(stage.at_once(orders.resolve())) == 1
    with pytest.raises(ThrottledError) as second:
        stage.at_once(cloud_map.service("shop/third").resolve())
    assert 0.25 <= second.value.retry_after <= first.value.retry_after
    assert str(second.value).startswith("shop/third: ")
    assert stage.calls == 2


async def test_the_floor_ends(stage):
    """After the floor, every key may ask again."""
    cloud_map = stage.cloud_map()
    orders, other = cloud_map.service("shop/orders"), cloud_map.service("shop/other")
    await orders.resolve()
    stage.world.register("shop/other", "other-1", {"A": "1"})
    stage.clock.tick(60)
    stage.faults.throttle(next=1)
    with pytest.raises(ThrottledError) as caught:
        await other.resolve()
    stage.clock.tick(caught.value.retry_after)
    assert len(await orders.resolve()) == 1
    assert len(await other.resolve()) == 1
    assert stage.calls == 4


async def test_the_floor_rises_while_throttling_goes_on_and_falls_with_an_answer(stage):
    """Each throttled attempt doubles the floor; the first answer brings it back to half a second."""
    cloud_map = stage.cloud_map()
    stage.faults.throttle(next=4)
    for number in range(4):
        with pytest.raises(ThrottledError) as caught:
            await cloud_map.service(f"shop/s{number}").resolve()
        assert 0.25 * 2**number - 1e-6 <= caught.value.retry_after < 0.5 * 2**number
        stage.clock.tick(caught.value.retry_after)
    await cloud_map.service("shop/orders").resolve()
    stage.faults.throttle()
    with pytest.raises(ThrottledError) as caught:
        await cloud_map.service("shop/s9").resolve()
    assert caught.value.retry_after < 0.5


async def test_calls_that_are_throttled_together_raise_the_floor_once(stage):
    """Ten keys under way when AWS throttles are one event, not ten doublings."""
    cloud_map = stage.cloud_map()
    stage.faults.throttle()
    handles = [cloud_map.service(f"shop/s{number}") for number in range(10)]
    errors = await asyncio.gather(*(handle.resolve() for handle in handles), return_exceptions=True)
    assert all(isinstance(error, ThrottledError) and error.retry_after < 0.5 for error in errors)


async def test_other_failures_hold_back_their_own_key_only(stage):
    """A connection that breaks for one key does not keep another from asking."""
    cloud_map = stage.cloud_map()
    stage.faults.reset(service="shop/other")
    with pytest.raises(ConnectError):
        await cloud_map.service("shop/other").resolve()
    assert len(await cloud_map.service("shop/orders").resolve()) == 1
