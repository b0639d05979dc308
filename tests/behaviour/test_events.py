"""on_event: what is reported, to which listeners, and that a listener cannot do harm."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from aiocloudmap import (
    AnswerTruncated,
    ConnectError,
    Refreshed,
    RefreshFailed,
    Throttled,
    ThrottledError,
    UnavailableError,
)
from aiocloudmap.model.instance import MAX_INSTANCES


async def test_a_new_answer_is_reported_with_its_size_and_duration(stage):
    """Refreshed holds the query, the number of instances, and the duration."""
    events = []
    service = stage.cloud_map(on_event=events.append).service("shop/orders")
    stage.faults.delay(0.25)
    waiting = await stage.start(service.resolve())
    await stage.tick(0.25)
    await waiting
    assert events == [Refreshed(service.query, 1, 0.25)]


async def test_a_hit_emits_no_event(stage):
    """Only calls that go to AWS emit events."""
    events = []
    service = stage.cloud_map(on_event=events.append).service("shop/orders")
    await service.resolve()
    events.clear()
    for _ in range(3):
        await service.resolve()
    assert events == []


async def test_a_failure_is_reported_with_the_answer_served_instead(stage):
    """RefreshFailed holds the error, its number in a row, the age of the old answer, and the next attempt."""
    events = []
    service = stage.cloud_map(on_event=events.append).service("shop/orders")
    await service.resolve()
    stage.faults.reset()
    stage.clock.tick(60)
    await service.resolve()
    stage.clock.tick(30)
    await service.resolve()
    failed = [event for event in events if isinstance(event, RefreshFailed)]
    assert [(event.query, event.failures, event.serving_age) for event in failed] == [
        (service.query, 1, 60),
        (service.query, 2, 90),
    ]
    assert all(isinstance(event.error, ConnectError) for event in failed)
    assert 0.25 <= failed[0].retry_in < 0.5 <= failed[1].retry_in < 1
    assert [event.level for event in failed] == [logging.WARNING, logging.DEBUG]


async def test_a_failure_without_an_answer_is_reported_as_such(stage):
    """serving_age is None."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    stage.faults.server_error()
    with pytest.raises(UnavailableError):
        await cloud_map.service("shop/orders").resolve()
    [event] = events
    assert event.serving_age is None
    assert "nothing to serve" in str(event)


async def test_throttling_emits_an_event_for_the_engine_and_the_query(stage):
    """Throttled reports the wait of the engine, RefreshFailed the query."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    stage.faults.throttle()
    with pytest.raises(ThrottledError):
        await cloud_map.service("shop/orders").resolve()
    assert [type(event) for event in events] == [Throttled, RefreshFailed]
    assert 0.25 <= events[0].retry_in < 0.5


async def test_a_throttled_failure_reports_the_actual_wait(stage):
    """A key that fails for the first time reports the engine's wait if that is longer than its own."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    stage.faults.throttle()
    for number in range(4):
        with pytest.raises(ThrottledError) as caught:
            await cloud_map.service(f"shop/s{number}").resolve()
        stage.clock.tick(caught.value.retry_after)
    assert [type(event) for event in events[-2:]] == [Throttled, RefreshFailed]
    assert events[-1].failures == 1
    assert events[-1].retry_in == pytest.approx(events[-2].retry_in)


@pytest.mark.parametrize("count", [MAX_INSTANCES - 1, MAX_INSTANCES])
async def test_an_answer_of_maximum_size_is_reported_as_truncated(stage, count):
    """An answer of 1,000 instances may be incomplete, an answer of 999 is complete."""
    for number in range(count):
        stage.world.register("shop/many", f"i{number:04}", {"A": "1"})
    events = []
    service = stage.cloud_map(on_event=events.append).service("shop/many")
    snapshot = await service.resolve()
    assert len(snapshot) == count
    assert snapshot.maybe_truncated == (count == MAX_INSTANCES)
    truncated = [event for event in events if isinstance(event, AnswerTruncated)]
    assert truncated == ([AnswerTruncated(service.query, 1000)] if count == MAX_INSTANCES else [])


