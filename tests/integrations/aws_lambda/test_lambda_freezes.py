"""Functions that are frozen after each invocation, while the server closes their idle connections.

Each freeze takes a tenth of a second; FREEZE_SECONDS=3 makes it three.
"""

from __future__ import annotations

import json
import os
import time

import pytest

FREEZE = float(os.environ.get("FREEZE_SECONDS", "0.1"))
TIMES = 20
DISCOVER, SEND = "DiscoverInstances", "AmazonSQS.SendMessage"
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"


def over_http(event):
    """The event of an HTTP API, version 2.0, for Mangum."""
    return {
        "version": "2.0",
        "rawPath": "/orders",
        "rawQueryString": "",
        "headers": {"host": "shop.example", "content-type": "application/json"},
        "requestContext": {"http": {"method": "POST", "path": "/orders", "sourceIp": "127.0.0.1"}},
        "body": json.dumps(event),
        "isBase64Encoded": False,
    }


def body_of(answer):
    assert answer["statusCode"] == 200, answer
    return json.loads(answer["body"])


def same(value):
    return value


WAYS = {
    "async_handler": ("orders.decorated", same, same),
    "asyncio.run": ("orders.by_asyncio_run", same, same),
    "FastAPI and Mangum": ("web.handler", over_http, body_of),
}


def freeze(running, shop, all_closed) -> None:
    """Freeze the function, and let the server close idle connections."""
    running.freeze()
    shop.faults.drop_idle()
    assert all_closed()
    time.sleep(FREEZE)


@pytest.mark.parametrize("way", WAYS)
def test_twenty_invocations_with_freezes_cost_one_call_and_no_retry(function, shop, all_closed, way):
    """One process, one connection at a time, and one call for each order."""
    handler, asked, answered = WAYS[way]
    with function(handler) as running:
        answers = []
        for number in range(TIMES):
            answers.append(answered(running.invoke(asked({"order": number}))))
            freeze(running, shop, all_closed)
        assert running.cold_starts == 1
    assert {(answer["queue_url"], answer["retries"]) for answer in answers} == {(QUEUE_URL, 0)}
    assert len({answer["pid"] for answer in answers}) == 1
    assert shop.stats.calls.by_operation == {SEND: TIMES, DISCOVER: 1}
    assert shop.stats.connections_peak == 1
    assert shop.stats.connections_accepted == TIMES


def test_each_freeze_longer_than_the_ttl_costs_one_call(function, shop, all_closed):
    """The invocation waits for the new answer."""
    with function("orders.decorated", env={"AIOCLOUDMAP_TTL": str(FREEZE / 2)}) as running:
        for number in range(5):
            assert running.invoke({"order": number})["retries"] == 0
            assert shop.stats.calls.by_operation == {SEND: number + 1, DISCOVER: number + 1}
            freeze(running, shop, all_closed)
    assert shop.stats.connections_peak == 1


def test_a_hit_after_a_freeze_needs_no_network(function, shop, all_closed):
    """Cloud Map resets all connections, and the function opens none."""
    with function("orders.only_the_queue") as running:
        running.invoke()
        freeze(running, shop, all_closed)
        with shop.faults.reset():
            for _ in range(3):
                assert running.invoke()["queue_url"] == QUEUE_URL
    assert shop.stats.calls.by_operation == {DISCOVER: 1}
    assert shop.stats.connections_accepted == 1


def test_without_freezes_all_invocations_share_one_connection(function, shop):
    """The loop and its connections stay open between invocations."""
    with function("orders.decorated") as running:
        for number in range(5):
            running.invoke({"order": number})
    assert shop.stats.connections_accepted == 1
