"""max_age: no older answer is returned, not even when the fetch fails."""

from __future__ import annotations

import asyncio
import math

import pytest

from aiocloudmap import (
    CachePolicy,
    ConfigurationError,
    DeadlineError,
    ServiceNotFoundError,
    ThrottledError,
    UnavailableError,
)

EPSILON = 0.001


async def test_an_answer_that_is_young_enough_costs_no_call(stage):
    """Up to max_age the answer in memory is returned. Beyond it, the caller gets a new one."""
    service = await stage.known()
    stage.clock.tick(10)
    assert stage.ids(stage.at_once(service.resolve(max_age=10))) == ["orders-1"]
    assert stage.ids(stage.at_once(service.resolve(max_age=math.inf))) == ["orders-1"]
    assert stage.calls == 1
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    assert stage.ids(await service.resolve(max_age=10 - EPSILON)) == ["orders-1", "orders-2"]
    assert stage.calls == 2


async def test_max_age_zero_forces_a_fetch(stage):
    """max_age=0 always asks AWS, and its answer serves every caller."""
    service = await stage.known()
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    assert stage.ids(await service.resolve(max_age=0)) == ["orders-1", "orders-2"]
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1", "orders-2"]
    assert stage.calls == 2


async def test_a_young_enough_stale_answer_is_returned_and_refreshed(stage):
    """max_age limits the age and does not require freshness."""
    service = await stage.known(ttl=10)
    stage.clock.tick(15)
    assert stage.ids(stage.at_once(service.resolve(max_age=15))) == ["orders-1"]
    await stage.settle()
    assert stage.calls == 2


@pytest.mark.parametrize("max_age", [0, 10])
@pytest.mark.parametrize("age", [0, 30, 60, 700])
async def test_nothing_older_is_returned_when_the_fetch_fails(stage, max_age, age):
    """A caller with max_age gets the error if the answer is too old. Others keep the answer."""
    service = await stage.known()
    stage.faults.server_error()
    stage.clock.tick(age)
    if max_age and age <= max_age:
        assert stage.ids(await service.resolve(max_age=max_age)) == ["orders-1"]
        return
    with pytest.raises(UnavailableError):
        await service.resolve(max_age=max_age)
    if age < 630:
        assert stage.ids(stage.at_once(service.resolve())) == ["orders-1"]


async def test_a_failed_forced_call_keeps_a_fresh_answer(stage):
    """Only the forcing caller gets the error. The answer lives until its ttl without another call."""
    service = await stage.known(ttl=30)
    stage.faults.server_error()
    with pytest.raises(UnavailableError):
        await service.resolve(max_age=0)
    stage.clock.tick(30 - EPSILON)
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1"]
    assert stage.calls == 2


async def test_a_call_that_began_before_is_not_joined(stage):
    """The answer of a call under way may be too old: the caller gets a call that begins later."""
    service = stage.cloud_map().service("shop/orders")
    stage.faults.hold()
    early = asyncio.create_task(service.resolve())
    await asyncio.wait_for(stage.faults.until_held(), 10)
    forced = await stage.start(service.resolve(max_age=0))
    assert stage.calls == 1
    stage.faults.release(1)
    assert stage.ids(await early) == ["orders-1"]
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    await stage.settle()
    assert not forced.done()
    assert stage.calls == 2
    stage.faults.release()
    assert stage.ids(await forced) == ["orders-1", "orders-2"]


async def test_forced_callers_share_the_next_call(stage):
    """Twenty callers with max_age behind one call under way cause one more call."""
    service = stage.cloud_map().service("shop/orders")
    stage.faults.hold()
    early = asyncio.create_task(service.resolve())
    await asyncio.wait_for(stage.faults.until_held(), 10)
    forced = [asyncio.create_task(service.resolve(max_age=age)) for age in (0, 1, 10, math.inf) * 5]
    await stage.settle()
    stage.faults.release()
    assert [stage.ids(answer) for answer in await asyncio.gather(early, *forced)] == [["orders-1"]] * 21
    assert stage.calls == 2


async def test_forced_callers_share_a_call_that_has_not_begun(stage):
    """A call that has not begun is new enough for all."""
    service = await stage.known()
    await asyncio.gather(*(service.resolve(max_age=0) for _ in range(10)))
    assert stage.calls == 2