async def test_a_shared_call_emits_one_event(stage):
    """Five callers, one fetch, one event."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    await asyncio.gather(*(cloud_map.service("shop/orders").resolve() for _ in range(5)))
    assert len(events) == 1


async def test_a_listener_is_not_called_after_its_cloud_map_is_gone(stage):
    """on_event belongs to the CloudMap and its handles and ends with them."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    engine = cloud_map._engine  # what other CloudMaps of equal settings would share
    await cloud_map.service("shop/orders").resolve()
    assert len(events) == 1
    del cloud_map
    gc.collect()
    engine.emit(Throttled(1.0))
    assert len(events) == 1


async def test_a_handle_keeps_the_listener_of_its_cloud_map(stage):
    """A program that keeps only a handle still gets events."""
    events = []
    service = stage.cloud_map(on_event=events.append).service("shop/orders")
    gc.collect()
    await service.resolve()
    assert len(events) == 1


async def test_a_listener_that_raises_does_not_affect_the_caller(stage, caplog):
    """The caller is answered, the answer is written, and the exception is logged."""

    def broken(event):
        raise RuntimeError("a bug in a listener")

    service = stage.cloud_map(on_event=broken).service("shop/orders")
    assert len(await service.resolve()) == 1
    assert len(stage.at_once(service.resolve())) == 1
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.name == "aiocloudmap"
    assert "on_event raised an exception for Refreshed" in record.getMessage()
    assert "a bug in a listener" in str(record.exc_info[1])


@pytest.mark.parametrize("raised", [asyncio.CancelledError, GeneratorExit, pytest.fail.Exception])
async def test_a_listener_may_raise_what_is_no_exception(stage, raised):
    """Not even at a clock jump while a failed call ends: every caller gets its outcome."""

    def broken(event):
        raise raised

    service = stage.cloud_map(on_event=broken).service("shop/orders")
    stage.faults.delay(1)
    stage.faults.server_error()
    callers = [asyncio.create_task(service.resolve()) for _ in range(3)]
    await stage.settle()
    stage.clock.freeze(60)
    await stage.tick(1)
    for caller in callers:
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(caller, 10)


async def test_a_listener_that_raises_still_gets_later_events(stage):
    """A throttled call emits two events, and the listener gets both."""
    received = []

    def broken(event):
        received.append(type(event))
        raise RuntimeError("again")

    cloud_map = stage.cloud_map(on_event=broken)
    stage.faults.throttle()
    with pytest.raises(ThrottledError):
        await cloud_map.service("shop/orders").resolve()
    assert received == [Throttled, RefreshFailed]


async def test_a_listener_may_use_the_library(stage):
    """It is called outside of any lock and may even clear the cache."""
    seen = []
    cloud_map = stage.cloud_map(on_event=lambda event: seen.append((cloud_map.stats().entries, cloud_map.clear())))
    service = cloud_map.service("shop/orders")
    assert len(await service.resolve()) == 1
    assert seen == [(1, 1)]
    assert service.peek() is None


async def test_a_listener_sees_the_answer_it_is_called_for(stage):
    """The answer is written before its event."""
    seen = []
    cloud_map = stage.cloud_map(on_event=lambda event: seen.append(service.peek()))
    service = cloud_map.service("shop/orders")
    await service.resolve()
    assert [len(snapshot) for snapshot in seen] == [1]


async def test_events_are_logged_at_their_level_without_values(stage, caplog):
    """The log contains every event under the library's logger, without attribute values."""
    caplog.set_level(logging.DEBUG, "aiocloudmap")
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.world.deregister("shop/orders", "orders-1")
    stage.clock.tick(60)
    await service.resolve()
    stage.clock.tick(5)
    stage.faults.reset()
    await service.resolve()
    levels = [(record.levelno, record.aiocloudmap_event) for record in caplog.records]
    assert levels == [
        (logging.DEBUG, "Refreshed"),
        (logging.DEBUG, "Refreshed"),
        (logging.WARNING, "EmptyAnswerHeld"),
        (logging.WARNING, "RefreshFailed"),
    ]
    assert all(record.name == "aiocloudmap" for record in caplog.records)
    assert "sqs" not in caplog.text
