"""A local Cloud Map with SQS, and Lambda functions that use them."""

from __future__ import annotations

import hashlib
import os
import time
from functools import partial
from pathlib import Path

import pytest

from aiocloudmap.local import LocalCloudMap, Quotas, World

FUNCTIONS = Path(__file__).parent / "functions"
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
TIMEOUT = 30.0


def accept(members):
    """SQS's response to a message."""
    return {"MessageId": "1", "MD5OfMessageBody": hashlib.md5(members["MessageBody"].encode()).hexdigest()}


@pytest.fixture
def shop():
    """Cloud Map and SQS on one server."""
    world = World(quotas=Quotas.unlimited())
    world.register("shop/orders", "one", {"QUEUE_URL": QUEUE_URL})
    with LocalCloudMap(world, targets={"AmazonSQS.SendMessage": accept}) as local:
        yield local


@pytest.fixture
def function(shop):
    """Creates functions that are configured by their environment only. Answers are fresh for an hour."""
    runtime = pytest.importorskip("aiocloudmap.testing.lambda_runtime", reason="awslambdaric is not installed")
    world = {
        "AWS_ENDPOINT_URL": shop.endpoint_url,
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AIOCLOUDMAP_TTL": "3600",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }

    def make(handler, *, env=None, **settings):
        return runtime.LambdaRuntime(handler, cwd=FUNCTIONS, env=world | (env or {}), **settings)

    return make


def until(condition) -> bool:
    """Poll until another process has fulfilled the condition; return whether it has."""
    end = time.monotonic() + TIMEOUT
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    return condition()


@pytest.fixture
def all_closed(shop):
    """Waits until the server has no open connection."""
    return partial(until, lambda: shop.stats.connections_open == 0)
