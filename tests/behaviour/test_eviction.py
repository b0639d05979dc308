"""Eviction: the memory store is bounded, and an evicted answer is fetched again."""

from __future__ import annotations

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy, Discovery, Instance, Query
from aiocloudmap.cache.memory_store import MAX_ENTRIES

UNBOUNDED = ConnectionPolicy(max_calls_per_second=1e6)


class AnyService:
    """A backend that knows every service and records what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def discover(self, query: Query) -> Discovery:
        self.asked.append(query.service.service)
        return Discovery((Instance("a", query.service),))


async def test_the_store_keeps_4096_answers_and_drops_the_oldest(clock, stage):
    """One more than 4,096 evicts the first. Its handle asks again and shares the new answer."""
    backend = AnyService()
    policy = CachePolicy(jitter=0, refresh="background")
    cloud_map = CloudMap(backend=backend, clock=clock, cache=policy, connections=UNBOUNDED)
    first, second = cloud_map.service("shop/s0"), cloud_map.service("shop/s1")
    for number in range(4096):
        await cloud_map.service(f"shop/s{number}").resolve()
    assert cloud_map.stats().entries == MAX_ENTRIES == 4096
    assert first.peek() is not None
    await cloud_map.service("shop/one-more").resolve()
    assert cloud_map.stats().entries == 4096
    # Not peek(), which looks the entry up again: the handle must not answer from the entry it still holds.
    assert len(await first.resolve()) == 1
    assert backend.asked.count("s0") == 2
    assert len(stage.at_once(cloud_map.service("shop/s0").resolve())) == 1
    await second.resolve()
    assert backend.asked.count("s1") == 2
    assert cloud_map.stats().entries == 4096


async def test_an_answer_in_use_is_not_evicted(clock):
    """A refreshed answer outlives answers that are no longer asked for."""
    backend = AnyService()
    policy = CachePolicy(ttl=5, stale_while_revalidate=0, refresh="background")
    cloud_map = CloudMap(backend=backend, clock=clock, cache=policy, connections=UNBOUNDED)
    used = cloud_map.service("shop/used")
    for number in range(5000):
        if number % 1000 == 0:
            clock.tick(5)
            await used.resolve()
        await cloud_map.service(f"shop/s{number}").resolve()
    clock.tick(1)
    assert used.peek() is not None
    assert cloud_map.service("shop/s0").peek() is None
    assert backend.asked.count("used") == 5
