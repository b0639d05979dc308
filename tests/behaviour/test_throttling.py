"""Throttling by AWS: the whole engine backs off. Other failures affect their own key only."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import ConnectError, ThrottledError


async def test_throttling_applies_to_the_whole_engine(stage):
    """While one key is throttled, others get the answer in memory or the error, without a call."""
    cloud_map = stage.cloud_map()
    orders, other = cloud_map.service("shop/orders"), cloud_map.service("shop/other")
    await orders.resolve()
    stage.clock.tick(60)
    stage.faults.throttle(next=1)
    with pytest.raises(ThrottledError) as first:
        await other.resolve()
    # The throttled key also has its own backoff, which may be longer.
    assert 0.25 <= first.value.retry_after < 0.5
    assert len(stage.at_once(orders.resolve())) == 1
    with pytest.raises(ThrottledError) as second:
        stage.at_once(cloud_map.service("shop/third").resolve())
    assert 0.25 <= second.value.retry_after <= first.value.retry_after
    assert str(second.value).startswith("shop/third: ")
    assert stage.calls == 2


async def test_every_key_may_ask_after_throttling_ends(stage):
    """After the wait, every key may ask again."""
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


async def test_the_wait_doubles_while_throttled_and_resets_with_an_answer(stage):
    """Each throttled attempt doubles the wait. The first answer resets it to half a second."""
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


async def test_calls_throttled_together_double_the_wait_once(stage):
    """Ten calls throttled at the same time count as one event."""
    cloud_map = stage.cloud_map()
    stage.faults.throttle()
    handles = [cloud_map.service(f"shop/s{number}") for number in range(10)]
    errors = await asyncio.gather(*(handle.resolve() for handle in handles), return_exceptions=True)
    assert all(isinstance(error, ThrottledError) and error.retry_after < 0.5 for error in errors)


async def test_other_failures_affect_their_own_key_only(stage):
    """A failed connection for one key does not delay another."""
    cloud_map = stage.cloud_map()
    stage.faults.reset(service="shop/other")
    with pytest.raises(ConnectError):
        await cloud_map.service("shop/other").resolve()
    assert len(await cloud_map.service("shop/orders").resolve()) == 1
