"""on_event: what is told, to whom, for how long, and that no listener can do harm."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from aiocloudmap import (
    AnswerTruncated,
    ConnectError,
    EmptyAnswerHeld,
    Refreshed,
    RefreshFailed,
    ServiceName,
    Throttled,
    ThrottledError,
    UnavailableError,
)
from aiocloudmap.model.instance import MAX_INSTANCES


async def test_a_new_answer_is_told_with_its_size_and_duration(stage):
    """Refreshed: the question, how many instances, how long it took."""
    events = []
    service = stage.cloud_map(on_event=events.append).service("shop/orders")
    stage.faults.delay(0.25)
    waiting = asyncio.create_task(service.resolve())
    await stage.settle()
    await stage.tick(0.25)
    await waiting
    assert events == [Refreshed(service.query, 1, 0.25)]


async def test_a_hit_tells_nothing(stage):
    """Events are of the cold path."""
    events = []
    service = stage.cloud_map(on_event=events.append).service("shop/orders")
    await service.resolve()
    events.clear()
    for _ in range(3):
        await service.resolve()
    assert events == []


async def test_a_failure_is_told_with_what_is_served_meanwhile(stage):
    """RefreshFailed: why, the how manieth in a row, the age of the old answer, and when the next attempt is."""
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


async def test_a_failure_with_nothing_to_serve_says_so(stage):
    """serving_age is None in the cold."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    stage.faults.server_error()
    with pytest.raises(UnavailableError):
        await cloud_map.service("shop/orders").resolve()
    [event] = events
    assert event.serving_age is None
    assert "nothing to serve" in str(event)


async def test_throttling_is_told_for_the_engine_and_for_the_question(stage):
    """Throttled says how long nobody asks; RefreshFailed says whom it hit."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    stage.faults.throttle()
    with pytest.raises(ThrottledError):
        await cloud_map.service("shop/orders").resolve()
    assert [type(event) for event in events] == [Throttled, RefreshFailed]
    assert 0.25 <= events[0].retry_in < 0.5


async def test_a_throttled_failure_tells_the_wait_that_there_will_be(stage):
    """The engine's floor has risen to seconds: a key that fails for the first time does not promise half of one."""
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
async def test_an_answer_as_long_as_answers_can_be_is_told(stage, count):
    """1,000 instances may be all, or not: the snapshot says so, and an event; 999 are all."""
    for number in range(count):
        stage.world.register("shop/many", f"i{number:04}", {"A": "1"})
    events = []
    service = stage.cloud_map(on_event=events.append).service("shop/many")
    snapshot = await service.resolve()
    assert len(snapshot) == count
    assert snapshot.maybe_truncated == (count == MAX_INSTANCES)
    truncated = [event for event in events if isinstance(event, AnswerTruncated)]
    assert truncated == ([AnswerTruncated(service.query, 1000)] if count == MAX_INSTANCES else [])


async def test_what_callers_share_is_told_once(stage):
    """Five callers, one fetch, one event."""
    events = []
    cloud_map = stage.cloud_map(on_event=events.append)
    await asyncio.gather(*(cloud_map.service("shop/orders").resolve() for _ in range(5)))
    assert len(events) == 1


async def test_a_listener_is_not_kept_alive_and_not_told_when_its_cloud_map_is_gone(stage):
    """on_event belongs to the CloudMap and its handles: when they are gone, it is told no more."""
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
    """Somebody who keeps a handle only, is told as well."""
    events = []
    service = stage.cloud_map(on_event=events.append).service("shop/orders")
    gc.collect()
    await service.resolve()
    assert len(events) == 1


async def test_a_listener_that_raises_harms_nobody(stage, caplog):
    """The caller is answered, the answer is written, and the log has what was raised."""

    def broken(event):
        raise RuntimeError("a listener's own trouble")

    service = stage.cloud_map(on_event=broken).service("shop/orders")
    assert len(await service.resolve()) == 1
    assert len(stage.at_once(service.resolve())) == 1
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.name == "aiocloudmap"
    assert "on_event raised an exception for Refreshed" in record.getMessage()
    assert "a listener's own trouble" in str(record.exc_info[1])


async def test_a_listener_that_raises_keeps_no_event_from_being_told(stage):
    """A throttled call has two events; the second is told although the first made the listener raise."""
    told = []

    def broken(event):
        told.append(type(event))
        raise RuntimeError("again")

    cloud_map = stage.cloud_map(on_event=broken)
    stage.faults.throttle()
    with pytest.raises(ThrottledError):
        await cloud_map.service("shop/orders").resolve()
    assert told == [Throttled, RefreshFailed]


async def test_a_listener_may_use_the_library(stage):
    """It is told outside of any lock: it may look, and even throw answers away."""
    seen = []
    cloud_map = stage.cloud_map(on_event=lambda event: seen.append((cloud_map.stats().entries, cloud_map.clear())))
    service = cloud_map.service("shop/orders")
    assert len(await service.resolve()) == 1
    assert seen == [(1, 1)]
    assert service.peek() is None


async def test_a_listener_sees_the_answer_that_it_is_told_of(stage):
    """An event comes after what it tells has been written."""
    seen = []
    cloud_map = stage.cloud_map(on_event=lambda event: seen.append(service.peek()))
    service = cloud_map.service("shop/orders")
    await service.resolve()
    assert [len(snapshot) for snapshot in seen] == [1]


async def test_events_are_logged_at_their_level_and_say_no_value(stage, caplog):
    """The log has what a listener is told, under the library's own name, without any attribute's value."""
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


async def test_a_hold_is_told(stage):
    """EmptyAnswerHeld: how many are kept."""
    events = []
    service = stage.cloud_map(on_event=events.append).service("shop/orders")
    await service.resolve()
    stage.world.deregister("shop/orders", "orders-1")
    stage.clock.tick(60)
    await service.resolve()
    assert events[-1] == EmptyAnswerHeld(service.query, 1, 30)
    assert ServiceName.parse("shop/orders") == events[-1].query.service
