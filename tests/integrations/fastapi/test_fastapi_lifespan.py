"""The lifespan: its connections, prefetching, and the state of requests."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial

import pytest
from botocore.loaders import JSONFileLoader
from fastapi import FastAPI, Request

from aiocloudmap import CloudMap, ConfigurationError
from aiocloudmap.integrations.fastapi import CloudMapDep, get_cloud_map, lifespan
from aiocloudmap.local import LocalCloudMap


def served_by(**arguments) -> FastAPI:
    """An application that responds with the CloudMap of the request."""
    app = FastAPI(lifespan=lifespan(**arguments))

    @app.get("/mine")
    async def mine(request: Request, cloud_map: CloudMapDep) -> list[int]:
        return [id(request.state.cloud_map), id(cloud_map)]

    @app.get("/orders")
    async def orders(cloud_map: CloudMapDep) -> int:
        return len(await cloud_map.service("shop/orders").resolve())

    return app


async def test_requests_get_the_cloud_map_of_the_lifespan(running, cloud_map: CloudMap):
    """From the dependency and from the request's state."""
    async with running(served_by(cloud_map=cloud_map)) as client:
        assert (await client.get("/mine")).json() == [id(cloud_map)] * 2


async def test_connections_stay_open_until_the_application_ends(running, served_shop: LocalCloudMap):
    """A second run makes no call, since answers stay in the cache."""
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


async def test_by_default_it_creates_a_cloud_map_at_startup(running, served_shop: LocalCloudMap):
    """It reads the environment then, not at import."""
    async with running(AT_IMPORT) as client:
        first, second = (await client.get("/mine")).json()
        assert first == second
        assert served_shop.stats.calls.of("shop/orders") == 1


async def test_prefetched_services_are_resolved_before_the_first_request(running, cloud_map: CloudMap):
    """Names, and handles with other filters."""
    unusual = cloud_map.service("shop/orders", where={"WEIGHT": "7"})
    async with running(served_by(cloud_map=cloud_map, prefetch=("shop/orders", unusual))) as client:
        assert cloud_map.stats().refreshes == 2
        assert unusual.peek()
        await client.get("/orders")
        assert cloud_map.stats().refreshes == 2


async def test_an_application_starts_in_an_outage(running, cloud_map: CloudMap, shop: LocalCloudMap):
    """Readiness reports it."""
    shop.faults.server_error()
    async with running(served_by(cloud_map=cloud_map, prefetch=["shop/orders"])) as client:
        assert (await client.get("/mine")).status_code == 200


async def test_a_wrong_configuration_prevents_the_start(running):
    """Here, the Region is missing."""
    with pytest.raises(ConfigurationError, match="[Rr]egion"):
        async with running(served_by(prefetch=["shop/orders"])):
            pass


async def test_nothing_is_prefetched_if_the_cloud_map_is_overridden(running, cloud_map: CloudMap, shop):
    """A test with an override needs no Region and makes no other call."""
    app = served_by(prefetch=["shop/orders"])
    app.dependency_overrides[get_cloud_map] = lambda: cloud_map
    async with running(app) as client:
        assert (await client.get("/orders")).json() == 1


async def test_another_lifespan_runs_inside_and_its_state_is_kept(running, cloud_map: CloudMap):
    """Services are prefetched before it starts, and connections stay open until it ends."""
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


async def test_a_state_with_its_own_cloud_map_raises_an_error(running, cloud_map: CloudMap):
    """One of them would be overwritten. The other lifespan still ends normally."""
    ended = []

    @asynccontextmanager
    async def other(app: FastAPI):
        try:
            yield {"cloud_map": "mine"}
        finally:
            ended.append(True)

    with pytest.raises(ConfigurationError, match="^the wrapped lifespan yields its own 'cloud_map'"):
        async with running(served_by(cloud_map=cloud_map, wrapping=other)):
            pass
    assert ended == [True]


@pytest.mark.parametrize("state", [5, "database", ["database"]])
async def test_a_state_that_is_not_a_mapping_raises_an_error(running, cloud_map: CloudMap, state):
    """At startup. The other lifespan still ends normally."""
    ended = []

    @asynccontextmanager
    async def other(app: FastAPI):
        try:
            yield state
        finally:
            ended.append(True)

    with pytest.raises(ConfigurationError, match=f"expected a mapping or None, not {type(state).__name__}$"):
        async with running(served_by(cloud_map=cloud_map, wrapping=other)):
            pass
    assert ended == [True]


async def test_a_function_that_returns_no_lifespan_raises_an_error(running, cloud_map: CloudMap):
    """At startup, when it is called."""
    with pytest.raises(ConfigurationError, match="^invalid wrapping: expected a lifespan function"):
        async with running(served_by(cloud_map=cloud_map, wrapping=lambda _: None)):
            pass


async def undecorated(app):
    """Lacks the decorator."""
    yield


async def plain(app):
    """Not a lifespan."""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prefetch": ["shop"]}, "^invalid service name 'shop'"),
        ({"prefetch": None}, r"^invalid prefetch None: expected a list like \['shop/orders'\]$"),
        ({"prefetch": 5}, "^invalid prefetch 5: expected a list"),
        ({"prefetch": [5]}, "^invalid service name 5: expected a string"),
        ({"prefetch": "shop/orders"}, r"^invalid prefetch 'shop/orders': expected a list like \['shop/orders'\]$"),
        (
            {"cloud_map": FastAPI()},
            r"^invalid cloud_map .*: expected CloudMap\. Write FastAPI\(lifespan=lifespan\(\)\)\.$",
        ),
        ({"wrapping": undecorated}, "asynccontextmanager"),
        ({"wrapping": plain}, "asynccontextmanager"),
        ({"wrapping": partial(plain)}, "asynccontextmanager"),
        ({"wrapping": "other"}, "asynccontextmanager"),
    ],
)
def test_invalid_arguments_raise_an_error(arguments, message: str):
    """At the call, not when the application starts."""
    with pytest.raises(ConfigurationError, match=message):
        lifespan(**arguments)


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The files of botocore's data that are read."""
    files: list[str] = []
    load = JSONFileLoader.load_file
    monkeypatch.setattr(JSONFileLoader, "load_file", lambda self, path: (files.append(path), load(self, path))[1])
    return files


async def test_preloaded_services_need_no_loading_later(running, served_shop: LocalCloudMap, read: list[str]):
    """It makes no AWS call."""
    cloud_map = served_shop.cloud_map()
    async with running(served_by(cloud_map=cloud_map, preload=["sqs"])) as client:
        assert any("sqs" in file for file in read)
        assert served_shop.stats.calls.total == 0
        read.clear()
        await cloud_map.client("sqs")
        assert (await client.get("/orders")).json() == 1
        assert read == []


async def test_an_overridden_cloud_map_preloads_nothing(running, cloud_map: CloudMap, read: list[str]):
    """The application may have no AWS settings in tests."""
    app = served_by(preload=["sqs"])
    app.dependency_overrides[get_cloud_map] = lambda: cloud_map
    async with running(app):
        assert read == []


@pytest.mark.parametrize("preload", ["sqs", 7])
def test_preload_takes_a_list(preload):
    """A text would be taken letter by letter."""
    with pytest.raises(ConfigurationError, match=r"expected a list like \['sqs'\]"):
        lifespan(preload=preload)
