"""peek() and explain(): what is known, and why the next answer will be what it is; never any I/O."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import Freshness, ServiceName, ServiceNotFoundError, UnavailableError

EPSILON = 0.001


async def test_peek_knows_nothing_before_the_first_answer(stage):
    """None, and AWS is not asked."""
    service = stage.cloud_map().service("shop/orders")
    assert service.peek() is None
    await stage.settle()
    assert stage.calls == 0


async def test_peek_gives_the_answer_until_its_hard_end(stage):
    """Fresh, stale and fallback alike; at hard, None. Looking renews nothing."""
    service = stage.cloud_map(ttl=10, stale_if_error=90).service("shop/orders")
    await service.resolve()
    for step in (0, 10, 50, 40 - EPSILON):
        stage.clock.tick(step)
        assert len(service.peek()) == 1
    stage.clock.tick(EPSILON)
    assert service.peek() is None
    await stage.settle()
    assert stage.calls == 1


async def test_peek_tells_a_service_without_instances_from_one_that_is_not_known(stage):
    """A known-empty answer is a snapshot that is falsy, for as long as it lives; then None."""
    stage.world.add_service("shop/carts")
    service = stage.cloud_map(negative_ttl=5).service("shop/carts")
    await service.resolve()
    assert service.peek() is not None
    assert not service.peek()
    stage.clock.tick(5)
    assert service.peek() is None


async def test_peek_sees_what_other_handles_have_fetched(stage):
    """A handle that was made before the answer came, and never asked itself, knows it as well."""
    cloud_map = stage.cloud_map()
    watcher = cloud_map.service(ServiceName("shop", "orders"))
    assert watcher.peek() is None
    await cloud_map.service("shop/orders").resolve()
    assert len(watcher.peek()) == 1


def test_peek_needs_no_event_loop(stage):
    """Synchronous code may look at what asynchronous code has fetched."""
    service = stage.cloud_map().service("shop/orders")
    assert service.peek() is None
    asyncio.run(service.resolve())
    assert len(service.peek()) == 1
    stage.clock.tick(100)
    assert len(service.peek()) == 1


async def test_peek_after_a_believed_not_found_knows_nothing(stage):
    """AWS is sure that the service is gone: the answer from before is over."""
    service = stage.cloud_map(empty_hold_time=0).service("shop/orders")
    await service.resolve()
    stage.world.deregister("shop/orders", "orders-1")
    stage.world.remove_service("shop/orders")
    stage.clock.tick(60)
    with pytest.raises(ServiceNotFoundError):
        await service.resolve()
    assert service.peek() is None


async def test_explain_before_the_first_call(stage):
    """Nothing known, nothing tried: the next call asks."""
    told = stage.cloud_map().service("shop/orders").explain()
    assert told.state is Freshness.ABSENT
    assert (told.instances, told.age, told.expires_in, told.refresh_in) == (None, None, None, 0)
    assert (told.failures, told.last_error, told.held_empty, told.in_flight) == (0, None, False, False)
    assert str(told) == "shop/orders is absent; next refresh in 0.0 s"


async def test_explain_a_fresh_answer(stage):
    """State, size, age, and both ends."""
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.clock.tick(10)
    told = service.explain()
    assert told.query == service.query
    assert told.state is Freshness.FRESH
    assert (told.instances, told.age, told.expires_in, told.refresh_in) == (1, 10, 620, 20)
    assert str(told) == "shop/orders is fresh; 1 instance(s), 10.0 s old, good for 620.0 s more; next refresh in 20.0 s"


async def test_explain_a_refresh_that_fails(stage):
    """The last error, how many in a row, and when the next attempt may be."""
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.clock.tick(60)
    stage.faults.server_error()
    await service.resolve()
    told = service.explain()
    assert told.state is Freshness.FALLBACK
    assert told.failures == 1
    assert isinstance(told.last_error, UnavailableError)
    assert 0.25 <= told.refresh_in < 0.5
    assert "1 failure(s), the last: shop/orders: AWS failed with status 500" in str(told)


async def test_explain_a_fetch_that_runs(stage):
    """in_flight from the first step of the fetch to its end."""
    service = stage.cloud_map().service("shop/orders")
    stage.faults.hold()
    waiting = asyncio.create_task(service.resolve())
    await asyncio.wait_for(stage.faults.until_held(), 10)
    assert service.explain().in_flight
    assert str(service.explain()) == "shop/orders is absent; refresh under way"
    stage.faults.release()
    await waiting
    assert not service.explain().in_flight


async def test_explain_a_hold(stage):
    """held_empty while an empty answer is being doubted."""
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.world.deregister("shop/orders", "orders-1")
    stage.clock.tick(60)
    await service.resolve()
    told = service.explain()
    assert told.held_empty
    assert told.refresh_in == 5
    assert "an empty answer is not accepted yet" in str(told)


async def test_explain_a_remembered_not_found(stage):
    """The error, and when it ends to be remembered."""
    service = stage.cloud_map().service("shop/nothing")
    with pytest.raises(ServiceNotFoundError):
        await service.resolve()
    stage.clock.tick(2)
    told = service.explain()
    assert told.state is Freshness.ABSENT
    assert isinstance(told.last_error, ServiceNotFoundError)
    assert told.refresh_in == 3


async def test_explain_a_throttled_engine(stage):
    """The floor of throttling shows at every key that has to wait for it."""
    cloud_map = stage.cloud_map()
    stage.faults.throttle()
    with pytest.raises(UnavailableError):
        await cloud_map.service("shop/other").resolve()
    assert 0.25 <= cloud_map.service("shop/orders").explain().refresh_in < 0.5


async def test_explain_an_answer_past_its_hard_end(stage):
    """Absent again, with nothing that could be given."""
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.clock.tick(630)
    told = service.explain()
    assert told.state is Freshness.ABSENT
    assert (told.instances, told.age, told.expires_in, told.refresh_in) == (None, None, None, 0)


def test_explain_needs_no_event_loop(stage):
    """Nor does it ask AWS."""
    service = stage.cloud_map().service("shop/orders")
    assert service.explain().in_flight is False
    asyncio.run(service.resolve())
    assert service.explain().state is Freshness.FRESH
    assert stage.calls == 1


async def test_reprs_show_what_is_known_and_no_values(stage):
    """A handle, a snapshot and an instance end in logs: names and counts, no attribute's value."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    assert repr(service) == "<Service shop/orders nothing known>"
    snapshot = await service.resolve()
    assert repr(service) == "<Service shop/orders 1 instance(s)>"
    assert repr(snapshot) == "<Snapshot of shop/orders: 1 instance, 0.0 s old>"
    assert "1 answer(s)" in repr(cloud_map)
    shown = " ".join(map(repr, (service, snapshot, snapshot[0], cloud_map, service.explain(), service.query)))
    assert "sqs.eu-west-1" not in shown
