"""The dependencies of endpoints: the CloudMap, and attributes."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, WebSocket

from aiocloudmap import CachePolicy, CloudMap, ConfigurationError, ServiceName
from aiocloudmap.integrations.fastapi import Attribute, CloudMapDep, get_cloud_map, lifespan
from aiocloudmap.local import LocalCloudMap

QueueUrl = Annotated[str, Attribute("shop/orders", "QUEUE_URL")]
Weight = Annotated[int, Attribute(ServiceName("shop", "orders"), "WEIGHT", cast=int)]
Stage = Annotated[str, Attribute("shop/orders", "STAGE", default="live")]
Heavy = Annotated[
    str,
    Attribute(
        "shop/orders", "QUEUE_URL", health="ALL", where={"WEIGHT": "9"}, default="none", cache=CachePolicy(ttl=1)
    ),
]


async def labelled(queue_url: QueueUrl, stage: Stage) -> str:
    """A dependency with attributes as parameters."""
    return f"{stage}: {queue_url}"


def shop_front() -> FastAPI:
    """An application that responds with what it gets."""
    app = FastAPI()

    @app.get("/async")
    async def in_a_coroutine(queue_url: QueueUrl, weight: Weight) -> list[str | int]:
        return [queue_url, weight]

    @app.get("/sync")
    def in_a_thread(queue_url: QueueUrl, cloud_map: CloudMapDep) -> list[str | int]:
        snapshot = cloud_map.service("shop/orders").peek()
        return [queue_url, 0 if snapshot is None else len(snapshot)]

    @app.get("/default-value")
    async def as_a_default_value(queue_url: str = Attribute("shop/orders", "QUEUE_URL")) -> str:
        return queue_url

    @app.get("/labelled")
    async def through_a_dependency(label: Annotated[str, Depends(labelled)]) -> str:
        return label

    @app.get("/heavy")
    async def with_a_filter(queue_url: Heavy) -> str:
        return queue_url

    @app.websocket("/socket")
    async def in_a_web_socket(socket: WebSocket, queue_url: QueueUrl) -> None:
        await socket.accept()
        await socket.send_text(queue_url)

    return app


@pytest.fixture
def app(cloud_map: CloudMap) -> FastAPI:
    """The application, with the test's CloudMap as an override."""
    app = shop_front()
    app.dependency_overrides[get_cloud_map] = lambda: cloud_map
    return app


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/async", ["https://example.com/orders", 7]),
        ("/sync", ["https://example.com/orders", 1]),
        ("/default-value", "https://example.com/orders"),
        ("/labelled", "live: https://example.com/orders"),
        ("/heavy", "none"),
    ],
)
async def test_endpoints_get_attributes_and_one_override_reaches_all(running, app: FastAPI, path: str, answer):
    """In coroutines, threads and other dependencies; with casts, defaults and filters."""
    async with running(app) as client:
        assert (await client.get(path)).json() == answer


async def test_a_websocket_gets_attributes(connect, app: FastAPI):
    """FastAPI resolves their dependencies, too."""
    accepted, said = await connect(app, "/socket")
    assert accepted["type"] == "websocket.accept"
    assert said["text"] == "https://example.com/orders"


async def test_each_request_gets_the_current_value(running, app: FastAPI, cloud_map: CloudMap, shop, clock):
    """From the cache, without a call, until the answer is refreshed."""
    async with running(app) as client:
        for _ in range(10):
            await client.get("/default-value")
        assert cloud_map.stats().refreshes == 1
        shop.world.register("shop/orders", "orders-1", {"QUEUE_URL": "https://example.com/moved"})
        clock.tick(61)
        assert (await client.get("/default-value")).json() == "https://example.com/moved"


async def test_the_default_is_used_in_an_outage_too(running, app: FastAPI, shop: LocalCloudMap):
    """As in `Service.attribute`."""
    with shop.faults.server_error():
        async with running(app) as client:
            assert (await client.get("/heavy")).json() == "none"


def test_attributes_are_not_in_the_schema(app: FastAPI):
    """Neither as parameters nor as a body."""
    for path, methods in app.openapi()["paths"].items():
        assert "parameters" not in methods["get"], path
        assert "requestBody" not in methods["get"], path


async def test_without_a_lifespan_requests_share_one_default_cloud_map(running, served_shop: LocalCloudMap):
    """All of them together make one call."""
    async with running(shop_front()) as client:
        for _ in range(5):
            assert (await client.get("/default-value")).json() == "https://example.com/orders"
    assert served_shop.stats.calls.total == 1
    assert served_shop.stats.connections_accepted == 1


async def test_a_mounted_application_gets_the_outer_ones_cloud_map(running, cloud_map: CloudMap):
    """The outer lifespan runs, and its state is in the request."""
    outer = FastAPI(lifespan=lifespan(cloud_map))
    outer.mount("/inner", shop_front())
    async with running(outer) as client:
        assert (await client.get("/inner/async")).json() == ["https://example.com/orders", 7]


MODULE = """
from typing import Annotated
from fastapi import FastAPI
from aiocloudmap.integrations.fastapi import Attribute, CloudMapDep

app = FastAPI()

@app.get("/")
async def queue(queue_url: Annotated[str, Attribute("shop/orders", "QUEUE_URL")], cloud_map: CloudMapDep) -> str:
    return queue_url
"""


@pytest.mark.parametrize("first_line", ["", "from __future__ import annotations\n"], ids=["evaluated", "postponed"])
async def test_annotations_may_be_postponed_in_the_users_module(running, cloud_map: CloudMap, first_line: str):
    """FastAPI evaluates them in the module."""
    module = ModuleType("shop_front")
    exec(compile(first_line + MODULE, "shop_front.py", "exec", dont_inherit=True), module.__dict__)
    module.app.dependency_overrides[get_cloud_map] = lambda: cloud_map
    async with running(module.app) as client:
        assert (await client.get("/")).json() == "https://example.com/orders"


async def coroutine(text: str) -> str:
    """Not a valid cast, since it would not be awaited."""
    return text


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("shop", "URL"), {}, "^invalid service name 'shop'"),
        (("shop/or ders", "URL"), {}, "^invalid service name 'or ders'"),
        ((None, "URL"), {}, r"^invalid Attribute\(None, 'URL'\): expected a service name and an"),
        (("shop/orders", int), {}, "^invalid Attribute\\('shop/orders', <class 'int'>\\): expected"),
        (("shop/orders", "URL"), {"health": "FINE"}, "^invalid health filter 'FINE'"),
        (("shop/orders", "URL"), {"where": {"a b": "c"}}, "invalid attribute name 'a b'"),
        (("shop/orders", "URL"), {"owner_account": "12"}, "invalid owner_account '12'"),
        (("shop/orders", "URL"), {"cache": 30}, "^invalid cache 30: expected CachePolicy"),
        (("shop/orders", "URL"), {"cast": "int"}, "^invalid cast: expected a function, not str"),
        (("shop/orders", "URL"), {"cast": coroutine}, "coroutine function"),
    ],
)
def test_invalid_arguments_raise_an_error(arguments, options, message: str):
    """At the declaration, not at the first request."""
    with pytest.raises(ConfigurationError, match=message):
        Attribute(*arguments, **options)


def test_without_fastapi_the_error_says_what_to_install():
    """The command is at the end of the traceback."""
    program = "import sys; sys.modules['fastapi'] = None; import aiocloudmap.integrations.fastapi"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1].endswith("pip install 'aiocloudmap[fastapi]'")
