"""The lifespan: what it holds, what it asks for, what requests find."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial

import pytest
from fastapi import FastAPI, Request

from aiocloudmap import CloudMap, ConfigurationError
from aiocloudmap.integrations.fastapi import CloudMapDep, get_cloud_map, lifespan
from aiocloudmap.local import LocalCloudMap


def served_by(**arguments) -> FastAPI:
    """An application that tells which CloudMap its requests get."""
    app = FastAPI(lifespan=lifespan(**arguments))

    @app.get("/mine")
    async def mine(request: Request, cloud_map: CloudMapDep) -> list[int]:
        return [id(request.state.cloud_map), id(cloud_map)]

    @app.get("/orders")
    async def orders(cloud_map: CloudMapDep) -> int:
        return len(await cloud_map.service("shop/orders").resolve())

    return app


async def test_requests_get_the_cloud_map_of_the_lifespan(running, cloud_map: CloudMap):
    """By the dependency and by the request's state alike."""
    async with running(served_by(cloud_map=cloud_map)) as client:
        assert (await client.get("/mine")).json() == [id(cloud_map)] * 2


async def test_connections_are_held_between_requests_and_closed_at_the_end(running, served_shop: LocalCloudMap):
    """A second run of the same application asks nothing, since answers stay."""
    cloud_map = served_shop.cloud_map()
    app = served_by(cloud_map=cloud_map)
    async with running(app) as client:
        for _ in range(2):
            assert (await client.get("/orders")).json() == 1
            assert cloud_map.stats().open_connections == 1
    assert cloud_map.stats().open_connections == 0
    async with running(app) as client:
        assert (await client.get("/orders")).json() == 1
    assert served_shop.stats.calls["DiscoverInstances"] == 1
    assert served_shop.stats.connections_accepted == 1


AT_IMPORT = served_by(prefetch=["shop/orders"])


async def test_without_a_cloud_map_it_makes_one_of_the_settings_at_the_start(running, served_shop: LocalCloudMap):
    """What the environment says then counts, not what it said at import."""
    async with running(AT_IMPORT) as client:
        first, second = (await client.get("/mine")).json()
        assert first == second
        assert served_shop.stats.calls.of("shop/orders") == 1


async def test_what_is_prefetched_is_there_before_the_first_request(running, cloud_map: CloudMap):
    """By name, or as a handle with filters of its own."""
    unusual = cloud_map.service("shop/orders", where={"WEIGHT": "7"})
    async with running(served_by(cloud_map=cloud_map, prefetch=("shop/orders", unusual))) as client:
        assert cloud_map.stats().refreshes == 2
        assert unusual.peek()
        await client.get("/orders")
        assert cloud_map.stats().refreshes == 2


async def test_an_application_starts_in_an_outage(running, cloud_map: CloudMap, shop: LocalCloudMap):
    """Whether it is ready is asked of another place."""
    shop.faults.server_error()
    async with running(served_by(cloud_map=cloud_map, prefetch=["shop/orders"])) as client:
        assert (await client.get("/mine")).status_code == 200


async def test_a_wrong_configuration_keeps_it_from_starting(running):
    """Nothing would ever work; here there is no Region."""
    with pytest.raises(ConfigurationError, match="[Rr]egion"):
        async with running(served_by(prefetch=["shop/orders"])):
            pass


async def test_nothing_is_prefetched_where_the_cloud_map_is_overridden(running, cloud_map: CloudMap, shop):
    """A test that overrides it asks nobody else, and needs no Region."""
    app = served_by(prefetch=["shop/orders"])
    app.dependency_overrides[get_cloud_map] = lambda: cloud_map
    async with running(app) as client:
        assert (await client.get("/orders")).json() == 1


async def test_another_lifespan_runs_inside_and_its_state_is_kept(running, cloud_map: CloudMap):
    """It finds the answers there, and the connections are still held when it ends."""
    seen = []

    @asynccontextmanager
    async def other(app: FastAPI):
        seen.append(("start", cloud_map.service("shop/orders").peek() is not None))
        yield {"database": "open"}
        seen.append(("end", bool(await cloud_map.service("shop/orders").resolve())))

    app = FastAPI(lifespan=lifespan(cloud_map, prefetch=["shop/orders"], wrapping=other))

    @app.get("/state")
    async def state(request: Request) -> list[bool]:
        return [request.state.database == "open", request.state.cloud_map is cloud_map]

    async with running(app) as client:
        assert (await client.get("/state")).json() == [True, True]
    assert seen == [("start", True), ("end", True)]


async def test_another_lifespan_may_yield_nothing(running, cloud_map: CloudMap):
    """Most of them do."""

    @asynccontextmanager
    async def other(app: FastAPI):
        yield

    async with running(served_by(cloud_map=cloud_map, wrapping=other)) as client:
        assert (await client.get("/mine")).json() == [id(cloud_map)] * 2


async def test_a_state_that_has_a_cloud_map_already_is_refused(running, cloud_map: CloudMap):
    """One of the two would be lost without a word. The other lifespan ends in order."""
    ended = []

    @asynccontextmanager
    async def other(app: FastAPI):
        try:
            yield {"cloud_map": "mine"}
        finally:
            ended.append(True)

    with pytest.raises(ConfigurationError, match="'cloud_map' of its own"):
        async with running(served_by(cloud_map=cloud_map, wrapping=other)):
            pass
    assert ended == [True]


@pytest.mark.parametrize("state", [5, "database", ["database"]])
async def test_a_state_that_is_none_is_refused(running, cloud_map: CloudMap, state):
    """When the application starts; the other lifespan ends in order."""
    ended = []

    @asynccontextmanager
    async def other(app: FastAPI):
        try:
            yield state
        finally:
            ended.append(True)

    with pytest.raises(ConfigurationError, match=f"yields an object of type {type(state).__name__}. Let it yield a"):
        async with running(served_by(cloud_map=cloud_map, wrapping=other)):
            pass
    assert ended == [True]


async def test_what_gives_no_lifespan_is_refused_when_the_application_starts(running, cloud_map: CloudMap):
    """Nobody can tell before it is called."""
    with pytest.raises(ConfigurationError, match="wrapping is no lifespan"):
        async with running(served_by(cloud_map=cloud_map, wrapping=lambda _: None)):
            pass


async def undecorated(app):
    """Forgot its decorator."""
    yield


async def plain(app):
    """Is none."""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prefetch": ["shop"]}, "invalid service name 'shop'"),
        ({"prefetch": None}, r"prefetch=None is no list of names\. Write prefetch=\['shop/orders'\]"),
        ({"prefetch": 5}, "prefetch=5 is no list of names"),
        ({"prefetch": [5]}, "invalid service name 5: expected a string"),
        ({"prefetch": "shop/orders"}, r"prefetch=\['shop/orders'\]"),
        ({"cloud_map": FastAPI()}, r"FastAPI\(lifespan=lifespan\(\)\)"),
        ({"wrapping": undecorated}, "asynccontextmanager"),
        ({"wrapping": plain}, "asynccontextmanager"),
        ({"wrapping": partial(plain)}, "asynccontextmanager"),
        ({"wrapping": "other"}, "asynccontextmanager"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_written(arguments, message: str):
    """Not when the application starts."""
    with pytest.raises(ConfigurationError, match=message):
        lifespan(**arguments)
