"""The table is bounded: what goes first, and how it comes back."""

from __future__ import annotations

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy, Discovery, Instance, Query
from aiocloudmap.cache.memory_store import MAX_ENTRIES

UNBOUNDED = ConnectionPolicy(max_calls_per_second=1e6)


class Anything:
    """A backend that knows every service, and counts how often each is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def discover(self, query: Query) -> Discovery:
        self.asked.append(query.service.service)
        return Discovery((Instance("a", query.service),))


async def test_the_table_holds_4096_answers_and_drops_the_one_written_longest_ago(clock, stage):
    """4,096 are kept, one more evicts the first; its handle knows nothing, asks again, and shares again."""
    backend = Anything()
    policy = CachePolicy(jitter=0, refresh="background")
    cloud_map = CloudMap(backend=backend, clock=clock, cache=policy, connections=UNBOUNDED)
    first, second = cloud_map.service("shop/s0"), cloud_map.service("shop/s1")
    for number in range(4096):
        await cloud_map.service(f"shop/s{number}").resolve()
    assert cloud_map.stats().entries == MAX_ENTRIES == 4096
    assert first.peek() is not None
    await cloud_map.service("shop/one-more").resolve()
    assert cloud_map.stats().entries == 4096
    # Not peek(), which looks the evicted one up: the handle that holds it must not be answered from it.
    assert len(await first.resolve()) == 1
    assert backend.asked.count("s0") == 2
    assert len(stage.at_once(cloud_map.service("shop/s0").resolve())) == 1
    await second.resolve()
    assert backend.asked.count("s1") == 2
    assert cloud_map.stats().entries == 4096


async def test_what_is_refetched_stays(clock):
    """An answer in use is refetched, and so outlives ones that nobody asks for."""
    backend = Anything()
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
