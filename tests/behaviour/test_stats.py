"""stats(): what is counted, and that a hit is not."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import Stats, ThrottledError, UnavailableError

ZERO = {
    "misses": 0,
    "coalesced": 0,
    "refreshes": 0,
    "stale_served": 0,
    "failures": 0,
    "throttled": 0,
    "entries": 0,
    "open_connections": 0,
}


async def test_a_new_engine_has_counted_nothing(stage):
    """All figures begin at 0."""
    assert stage.cloud_map().stats() == Stats(**ZERO)


async def test_callers_together_are_misses_that_share_one_refresh(stage):
    """Ten callers of a cold key: ten misses, nine of them coalesced, one refresh, one entry."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await asyncio.gather(*(service.resolve() for _ in range(10)))
    assert cloud_map.stats() == Stats(**ZERO | {"misses": 10, "coalesced": 9, "refreshes": 1, "entries": 1})


async def test_hits_are_not_counted(stage):
    """Counting would cost more than the hit."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    before = cloud_map.stats()
    for _ in range(10):
        await service.resolve()
        await service.pick()
        await service.attribute("QUEUE_URL")
        service.peek()
    assert cloud_map.stats() == before


async def test_a_stale_answer_is_counted_where_it_came_by_the_cold_path(stage):
    """The caller that causes the refresh is no miss: it does not wait."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.clock.tick(30)
    await service.resolve()
    await stage.settle()
    assert cloud_map.stats() == Stats(**ZERO | {"misses": 1, "refreshes": 2, "stale_served": 1, "entries": 1})


async def test_failures_are_counted_and_throttled_ones_among_them(stage):
    """A server error and a throttled call: two failures, one of them throttled."""
    cloud_map = stage.cloud_map()
    stage.faults.server_error(next=1)
    with pytest.raises(UnavailableError):
        await cloud_map.service("shop/orders").resolve()
    stage.faults.throttle(next=1)
    with pytest.raises(ThrottledError):
        await cloud_map.service("shop/carts").resolve()
    stats = cloud_map.stats()
    assert (stats.failures, stats.throttled, stats.refreshes, stats.entries) == (2, 1, 2, 0)


async def test_not_found_is_no_failure(stage):
    """AWS answered."""
    cloud_map = stage.cloud_map()
    with pytest.raises(LookupError):
        await cloud_map.service("shop/nothing").resolve()
    assert cloud_map.stats() == Stats(**ZERO | {"misses": 1, "refreshes": 1})


async def test_an_old_answer_in_place_of_a_failed_one_is_counted(stage):
    """In fallback: who waits is a miss; who comes during the backoff gets the old answer unasked."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.faults.server_error()
    stage.clock.tick(60)
    await service.resolve()
    assert cloud_map.stats().failures == 1
    assert cloud_map.stats().misses == 2


async def test_entries_are_the_answers_that_could_be_given(stage):
    """One a question and policy, until its hard end."""
    cloud_map = stage.cloud_map()
    await cloud_map.service("shop/orders").resolve()
    await cloud_map.service("shop/orders", health="ALL").resolve()
    assert cloud_map.stats().entries == 2
    stage.clock.tick(630)
    assert cloud_map.stats().entries == 0


async def test_engines_count_for_themselves(stage):
    """What one engine did is not in the figures of another."""
    one, two = stage.cloud_map(), stage.cloud_map()
    await one.service("shop/orders").resolve()
    assert two.stats() == Stats(**ZERO)
