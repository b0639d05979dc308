"""stats(): what is counted. Hits are not."""

from __future__ import annotations

import asyncio
from dataclasses import fields

import pytest

from aiocloudmap import Stats, ThrottledError, UnavailableError

ZERO = {field.name: 0 for field in fields(Stats)}


async def test_a_new_engine_has_zero_counts(stage):
    """All figures start at 0."""
    assert stage.cloud_map().stats() == Stats(**ZERO)


async def test_concurrent_callers_are_misses_that_share_one_refresh(stage):
    """Ten callers without an answer: ten misses, nine of them coalesced, one refresh, one entry."""
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


async def test_the_stale_answer_that_starts_a_refresh_is_counted(stage):
    """Its caller is not a miss, as it does not wait."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.clock.tick(30)
    await service.resolve()
    await stage.settle()
    assert cloud_map.stats() == Stats(**ZERO | {"misses": 1, "refreshes": 2, "stale_served": 1, "entries": 1})


async def test_throttled_calls_count_as_failures_too(stage):
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


async def test_not_found_is_not_a_failure(stage):
    """AWS answered."""
    cloud_map = stage.cloud_map()
    with pytest.raises(LookupError):
        await cloud_map.service("shop/nothing").resolve()
    assert cloud_map.stats() == Stats(**ZERO | {"misses": 1, "refreshes": 1})


async def test_a_caller_that_waits_for_a_failed_refresh_is_a_miss(stage):
    """In fallback, the caller that waits is a miss even though it gets the old answer."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    stage.faults.server_error()
    stage.clock.tick(60)
    await service.resolve()
    assert cloud_map.stats().failures == 1
    assert cloud_map.stats().misses == 2


async def test_entries_counts_answers_until_their_hard_end(stage):
    """One for each query and policy."""
    cloud_map = stage.cloud_map()
    await cloud_map.service("shop/orders").resolve()
    await cloud_map.service("shop/orders", health="ALL").resolve()
    assert cloud_map.stats().entries == 2
    stage.clock.tick(630)
    assert cloud_map.stats().entries == 0


async def test_each_engine_has_its_own_counts(stage):
    """The calls of one engine are not in the figures of another."""
    one, two = stage.cloud_map(), stage.cloud_map()
    await one.service("shop/orders").resolve()
    assert two.stats() == Stats(**ZERO)
