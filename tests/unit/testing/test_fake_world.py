"""World, faults and counts in one hand."""

from __future__ import annotations

import pytest

from aiocloudmap import CloudMap, ThrottledError
from aiocloudmap.testing import FakeWorld, ManualClock


@pytest.fixture
def fake() -> FakeWorld:
    """Has shop/orders with one instance."""
    fake = FakeWorld(ManualClock())
    fake.register("shop/orders", "orders-1", {"QUEUE_URL": "here"})
    return fake


@pytest.fixture
def orders(fake):
    """A handle that asks it."""
    return CloudMap(backend=fake.backend, clock=fake.clock).service("shop/orders")


async def test_what_is_registered_is_found_and_what_is_told_to_fail_fails(fake, orders):
    """One line each, in one place."""
    assert await orders.attribute("QUEUE_URL") == "here"
    fake.fail("RequestLimitExceeded", next=1)
    with pytest.raises(ThrottledError):
        await orders.resolve(max_age=0)
    assert fake.calls["DiscoverInstances"] == 2


async def test_instances_come_fall_ill_and_go(fake, orders):
    """The tester's hand on the world."""
    fake.register("shop/orders", "orders-2")
    fake.set_health("shop/orders", "orders-1", "UNHEALTHY")
    assert [each.id for each in await orders.resolve(max_age=0)] == ["orders-2"]
    fake.deregister("shop/orders", "orders-2")
    fake.remove_service("shop/orders")
    fake.add_service("shop/orders", attributes={"OWNER": "team-a"})
    assert list(await orders.resolve(max_age=0)) == []
    assert dict(await orders.attributes()) == {"OWNER": "team-a"}


async def test_the_same_world_is_served_with_the_same_faults_and_counts(fake, orders):
    """Whoever asks, and however."""
    async with fake.served() as local, local.cloud_map() as cloud_map:
        far = cloud_map.service("shop/orders")
        assert await far.attribute("QUEUE_URL") == await orders.attribute("QUEUE_URL") == "here"
        assert fake.calls["DiscoverInstances"] == local.stats.calls["DiscoverInstances"] == 2
        fake.fail("NamespaceNotFound")
        for handle in (far, orders):
            with pytest.raises(LookupError):
                await handle.resolve(max_age=0)
        assert "4 calls" in repr(fake)


async def test_a_clock_that_stands_still_never_runs_out_of_requests(fake, orders):
    """AWS's bucket of 2,000 would not refill in a test's one moment."""
    for _ in range(2_100):
        await fake.backend.discover(orders.query)
    assert fake.calls.total == 2_100
