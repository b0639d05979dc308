"""The service's own tests: Cloud Map is in this process, time is under control, SQS only remembers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from app import app, find_sqs
from fastapi.testclient import TestClient

from aiocloudmap.integrations.fastapi import get_cloud_map
from aiocloudmap.local import LocalCloudMap, World
from aiocloudmap.testing import ManualClock


class Sqs:
    """Remembers what it was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    async def send_message(self, **message: str) -> dict[str, str]:
        """As the client of aiobotocore does."""
        self.sent.append((message["QueueUrl"], message["MessageBody"]))
        return {"MessageId": str(len(self.sent))}


@pytest.fixture
def clock() -> ManualClock:
    """The time of the shop and of those who ask it."""
    return ManualClock()


@pytest.fixture
def shop(clock: ManualClock) -> LocalCloudMap:
    """A Cloud Map that knows the queue."""
    local = LocalCloudMap(World(clock=clock))
    local.world.register("shop/orders", "orders-1", {"QUEUE_URL": "https://example.com/orders"})
    return local


@pytest.fixture
def sqs() -> Sqs:
    """In place of the real one."""
    return Sqs()


@pytest.fixture
def client(shop: LocalCloudMap, sqs: Sqs) -> Iterator[TestClient]:
    """A client of the service, which runs with its lifespan."""
    cloud_map = shop.cloud_map(in_process=True)
    app.dependency_overrides = {get_cloud_map: lambda: cloud_map, find_sqs: lambda: sqs}
    with TestClient(app) as client:
        yield client
    app.dependency_overrides = {}


def test_an_order_goes_to_the_queue(client: TestClient, sqs: Sqs) -> None:
    """The one that Cloud Map names."""
    response = client.post("/orders", json={"number": 7})
    assert (response.status_code, response.json()) == (202, {"message_id": "1"})
    assert sqs.sent == [("https://example.com/orders", '{"number":7}')]


def test_orders_follow_the_queue_when_it_moves(
    client: TestClient, sqs: Sqs, shop: LocalCloudMap, clock: ManualClock
) -> None:
    """Once the answer is so old that it is renewed before it is given."""
    client.post("/orders", json={"number": 1})
    shop.world.register("shop/orders", "orders-1", {"QUEUE_URL": "https://example.com/moved"})
    clock.tick(61)
    client.post("/orders", json={"number": 2})
    assert [url for url, _ in sqs.sent] == ["https://example.com/orders", "https://example.com/moved"]


def test_an_outage_is_survived_for_ten_minutes(
    client: TestClient, sqs: Sqs, shop: LocalCloudMap, clock: ManualClock
) -> None:
    """Then clients are told to come again, and the process is not ready, but alive."""
    client.post("/orders", json={"number": 1})
    shop.faults.server_error()

    clock.tick(600)
    assert client.post("/orders", json={"number": 2}).status_code == 202
    assert client.get("/ready").status_code == 200

    clock.tick(60)
    response = client.post("/orders", json={"number": 3})
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    assert client.get("/ready").status_code == 503
    assert client.get("/live").status_code == 200
    assert len(sqs.sent) == 2
