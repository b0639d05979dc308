"""FakeWorld: world, faults and call counts in one object."""

from __future__ import annotations

import pytest

from aiocloudmap import CloudMap, ThrottledError
from aiocloudmap.testing import FakeWorld, ManualClock


@pytest.fixture
def fake() -> FakeWorld:
    """A world with one instance of shop/orders."""
    fake = FakeWorld(ManualClock())
    fake.register("shop/orders", "orders-1", {"QUEUE_URL": "here"})
    return fake


@pytest.fixture
def orders(fake):
    """A handle of that world."""
    return CloudMap(backend=fake.backend, clock=fake.clock).service("shop/orders")


async def test_it_answers_fails_and_counts(fake, orders):
    """With one line each."""
    assert await orders.attribute("QUEUE_URL") == "here"
    fake.fail("RequestLimitExceeded", next=1)
    with pytest.raises(ThrottledError):
        await orders.resolve(max_age=0)
    assert fake.calls["DiscoverInstances"] == 2


async def test_instances_and_services_can_be_changed(fake, orders):
    """With the methods of World."""
    fake.register("shop/orders", "orders-2")
    fake.set_health("shop/orders", "orders-1", "UNHEALTHY")
    assert [each.id for each in await orders.resolve(max_age=0)] == ["orders-2"]
    fake.deregister("shop/orders", "orders-2")
    fake.remove_service("shop/orders")
    fake.add_service("shop/orders", attributes={"OWNER": "team-a"})
    assert list(await orders.resolve(max_age=0)) == []
    assert dict(await orders.attributes()) == {"OWNER": "team-a"}


async def test_it_can_be_served_with_the_same_faults_and_counts(fake, orders):
    """Over the wire and in process."""
    async with fake.served() as local, local.cloud_map() as cloud_map:
        far = cloud_map.service("shop/orders")
        assert await far.attribute("QUEUE_URL") == await orders.attribute("QUEUE_URL") == "here"
        assert fake.calls["DiscoverInstances"] == local.stats.calls["DiscoverInstances"] == 2
        fake.fail("NamespaceNotFound")
        for handle in (far, orders):
            with pytest.raises(LookupError):
                await handle.resolve(max_age=0)
        assert "4 calls" in repr(fake)


async def test_requests_are_not_limited_while_time_stands_still(fake, orders):
    """AWS's bucket of 2,000 requests would never refill."""
    for _ in range(2_100):
        await fake.backend.discover(orders.query)
    assert fake.calls.total == 2_100
