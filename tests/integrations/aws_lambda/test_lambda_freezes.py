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
    """The event of an API, version 2, as Mangum knows it."""
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
    """Stop the function; meanwhile the server closes what is idle."""
    running.freeze()
    shop.faults.drop_idle()
    assert all_closed()
    time.sleep(FREEZE)


@pytest.mark.parametrize("way", WAYS)
def test_twenty_invocations_with_freezes_cost_one_question_and_no_retry(function, shop, all_closed, way):
    """One process, one connection at a time, each order sent by one call; Cloud Map is asked once."""
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


def test_each_time_that_the_ttl_passes_costs_one_question(function, shop, all_closed):
    """Each freeze is longer than the answer is fresh: each invocation asks once, and waits for the new answer."""
    with function("orders.decorated", env={"AIOCLOUDMAP_TTL": str(FREEZE / 2)}) as running:
        for number in range(5):
            assert running.invoke({"order": number})["retries"] == 0
            assert shop.stats.calls.by_operation == {SEND: number + 1, DISCOVER: number + 1}
            freeze(running, shop, all_closed)
    assert shop.stats.connections_peak == 1


def test_a_warm_hit_needs_no_network_at_all(function, shop, all_closed):
    """Once known, the queue is found while Cloud Map refuses everything, without a connection."""
    with function("orders.only_the_queue") as running:
        running.invoke()
        freeze(running, shop, all_closed)
        with shop.faults.reset():
            for _ in range(3):
                assert running.invoke()["queue_url"] == QUEUE_URL
    assert shop.stats.calls.by_operation == {DISCOVER: 1}
    assert shop.stats.connections_accepted == 1


def test_without_freezes_all_invocations_share_one_connection(function, shop):
    """The loop lives on between invocations, and its connections with it."""
    with function("orders.decorated") as running:
        for number in range(5):
            running.invoke({"order": number})
    assert shop.stats.connections_accepted == 1
