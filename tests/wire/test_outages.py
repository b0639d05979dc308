"""Every kind of outage, over real sockets: an old answer is still returned; without one there is a named error."""

import asyncio

import pytest

from aiocloudmap import (
    AccessDeniedError,
    CachePolicy,
    CloudMap,
    ConnectError,
    ConnectionPolicy,
    CredentialsError,
    DeadlineError,
    ProtocolError,
    ThrottledError,
    UnavailableError,
)
from aiocloudmap.local import LocalCloudMap
from aiocloudmap.local.cloud_map import local_session
from aiocloudmap.testing import ManualClock

# Each attempt is short, so that a hang ends soon; the deadline is far off, so that a slow machine does not meet it.
CONNECTIONS = ConnectionPolicy(connect_timeout=0.5, read_timeout=0.3, discovery_timeout=60, max_attempts=2)
CACHE = CachePolicy(jitter=0, refresh="background", soft_timeout=0.3)
OUTAGES = {
    "throttled": (lambda local: local.faults.throttle(), ThrottledError),
    "status 500": (lambda local: local.faults.server_error(), UnavailableError),
    "status 503": (lambda local: local.faults.server_error(503), UnavailableError),
    "garbage": (lambda local: local.faults.garbage(), ProtocolError),
    "no body": (lambda local: local.faults.empty(), ProtocolError),
    "half a body": (lambda local: local.faults.truncate(), UnavailableError),
    "reset": (lambda local: local.faults.reset(), ConnectError),
    "hang": (lambda local: local.faults.hang(), DeadlineError),
    "expired token": (lambda local: local.faults.expired_token(), CredentialsError),
    "access denied": (lambda local: local.faults.access_denied(), AccessDeniedError),
}


class Mixed(ManualClock):
    """Freshness and backoff on a manual clock, time-outs in real time."""

    def call_later(self, delay, callback):
        return asyncio.get_running_loop().call_later(delay, callback)


@pytest.mark.parametrize("outage", OUTAGES)
async def test_in_fallback_every_caller_gets_the_old_answer(local, outage):
    """Twenty callers one after another cost one failed call; only the first one may wait."""
    clock = Mixed()
    async with local.cloud_map(clock=clock, cache=CACHE, connections=CONNECTIONS) as cloud_map:
        orders = cloud_map.service("shop/orders")
        old = await orders.resolve()
        OUTAGES[outage][0](local)
        clock.tick(100)
        answers = [await orders.resolve() for _ in range(20)]
        assert answers == [old] * 20
        while orders.explain().in_flight:
            await asyncio.sleep(0.01)
        assert cloud_map.stats().refreshes == 2
        assert cloud_map.stats().failures == 1
        assert isinstance(orders.explain().last_error, OUTAGES[outage][1])


@pytest.mark.parametrize("outage", OUTAGES)
async def test_without_an_old_answer_there_is_a_named_error(local, outage):
    """Until the backoff is over, the same error comes immediately, without a call."""
    switch_on, expected = OUTAGES[outage]
    switch_on(local)
    async with local.cloud_map(clock=Mixed(), cache=CACHE, connections=CONNECTIONS) as cloud_map:
        orders = cloud_map.service("shop/orders")
        with pytest.raises(expected) as caught:
            await orders.resolve()
        assert "shop/orders" in str(caught.value)
        calls = cloud_map.stats().refreshes
        with pytest.raises(expected) as again:
            await orders.resolve()
        assert again.value is not caught.value
        assert cloud_map.stats().refreshes == calls == 1
        if isinstance(again.value, UnavailableError):
            assert 0 < (again.value.retry_after or 0) <= 30


async def test_the_deadline_covers_all_attempts(local):
    """discovery_timeout includes queueing, connecting and every attempt."""
    local.faults.hang()
    connections = ConnectionPolicy(read_timeout=3600, discovery_timeout=1)
    async with local.cloud_map(cache=CACHE, connections=connections) as cloud_map:
        with pytest.raises(DeadlineError, match="no answer within 1 s"):
            await cloud_map.service("shop/orders").resolve()


async def test_a_refused_connection_is_a_connect_error(local):
    """The server has stopped."""
    with LocalCloudMap() as gone:
        url = gone.endpoint_url
    cloud_map = CloudMap(
        endpoint_url=url, region="eu-west-1", session_factory=local_session, shared=False, connections=CONNECTIONS
    )
    async with cloud_map:
        with pytest.raises(ConnectError, match="shop/orders"):
            await cloud_map.service("shop/orders").resolve()


async def test_a_default_is_returned_in_an_outage(local):
    """A cold start during an outage goes on with the caller's default."""
    local.faults.server_error()
    async with local.cloud_map(cache=CACHE, connections=CONNECTIONS) as cloud_map:
        assert await cloud_map.service("shop/orders").attribute("QUEUE_URL", default="https://spare") == "https://spare"


async def test_the_first_call_after_the_outage_is_answered(local):
    """max_age=0 does not wait for the backoff."""
    local.faults.reset()
    async with local.cloud_map(cache=CACHE, connections=CONNECTIONS) as cloud_map:
        orders = cloud_map.service("shop/orders")
        with pytest.raises(ConnectError):
            await orders.resolve()
        local.faults.clear()
        assert len(await orders.resolve(max_age=0)) == 1
        assert orders.explain().last_error is None
