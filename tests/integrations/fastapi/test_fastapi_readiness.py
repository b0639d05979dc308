"""When a process counts as ready, and what finding that out costs."""

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


async def test_a_process_that_nobody_has_asked_yet_becomes_ready(running, cloud_map: CloudMap):
    """The check asks once, and every later one reads memory."""
    async with running(probed(cloud_map, "shop/orders")) as client:
        for _ in range(5):
            response = await client.get("/ready")
            assert (response.status_code, response.json()) == (200, {"shop/orders": "fresh"})
    assert cloud_map.stats().refreshes == 1


@pytest.mark.parametrize(("age", "state"), [(10, "fresh"), (45, "stale"), (300, "fallback"), (629, "fallback")])
async def test_an_old_answer_that_is_still_served_is_ready_and_costs_no_call(
    running, cloud_map: CloudMap, shop: LocalCloudMap, clock, age: float, state: str
):
    """An outage of AWS takes nobody out of service before the answer's end."""
    async with running(probed(cloud_map, "shop/orders")) as client:
        await cloud_map.prefetch("shop/orders")
        shop.faults.server_error()
        clock.tick(age)
        response = await client.get("/ready")
    assert (response.status_code, response.json()) == (200, {"shop/orders": state})
    assert cloud_map.stats().refreshes == 1


async def test_beyond_its_end_an_answer_is_missing(running, cloud_map: CloudMap, shop: LocalCloudMap, clock):
    """And when AWS is back, the process becomes ready again by itself."""
    async with running(probed(cloud_map, "shop/orders")) as client:
        await cloud_map.prefetch("shop/orders")
        with shop.faults.server_error():
            clock.tick(631)
            response = await client.get("/ready")
            assert response.status_code == 503
            assert response.json() == {"detail": {"missing": {"shop/orders": "UnavailableError"}}}
        clock.tick(1)
        assert (await client.get("/ready")).status_code == 200


async def test_checks_in_an_outage_ask_no_more_often_than_the_backoff_allows(running, cloud_map: CloudMap, shop):
    """Probes come every few seconds from every process, and AWS has trouble enough."""
    shop.faults.server_error()
    async with running(probed(cloud_map, "shop/orders")) as client:
        for _ in range(10):
            assert (await client.get("/ready")).status_code == 503
    assert cloud_map.stats().refreshes == 1


async def test_a_check_waits_no_longer_than_it_may_and_the_next_one_finds_the_answer(
    running, cloud_map: CloudMap, shop: LocalCloudMap
):
    """The call goes on when the prober has got its answer."""
    hold = shop.faults.hold()
    async with running(probed(cloud_map, "shop/orders", timeout=0.01)) as client:
        response = await client.get("/ready")
        assert (response.status_code, response.json()["detail"]) == (503, {"missing": {"shop/orders": "DeadlineError"}})
        hold.clear()
        await cloud_map.service("shop/orders").resolve()
        assert (await client.get("/ready")).status_code == 200
    assert cloud_map.stats().refreshes == 1


async def test_only_what_is_missing_is_named(running, cloud_map: CloudMap, shop: LocalCloudMap):
    """A service that does not exist, one without instances; not the one that is there."""
    shop.world.register("shop/empty", "once")
    shop.world.deregister("shop/empty", "once")
    async with running(probed(cloud_map, "shop/orders", "shop/nowhere", "shop/empty")) as client:
        response = await client.get("/ready")
    assert response.status_code == 503
    assert response.json()["detail"]["missing"] == {
        "shop/nowhere": "ServiceNotFoundError",
        "shop/empty": "NoInstancesError",
    }


async def test_a_handle_is_asked_with_its_own_filters(running, cloud_map: CloudMap):
    """The question of the endpoints is the one that has to have an answer."""
    heavy = cloud_map.service("shop/orders", where={"WEIGHT": "9"})
    async with running(probed(cloud_map, heavy)) as client:
        response = await client.get("/ready")
    assert response.json()["detail"]["missing"] == {"shop/orders": "NoInstancesError"}


async def test_two_questions_about_one_service_are_two(running, cloud_map: CloudMap):
    """That one of them has an answer does not cover the other up."""
    heavy = cloud_map.service("shop/orders", where={"WEIGHT": "9"})
    for services in ((heavy, "shop/orders"), ("shop/orders", heavy)):
        async with running(probed(cloud_map, *services)) as client:
            response = await client.get("/ready")
        assert response.json()["detail"]["missing"] == {"shop/orders": "NoInstancesError"}


async def test_it_may_be_a_part_of_a_route_of_your_own(running, cloud_map: CloudMap, shop: LocalCloudMap):
    """A dependency that ends the request with 503, or gives what it found."""
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
    """A source of truth that loses its settings."""

    def __init__(self) -> None:
        self.lost = False

    async def discover(self, query: Query) -> Discovery:
        """One instance, or the error."""
        if self.lost:
            raise ConfigurationError("the settings are gone")
        return Discovery((Instance("orders-1", query.service),))


async def test_a_wrong_configuration_is_not_hidden(running, clock):
    """No old answer covers it up: requests would fail, so the check does; and it sees when it is right again."""
    backend = Misconfigured()
    cloud_map = CloudMap(backend=backend, clock=clock)
    orders = cloud_map.service("shop/orders")
    async with running(probed(cloud_map, "shop/orders")) as client:
        assert (await client.get("/ready")).status_code == 200
        backend.lost = True
        with pytest.raises(ConfigurationError):
            await orders.resolve(max_age=0)
        # Requests are still given the fresh answer at once.
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
        ((), {}, "no service to look for"),
        (("shop",), {}, "invalid service name 'shop'"),
        (("shop/orders",), {"timeout": 0}, "timeout=0 is no time"),
        (("shop/orders",), {"timeout": "1"}, "timeout='1' is no time"),
        (("shop/orders",), {"timeout": True}, "timeout=True is no time"),
    ],
)
def test_a_check_that_could_tell_nothing_is_refused_at_once(services, options, message: str):
    """Where it is written."""
    with pytest.raises(ConfigurationError, match=message):
        readiness(*services, **options)
