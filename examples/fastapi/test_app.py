"""The service's own tests, with a local Cloud Map, a manual clock and a fake SQS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from app import app, find_sqs
from fastapi.testclient import TestClient

from aiocloudmap.integrations.fastapi import get_cloud_map
from aiocloudmap.local import LocalCloudMap, World
from aiocloudmap.testing import ManualClock


class Sqs:
    """Records the messages that are sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    async def send_message(self, **message: str) -> dict[str, str]:
        """The method of aiobotocore's client."""
        self.sent.append((message["QueueUrl"], message["MessageBody"]))
        return {"MessageId": str(len(self.sent))}


@pytest.fixture
def clock() -> ManualClock:
    """The time of Cloud Map and its clients."""
    return ManualClock()


@pytest.fixture
def shop(clock: ManualClock) -> LocalCloudMap:
    """A local Cloud Map with the queue."""
    local = LocalCloudMap(World(clock=clock))
    local.world.register("shop/orders", "orders-1", {"QUEUE_URL": "https://example.com/orders"})
    return local


@pytest.fixture
def sqs() -> Sqs:
    """Replaces the real SQS."""
    return Sqs()


@pytest.fixture
def client(shop: LocalCloudMap, sqs: Sqs) -> Iterator[TestClient]:
    """A client of the service, inside its lifespan."""
    cloud_map = shop.cloud_map(in_process=True)
    app.dependency_overrides = {get_cloud_map: lambda: cloud_map, find_sqs: lambda: sqs}
    with TestClient(app) as client:
        yield client
    app.dependency_overrides = {}


def test_an_order_goes_to_the_queue(client: TestClient, sqs: Sqs) -> None:
    """The queue is the one in Cloud Map."""
    response = client.post("/orders", json={"number": 7})
    assert (response.status_code, response.json()) == (202, {"message_id": "1"})
    assert sqs.sent == [("https://example.com/orders", '{"number":7}')]


def test_orders_follow_the_queue_when_it_moves(
    client: TestClient, sqs: Sqs, shop: LocalCloudMap, clock: ManualClock
) -> None:
    """Once the answer is so old that requests wait for a new one."""
    client.post("/orders", json={"number": 1})
    shop.world.register("shop/orders", "orders-1", {"QUEUE_URL": "https://example.com/moved"})
    clock.tick(61)
    client.post("/orders", json={"number": 2})
    assert [url for url, _ in sqs.sent] == ["https://example.com/orders", "https://example.com/moved"]


def test_requests_work_for_ten_minutes_of_an_outage(
    client: TestClient, sqs: Sqs, shop: LocalCloudMap, clock: ManualClock
) -> None:
    """Then requests get 503, and the process is alive, but not ready."""
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
