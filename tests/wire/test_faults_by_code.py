"""`Faults.fail`: the same error for the same code, over the wire and in process, for every code that there is."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import CloudMapError, ConfigurationError, ConnectionPolicy, RequestError, UnavailableError
from aiocloudmap.local import Faults, LocalCloudMap, World
from aiocloudmap.model.error_codes import CODES
from aiocloudmap.testing import ManualClock

SERVER_ERRORS = ("InternalFailure", "InternalServerError", "ServiceUnavailable")
ONE_ATTEMPT = ConnectionPolicy(max_attempts=1)


@pytest.fixture
async def local():
    async with LocalCloudMap(World(clock=ManualClock())) as local:
        local.world.register("shop/orders", "a")
        yield local


async def error_of(local, handle, code, **fault) -> CloudMapError:
    """What comes of a call that meets the fault, once earlier ones are forgotten."""
    local.world.clock.tick(60)
    with local.faults.fail(code, **fault), pytest.raises(CloudMapError) as caught:
        await handle.resolve(max_age=0)
    return caught.value


async def test_every_code_of_the_table_is_the_same_error_both_ways(local):
    """Its class, its advice and its code."""
    near = local.cloud_map(in_process=True).service("shop/orders")
    async with local.cloud_map(connections=ONE_ATTEMPT) as cloud_map:
        far = cloud_map.service("shop/orders")
        for code, row in CODES.items():
            errors = [await error_of(local, handle, code) for handle in (near, far)]
            assert [type(each) for each in errors] == [row.kind] * 2, code
            assert [each.advice for each in errors] == [row.advice] * 2, code
            assert [getattr(each, "code", code) for each in errors] == [code] * 2


async def test_what_aws_says_where_it_has_failed_itself_is_an_unavailability_both_ways(local):
    """With the status that goes with it, and where nothing is said at all."""
    near = local.cloud_map(in_process=True).service("shop/orders")
    async with local.cloud_map(connections=ONE_ATTEMPT) as cloud_map:
        for handle in (near, cloud_map.service("shop/orders")):
            assert [type(await error_of(local, handle, code)) for code in SERVER_ERRORS] == [UnavailableError] * 3
            assert "status 503" in str(await error_of(local, handle, "ServiceUnavailable"))
            local.world.clock.tick(60)
            with local.faults.fail(), pytest.raises(UnavailableError, match="status 500"):
                await handle.resolve(max_age=0)


async def test_a_code_that_nobody_knows_needs_its_status_and_is_carried_along(local):
    """AWS may send what no table has."""
    near = local.cloud_map(in_process=True).service("shop/orders")
    async with local.cloud_map(connections=ONE_ATTEMPT) as cloud_map:
        for handle in (near, cloud_map.service("shop/orders")):
            error = await error_of(local, handle, "CustomerHasLeft", status=410)
            assert (type(error), error.code) == (RequestError, "CustomerHasLeft")
            assert type(await error_of(local, handle, "CustomerHasLeft", status=502)) is UnavailableError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"error": "RequestLimitExceded"}, "is it RequestLimitExceeded"),
        ({"error": "nothing like it"}, "is no error code that this library knows. Where AWS does send it"),
        ({"error": 500}, "error=500 is no error code"),
        ({"error": "InternalFailure", "status": 200}, "from 400 to 599"),
        ({"error": "InternalFailure", "next": 0}, "no number of calls"),
    ],
)
def test_a_slip_is_refused_with_what_would_be_right(arguments, message):
    """A fault that means nothing would let a test pass for nothing."""
    faults = Faults()
    with pytest.raises(ConfigurationError, match=message):
        faults.fail(**arguments)
    assert faults.take("DiscoverInstances", "shop/orders")[0] == []


async def test_a_servers_delays_may_go_by_another_clock_than_its_world():
    """A client that goes by real time would else wait for a clock that stands still."""
    world, own = World(clock=ManualClock()), ManualClock()
    async with LocalCloudMap(world, clock=own) as local:
        world.register("shop/orders", "a")
        local.faults.delay(5, next=1)
        async with local.cloud_map() as cloud_map:
            waiting = asyncio.create_task(cloud_map.service("shop/orders").resolve())
            async with asyncio.timeout(10):
                while not own.timers:
                    await asyncio.sleep(0)
            own.tick(5)
            assert len(await waiting) == 1


def test_the_environment_leads_any_client_there():
    """What a child process needs to be told."""
    with LocalCloudMap() as local:
        assert local.environment["AWS_ENDPOINT_URL_SERVICEDISCOVERY"] == local.endpoint_url
        assert local.environment["AWS_REGION"] == local.environment["AWS_DEFAULT_REGION"] == local.world.region
    with pytest.raises(ConfigurationError, match="not running"):
        _ = local.environment
