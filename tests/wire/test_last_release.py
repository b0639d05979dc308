"""The last release closes everything, also what a refresh would open right after it."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import CachePolicy
from aiocloudmap.local import LocalCloudMap

STALE_AT_ONCE = CachePolicy(ttl=0, stale_while_revalidate=60, refresh="background")


@pytest.mark.parametrize("released_by", ["async with", "aclose"])
@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_a_refresh_that_has_just_started_leaves_no_connection(released_by, turns):
    """Its task has not taken its first step, or few, when the connections are given back."""
    async with LocalCloudMap() as local:
        local.world.register("shop/orders", "orders-1", {})
        cloud_map = local.cloud_map(cache=STALE_AT_ONCE)
        service = cloud_map.service("shop/orders")

        async def ask():
            await service.resolve()
            await service.resolve()
            for _ in range(turns):
                await asyncio.sleep(0)

        if released_by == "aclose":
            await ask()
            await cloud_map.aclose()
        else:
            async with cloud_map:
                await ask()
        assert service.explain().in_flight is False
        assert cloud_map.stats().open_connections == 0
        assert cloud_map.stats().refreshes == 2