async def test_the_next_call_begins_even_if_the_current_one_fails(stage):
    """The failure of the first call affects its own waiters only."""
    service = stage.cloud_map().service("shop/orders")
    stage.faults.hold()
    stage.faults.server_error(next=1)
    early = asyncio.create_task(service.resolve())
    await asyncio.wait_for(stage.faults.until_held(), 10)
    forced = await stage.start(service.resolve(max_age=0))
    stage.faults.release()
    with pytest.raises(UnavailableError):
        await early
    assert stage.ids(await forced) == ["orders-1"]


async def test_a_forced_caller_waits_at_most_discovery_timeout(stage):
    """Behind a hanging call, a caller gets its error within its own discovery_timeout."""
    service = stage.cloud_map().service("shop/orders")
    stage.faults.hang()
    early = await stage.start(service.resolve())
    await stage.tick(3)
    forced = await stage.start(service.resolve(max_age=0))
    await stage.tick(2)
    assert early.done()
    assert not forced.done()
    await stage.tick(3)
    for waiting in (early, forced):
        with pytest.raises(DeadlineError):
            await waiting
    await stage.tick(5)
    assert not service.explain().in_flight


async def test_max_age_ignores_a_remembered_not_found(stage):
    """After registering a service, a caller with max_age finds it at once."""
    service = stage.cloud_map().service("shop/new")
    with pytest.raises(ServiceNotFoundError):
        await service.resolve()
    stage.world.register("shop/new", "new-1", {"A": "1"})
    with pytest.raises(ServiceNotFoundError):
        await service.resolve()
    assert stage.ids(await service.resolve(max_age=3)) == ["new-1"]
    assert stage.ids(stage.at_once(service.resolve())) == ["new-1"]


async def test_max_age_ignores_soft_timeout(stage):
    """In fallback, a caller with max_age waits as long as the call takes."""
    service = await stage.known(soft_timeout=1)
    stage.faults.hold()
    stage.clock.tick(60)
    waiting = await stage.start(service.resolve(max_age=10))
    await stage.tick(5 - EPSILON)
    assert not waiting.done()
    stage.faults.release()
    assert stage.ids(await waiting) == ["orders-1"]


async def test_the_deadline_is_an_error_instead_of_the_old_answer(stage):
    """In fallback with AWS hanging, a caller with max_age gets DeadlineError."""
    service = await stage.known()
    stage.faults.hang()
    stage.clock.tick(60)
    waiting = await stage.start(service.resolve(max_age=10))
    await stage.tick(5)
    with pytest.raises(DeadlineError):
        await waiting


async def test_max_age_zero_respects_throttling(stage):
    """While AWS throttles, a forced call raises at once and AWS is not asked."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.faults.throttle(next=1)
    with pytest.raises(ThrottledError):
        await cloud_map.service("shop/other").resolve()
    with pytest.raises(ThrottledError) as caught:
        stage.at_once(service.resolve(max_age=0))
    assert 0 < caught.value.retry_after < 0.5
    assert caught.value.service == str(service.name)
    assert stage.ids(stage.at_once(service.resolve(max_age=10))) == ["orders-1"]
    assert stage.calls == 2
    stage.clock.tick(caught.value.retry_after)
    assert stage.ids(await service.resolve(max_age=0)) == ["orders-1"]


async def test_max_age_zero_ignores_the_backoff_of_the_key(stage):
    """A key's backoff spares callers, and a caller may insist."""
    service = stage.cloud_map().service("shop/orders")
    stage.faults.server_error(next=1)
    with pytest.raises(UnavailableError):
        await service.resolve()
    assert stage.ids(await service.resolve(max_age=0)) == ["orders-1"]


async def test_max_age_works_with_a_policy_of_zeros(stage):
    """A policy that keeps no answers makes one call for each caller."""
    service = stage.cloud_map(cache=CachePolicy(ttl=0, stale_while_revalidate=0, stale_if_error=0)).service(
        "shop/orders"
    )
    for _ in range(3):
        assert stage.ids(await service.resolve(max_age=60)) == ["orders-1"]
    assert stage.calls == 3


@pytest.mark.parametrize("max_age", [-1, -0.001, math.nan, -math.inf, "5", True, (), object()])
async def test_an_invalid_max_age_is_refused(stage, max_age):
    """Negative numbers, NaN and other types are refused at once, whatever is in memory."""
    service = await stage.known()
    with pytest.raises(ConfigurationError, match="^invalid max_age .*: expected a number of 0 or more$"):
        stage.at_once(service.resolve(max_age=max_age))
    assert stage.calls == 1
