"""When a process is ready, and what the check costs."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI

from aiocloudmap import CloudMap, ConfigurationError, Discovery, Instance, Query
from aiocloudmap.integrations.fastapi import lifespan, readiness
from aiocloudmap.local import LocalCloudMap


def probed(cloud_map: CloudMap, *services, **options) -> FastAPI:
    """An application with a readiness check."""
    app = FastAPI(lifespan=lifespan(cloud_map))
    app.get("/ready")(readiness(*services, **options))
    return app


async def test_a_process_without_requests_becomes_ready(running, cloud_map: CloudMap):
    """The first check makes a call, and later ones use the cache."""
    async with running(probed(cloud_map, "shop/orders")) as client:
        for _ in range(5):
            response = await client.get("/ready")
            assert (response.status_code, response.json()) == (200, {"shop/orders": "fresh"})
    assert cloud_map.stats().refreshes == 1


@pytest.mark.parametrize(("age", "state"), [(10, "fresh"), (45, "stale"), (300, "fallback"), (629, "fallback")])
async def test_with_an_old_answer_it_is_ready_without_a_call(
    running, cloud_map: CloudMap, shop: LocalCloudMap, clock, age: float, state: str
):
    """An outage of AWS takes no process out of service while its answers are used."""
    async with running(probed(cloud_map, "shop/orders")) as client:
        await cloud_map.prefetch("shop/orders")
        shop.faults.server_error()
        clock.tick(age)
        response = await client.get("/ready")
    assert (response.status_code, response.json()) == (200, {"shop/orders": state})
    assert cloud_map.stats().refreshes == 1


async def test_with_an_expired_answer_it_is_not_ready(running, cloud_map: CloudMap, shop: LocalCloudMap, clock):
    """After the outage, it becomes ready again by itself."""
    async with running(probed(cloud_map, "shop/orders")) as client:
        await cloud_map.prefetch("shop/orders")
        with shop.faults.server_error():
            clock.tick(631)
            response = await client.get("/ready")
            assert response.status_code == 503
            assert response.json() == {"detail": {"missing": {"shop/orders": "UnavailableError"}}}
        clock.tick(1)
        assert (await client.get("/ready")).status_code == 200


async def test_checks_in_an_outage_respect_the_backoff(running, cloud_map: CloudMap, shop):
    """Frequent probes from every process would prolong it."""
    shop.faults.server_error()
    async with running(probed(cloud_map, "shop/orders")) as client:
        for _ in range(10):
            assert (await client.get("/ready")).status_code == 503
    assert cloud_map.stats().refreshes == 1


async def test_after_its_timeout_the_call_continues(running, cloud_map: CloudMap, shop: LocalCloudMap):
    """The next check uses the answer."""
    hold = shop.faults.hold()
    async with running(probed(cloud_map, "shop/orders", timeout=0.01)) as client:
        response = await client.get("/ready")
        assert (response.status_code, response.json()["detail"]) == (503, {"missing": {"shop/orders": "DeadlineError"}})
        hold.clear()
        await cloud_map.service("shop/orders").resolve()
        assert (await client.get("/ready")).status_code == 200
    assert cloud_map.stats().refreshes == 1


async def test_the_response_names_missing_services_only(running, cloud_map: CloudMap, shop: LocalCloudMap):
    """A service that does not exist, and one without instances."""
    shop.world.register("shop/empty", "once")
    shop.world.deregister("shop/empty", "once")
    async with running(probed(cloud_map, "shop/orders", "shop/nowhere", "shop/empty")) as client:
        response = await client.get("/ready")
    assert response.status_code == 503
    assert response.json()["detail"]["missing"] == {
        "shop/nowhere": "ServiceNotFoundError",
        "shop/empty": "NoInstancesError",
    }


async def test_a_handle_is_checked_with_its_own_filters(running, cloud_map: CloudMap):
    """As the endpoints that use it."""
    heavy = cloud_map.service("shop/orders", where={"WEIGHT": "9"})
    async with running(probed(cloud_map, heavy)) as client:
        response = await client.get("/ready")
    assert response.json()["detail"]["missing"] == {"shop/orders": "NoInstancesError"}


async def test_handles_of_one_service_are_checked_separately(running, cloud_map: CloudMap):
    """An answer to one does not hide that the other has none."""
    heavy = cloud_map.service("shop/orders", where={"WEIGHT": "9"})
    for services in ((heavy, "shop/orders"), ("shop/orders", heavy)):
        async with running(probed(cloud_map, *services)) as client:
            response = await client.get("/ready")
        assert response.json()["detail"]["missing"] == {"shop/orders": "NoInstancesError"}


async def test_it_may_be_a_dependency_of_a_route(running, cloud_map: CloudMap, shop: LocalCloudMap):
    """It fails with 503, or returns the state of each service."""
    app = FastAPI(lifespan=lifespan(cloud_map))

    @app.get("/healthz")
    async def healthz(found: Annotated[dict, Depends(CHECK)]) -> list[str]:
        return ["database", *found]

    async with running(app) as client:
        assert (await client.get("/healthz")).json() == ["database", "shop/orders"]
        cloud_map.clear()
        shop.faults.server_error()
        assert (await client.get("/healthz")).status_code == 503


CHECK = readiness("shop/orders")


class Misconfigured:
    """A backend that loses its configuration."""

    def __init__(self) -> None:
        self.lost = False

    async def discover(self, query: Query) -> Discovery:
        """One instance, or the error."""
        if self.lost:
            raise ConfigurationError("the settings are gone")
        return Discovery((Instance("orders-1", query.service),))


async def test_a_wrong_configuration_is_raised(running, clock):
    """By the check when requests fail with it, until it is fixed."""
    backend = Misconfigured()
    cloud_map = CloudMap(backend=backend, clock=clock)
    orders = cloud_map.service("shop/orders")
    async with running(probed(cloud_map, "shop/orders")) as client:
        assert (await client.get("/ready")).status_code == 200
        backend.lost = True
        with pytest.raises(ConfigurationError):
            await orders.resolve(max_age=0)
        # Requests still get the fresh answer at once.
        assert (await client.get("/ready")).status_code == 200
        clock.tick(100)
        with pytest.raises(ConfigurationError):
            await orders.resolve()
        assert orders.peek()
        with pytest.raises(ConfigurationError):
            await client.get("/ready")
        backend.lost = False
        assert (await client.get("/ready")).json() == {"shop/orders": "fresh"}


@pytest.mark.parametrize(
    ("services", "options", "message"),
    [
        ((), {}, "needs at least one service"),
        (("shop",), {}, "^invalid service name 'shop'"),
        (("shop/orders",), {"timeout": 0}, "^invalid timeout 0: expected a number of 0.001 or more$"),
        (("shop/orders",), {"timeout": "1"}, "^invalid timeout '1': expected a number"),
        (("shop/orders",), {"timeout": True}, "^invalid timeout True: expected a number"),
    ],
)
def test_invalid_arguments_raise_an_error(services, options, message: str):
    """At the call, not at the first check."""
    with pytest.raises(ConfigurationError, match=message):
        readiness(*services, **options)
