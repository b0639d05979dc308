"""`Faults.fail`: every code raises the same error over the wire and in process."""

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
    """The error of a call with the fault, after the effects of earlier faults have ended."""
    local.world.clock.tick(60)
    with local.faults.fail(code, **fault), pytest.raises(CloudMapError) as caught:
        await handle.resolve(max_age=0)
    return caught.value


async def test_every_code_raises_the_same_error_both_ways(local):
    """Class, advice and code."""
    near = local.cloud_map(in_process=True).service("shop/orders")
    async with local.cloud_map(connections=ONE_ATTEMPT) as cloud_map:
        far = cloud_map.service("shop/orders")
        for code, row in CODES.items():
            errors = [await error_of(local, handle, code) for handle in (near, far)]
            assert [type(each) for each in errors] == [row.kind] * 2, code
            assert [each.advice for each in errors] == [row.advice] * 2, code
            assert [getattr(each, "code", code) for each in errors] == [code] * 2


async def test_server_error_codes_raise_unavailable_error_both_ways(local):
    """With the status of the code, and 500 by default."""
    near = local.cloud_map(in_process=True).service("shop/orders")
    async with local.cloud_map(connections=ONE_ATTEMPT) as cloud_map:
        for handle in (near, cloud_map.service("shop/orders")):
            assert [type(await error_of(local, handle, code)) for code in SERVER_ERRORS] == [UnavailableError] * 3
            assert "status 503" in str(await error_of(local, handle, "ServiceUnavailable"))
            local.world.clock.tick(60)
            with local.faults.fail(), pytest.raises(UnavailableError, match="status 500"):
                await handle.resolve(max_age=0)


async def test_an_unknown_code_requires_a_status(local):
    """The error has the code."""
    near = local.cloud_map(in_process=True).service("shop/orders")
    async with local.cloud_map(connections=ONE_ATTEMPT) as cloud_map:
        for handle in (near, cloud_map.service("shop/orders")):
            error = await error_of(local, handle, "CustomerHasLeft", status=410)
            assert (type(error), error.code) == (RequestError, "CustomerHasLeft")
            assert type(await error_of(local, handle, "CustomerHasLeft", status=502)) is UnavailableError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"error": "RequestLimitExceded"},
            "^invalid error 'RequestLimitExceded': .*mean 'RequestLimitExceeded'",
        ),
        ({"error": "nothing like it"}, "expected an error code that this library knows. For any other code"),
        ({"error": 500}, "^invalid error 500: expected"),
        ({"error": "InternalFailure", "status": 200}, "^invalid status 200: expected a whole number from 400 to 599"),
        ({"error": "InternalFailure", "next": 0}, "^invalid next 0: expected a whole number of 1 or more"),
    ],
)
def test_an_invalid_fault_is_refused(arguments, message):
    """The message says what was expected, and the fault is not switched on."""
    faults = Faults()
    with pytest.raises(ConfigurationError, match=message):
        faults.fail(**arguments)
    assert faults.take("DiscoverInstances", "shop/orders")[0] == []


async def test_a_server_may_use_another_clock_than_its_world():
    """For clients that use real time, while the world's clock stands still."""
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


def test_the_environment_leads_clients_to_the_server():
    """For child processes."""
    with LocalCloudMap() as local:
        assert local.environment["AWS_ENDPOINT_URL_SERVICEDISCOVERY"] == local.endpoint_url
        assert local.environment["AWS_REGION"] == local.environment["AWS_DEFAULT_REGION"] == local.world.region
    with pytest.raises(ConfigurationError, match="not running"):
        _ = local.environment
