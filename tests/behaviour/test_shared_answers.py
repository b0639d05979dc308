"""CloudMaps with equal settings share answers, invalidations and events."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from aiocloudmap import CachePolicy, Freshness, Refreshed
from aiocloudmap.local import LocalCloudMap
from aiocloudmap.testing import reset


@pytest.fixture
async def local() -> AsyncIterator[LocalCloudMap]:
    """A local server with shop/orders."""
    async with LocalCloudMap() as local:
        local.world.register("shop/orders", "orders-1", {"QUEUE_URL": "https://example.com/orders"})
        yield local
        reset()


async def test_an_invalidation_reaches_handles_of_other_cloud_maps(local):
    """CloudMaps on one engine share one set of answers, whatever their policies."""
    one, two = local.cloud_map(shared=True), local.cloud_map(shared=True, on_event=lambda event: None)
    async with one, two:
        mine, theirs = one.service("shop/orders"), two.service("shop/orders")
        other = two.service("shop/orders", cache=CachePolicy(ttl=60))
        for handle in (mine, theirs, other):
            await handle.resolve()
        assert local.stats.calls["DiscoverInstances"] == 2
        assert one.invalidate("shop/orders") == 2
        assert [handle.explain().state for handle in (mine, theirs, other)] == [Freshness.FALLBACK] * 3
        local.world.register("shop/orders", "orders-2", {"A": "1"})
        assert len(await theirs.resolve()) == 2
        assert len(mine.peek()) == 2
        assert two.clear() == 2
        assert mine.peek() is None


async def test_every_listener_of_a_shared_engine_gets_every_event(local):
    """A listener that raises does not keep the others from being called."""
    received: list[tuple[str, str]] = []

    def broken(event: object) -> None:
        raise RuntimeError("a bug in a listener")

    listeners = [lambda event, name=name: received.append((name, type(event).__name__)) for name in ("one", "two")]
    maps = [local.cloud_map(shared=True, on_event=listener) for listener in (listeners[0], broken, listeners[1])]
    async with maps[0]:
        await maps[0].service("shop/orders").resolve()
    assert sorted(received) == [("one", Refreshed.__name__), ("two", Refreshed.__name__)]


async def test_an_unshared_engine_shares_nothing(local):
    """shared=False means separate answers, figures and events."""
    received: list[object] = []
    one, two = local.cloud_map(shared=True), local.cloud_map(shared=False, on_event=received.append)
    async with one, two:
        await one.service("shop/orders").resolve()
        assert two.service("shop/orders").peek() is None
        assert two.invalidate() == 0
        assert received == []
