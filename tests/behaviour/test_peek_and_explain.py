"""peek() and explain(): what is known and why the next answer will be what it is, without any I/O."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import Freshness, ServiceName, ServiceNotFoundError, UnavailableError

EPSILON = 0.001


async def test_peek_returns_none_before_the_first_answer(stage):
    """peek() does not ask AWS."""
    service = stage.cloud_map().service("shop/orders")
    assert service.peek() is None
    await stage.settle()
    assert stage.calls == 0


async def test_peek_returns_the_answer_until_its_hard_end(stage):
    """Fresh, stale and fallback answers are returned, then None. peek() renews nothing."""
    service = stage.cloud_map(ttl=10, stale_if_error=90).service("shop/orders")
    await service.resolve()
    for step in (0, 10, 50, 40 - EPSILON):
        stage.clock.tick(step)
        assert len(service.peek()) == 1
    stage.clock.tick(EPSILON)
    assert service.peek() is None
    await stage.settle()
    assert stage.calls == 1


async def test_peek_distinguishes_an_empty_service_from_an_unknown_one(stage):
    """A known empty answer is a falsy snapshot while it lives, then None."""
    stage.world.add_service("shop/carts")
    service = stage.cloud_map(negative_ttl=5).service("shop/carts")
    await service.resolve()
    assert service.peek() is not None
    assert not service.peek()
    stage.clock.tick(5)
    assert service.peek() is None


async def test_peek_sees_answers_fetched_by_other_handles(stage):
    """A handle that was made before the answer arrived returns it as well."""
    cloud_map = stage.cloud_map()
    other = cloud_map.service(ServiceName("shop", "orders"))
    assert other.peek() is None
    await cloud_map.service("shop/orders").resolve()
    assert len(other.peek()) == 1


def test_peek_needs_no_event_loop(stage):
    """Synchronous code may read what asynchronous code has fetched."""
    service = stage.cloud_map().service("shop/orders")
    assert service.peek() is None
    asyncio.run(service.resolve())
    assert len(service.peek()) == 1
    stage.clock.tick(100)
    assert len(service.peek()) == 1


async def test_peek_returns_none_after_an_accepted_not_found(stage):
    """When the service is gone, the answer from before is gone as well."""
    service = stage.cloud_map(empty_hold_time=0).service("shop/orders")
    await service.resolve()
    stage.world.deregister("shop/orders", "orders-1")
    stage.world.remove_service("shop/orders")
    stage.clock.tick(60)
    with pytest.raises(ServiceNotFoundError):
        await service.resolve()
    assert service.peek() is None


async def test_explain_before_the_first_call(stage):
    """Nothing is known and the next call asks."""
    info = stage.cloud_map().service("shop/orders").explain()
    assert info.state is Freshness.ABSENT
    assert (info.instances, info.age, info.expires_in, info.refresh_in) == (None, None, None, 0)
    assert (info.failures, info.last_error, info.held_empty, info.in_flight) == (
        0,
        None,
        False,
        False,
    )
    assert str(info) == "shop/orders is absent; next refresh in 0.0 s"


async def test_explain_describes_a_fresh_answer(stage):
    """State, size, age, and both ends."""
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.clock.tick(10)
    info = service.explain()
    assert info.query == service.query
    assert info.state is Freshness.FRESH
    assert (info.instances, info.age, info.expires_in, info.refresh_in) == (1, 10, 620, 20)
    assert str(info) == "shop/orders is fresh; 1 instance(s), 10.0 s old, good for 620.0 s more; next refresh in 20.0 s"


async def test_explain_describes_a_failed_refresh(stage):
    """The last error, the number of failures in a row, and the time of the next attempt."""
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.clock.tick(60)
    stage.faults.server_error()
    await service.resolve()
    info = service.explain()
    assert info.state is Freshness.FALLBACK
    assert info.failures == 1
    assert isinstance(info.last_error, UnavailableError)
    assert 0.25 <= info.refresh_in < 0.5
    assert "1 failure(s), the last: shop/orders: AWS failed with status 500" in str(info)


async def test_explain_reports_a_fetch_in_flight(stage):
    """in_flight is true from the first step of the fetch to its end."""
    service = stage.cloud_map().service("shop/orders")
    stage.faults.hold()
    waiting = asyncio.create_task(service.resolve())
    await asyncio.wait_for(stage.faults.until_held(), 10)
    assert service.explain().in_flight
    assert str(service.explain()) == "shop/orders is absent; refresh under way"
    stage.faults.release()
    await waiting
    assert not service.explain().in_flight


async def test_explain_reports_a_held_empty_answer(stage):
    """held_empty is true while an empty answer is held back."""
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.world.deregister("shop/orders", "orders-1")
    stage.clock.tick(60)
    await service.resolve()
    info = service.explain()
    assert info.held_empty
    assert info.refresh_in == 5
    assert "an empty answer is not accepted yet" in str(info)


async def test_explain_describes_a_remembered_not_found(stage):
    """The error, and when it expires."""
    service = stage.cloud_map().service("shop/nothing")
    with pytest.raises(ServiceNotFoundError):
        await service.resolve()
    stage.clock.tick(2)
    info = service.explain()
    assert info.state is Freshness.ABSENT
    assert isinstance(info.last_error, ServiceNotFoundError)
    assert info.refresh_in == 3


async def test_explain_reports_throttling_of_the_engine(stage):
    """refresh_in of every key includes the wait after throttling."""
    cloud_map = stage.cloud_map()
    stage.faults.throttle()
    with pytest.raises(UnavailableError):
        await cloud_map.service("shop/other").resolve()
    assert 0.25 <= cloud_map.service("shop/orders").explain().refresh_in < 0.5


async def test_explain_reports_an_answer_past_its_hard_end_as_absent(stage):
    """An expired answer looks like one that was never fetched."""
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.clock.tick(630)
    info = service.explain()
    assert info.state is Freshness.ABSENT
    assert (info.instances, info.age, info.expires_in, info.refresh_in) == (None, None, None, 0)


def test_explain_needs_no_event_loop(stage):
    """explain() does not ask AWS either."""
    service = stage.cloud_map().service("shop/orders")
    assert service.explain().in_flight is False
    asyncio.run(service.resolve())
    assert service.explain().state is Freshness.FRESH
    assert stage.calls == 1


async def test_reprs_show_names_and_counts_but_no_values(stage):
    """Handles, snapshots and instances end up in logs, so their reprs hide attribute values."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    assert repr(service) == "<Service shop/orders nothing known>"
    snapshot = await service.resolve()
    assert repr(service) == "<Service shop/orders 1 instance(s)>"
    assert repr(snapshot) == "<Snapshot of shop/orders: 1 instance, 0.0 s old>"
    assert "1 answer(s)" in repr(cloud_map)
    shown = " ".join(map(repr, (service, snapshot, snapshot[0], cloud_map, service.explain(), service.query)))
    assert "sqs.eu-west-1" not in shown
