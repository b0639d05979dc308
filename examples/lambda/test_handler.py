"""The function's tests: run `pytest` in this folder, with aiocloudmap[testing] and pytest installed.

They run the handler in AWS's own runtime, against a local server for Cloud Map and SQS.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiocloudmap.local import LocalCloudMap
from aiocloudmap.testing.lambda_runtime import FunctionError, LambdaRuntime

QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"


class Sqs:
    """Accepts messages like SQS."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send_message(self, members: dict[str, Any]) -> dict[str, Any]:
        """The operation SendMessage."""
        self.sent.append(members)
        return {"MessageId": f"message-{len(self.sent)}"}


@pytest.fixture
def sqs() -> Sqs:
    """The messages that have been sent."""
    return Sqs()


@pytest.fixture
def shop(sqs: Sqs) -> Iterator[LocalCloudMap]:
    """Cloud Map with the queue, and SQS, on one server."""
    with LocalCloudMap(targets={"AmazonSQS.SendMessage": sqs.send_message}) as local:
        local.world.register("shop/orders", "orders-1", {"QUEUE_URL": QUEUE_URL})
        yield local


@pytest.fixture
def function(shop: LocalCloudMap) -> Iterator[LambdaRuntime]:
    """The function in a Lambda runtime."""
    world = {
        "AWS_ENDPOINT_URL_SERVICEDISCOVERY": shop.endpoint_url,
        "AWS_ENDPOINT_URL_SQS": shop.endpoint_url,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    with LambdaRuntime("handler.handler", cwd=Path(__file__).parent, env=world) as running:
        yield running


def test_orders_go_to_the_queue_in_cloud_map(function: LambdaRuntime, shop: LocalCloudMap, sqs: Sqs) -> None:
    """Three orders, with a freeze after each, in one process and with one call to Cloud Map."""
    for number in (1, 2, 3):
        assert function.invoke({"order": {"number": number}}) == {"message_id": f"message-{number}"}
        function.freeze()
    assert [json.loads(sent["MessageBody"]) for sent in sqs.sent] == [{"number": 1}, {"number": 2}, {"number": 3}]
    assert {sent["QueueUrl"] for sent in sqs.sent} == {QUEUE_URL}
    assert function.cold_starts == 1
    assert shop.stats.calls["DiscoverInstances"] == 1


def test_without_the_service_the_error_names_it(function: LambdaRuntime, shop: LocalCloudMap) -> None:
    """It is in the function's log."""
    shop.world.remove_service("shop/orders")
    with pytest.raises(FunctionError, match="ServiceNotFoundError: shop/orders"):
        function.invoke({"order": {"number": 1}})
