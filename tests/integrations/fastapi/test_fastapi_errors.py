"""The responses to requests that fail because of Cloud Map."""

from __future__ import annotations

import logging
from typing import Annotated

import pytest
from fastapi import FastAPI, WebSocket

from aiocloudmap import (
    AccessDeniedError,
    CloudMap,
    ConfigurationError,
    ConnectError,
    DeadlineError,
    InvalidAttributeError,
    UnavailableError,
)
from aiocloudmap.integrations.fastapi import Attribute, CloudMapDep, add_exception_handlers, get_cloud_map
from aiocloudmap.local import LocalCloudMap

QueueUrl = Annotated[str, Attribute("shop/orders", "QUEUE_URL")]
Missing = Annotated[str, Attribute("shop/orders", "MISSING")]
Unreadable = Annotated[int, Attribute("shop/orders", "QUEUE_URL", cast=int)]
UNAVAILABLE = {"detail": "A service that is needed to answer is not available at the moment."}
NOT_FOUND = {"detail": "A service that is needed to answer cannot be found at the moment."}
DENIAL = "websocket.http.response"


def failing_with(error: Exception) -> FastAPI:
    """An application whose only endpoint raises the error."""
    app = FastAPI()
    add_exception_handlers(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    return app


@pytest.fixture
def app(cloud_map: CloudMap) -> FastAPI:
    """An application with endpoints that fail in different ways."""
    app = FastAPI()
    add_exception_handlers(app)
    app.dependency_overrides[get_cloud_map] = lambda: cloud_map

    @app.get("/queue")
    async def queue(queue_url: QueueUrl) -> str:
        return queue_url

    @app.get("/missing")
    async def missing(value: Missing) -> str:
        return value

    @app.get("/unreadable")
    async def unreadable(value: Unreadable) -> int:
        return value

    @app.get("/elsewhere/{service}")
    async def elsewhere(service: str, cloud_map: CloudMapDep) -> int:
        return len((await cloud_map.service(f"shop/{service}").pick()).attributes)

    @app.websocket("/before")
    async def before(socket: WebSocket, value: Missing) -> None:
        raise AssertionError("the attribute does not exist")

    @app.websocket("/after")
    async def after(socket: WebSocket, cloud_map: CloudMapDep) -> None:
        await socket.accept()
        await cloud_map.service("shop/nowhere").resolve()

    return app


@pytest.mark.parametrize(
    ("retry_after", "header"), [(None, "1"), (0.0, "1"), (0.2, "1"), (1.0, "1"), (12.2, "13"), (30.0, "30")]
)
async def test_an_unavailable_service_is_503_with_retry_after(running, retry_after, header: str):
    """In whole seconds, rounded up, and at least one."""
    async with running(failing_with(UnavailableError("no answer", retry_after=retry_after))) as client:
        response = await client.get("/")
    assert (response.status_code, response.json()) == (503, UNAVAILABLE)
    assert response.headers["Retry-After"] == header


@pytest.mark.parametrize("kind", [ConnectError, DeadlineError])
async def test_subclasses_of_unavailable_are_503_too(running, kind: type[UnavailableError]):
    """Also a deadline, which is a TimeoutError."""
    async with running(failing_with(kind("no answer"))) as client:
        assert (await client.get("/")).status_code == 503


async def test_an_outage_without_an_old_answer_is_503(running, app: FastAPI, shop: LocalCloudMap):
    """From the dependency to the header."""
    shop.faults.throttle()
    async with running(app) as client:
        response = await client.get("/queue")
    assert (response.status_code, response.json()) == (503, UNAVAILABLE)
    assert int(response.headers["Retry-After"]) == 1


@pytest.mark.parametrize("path", ["/missing", "/elsewhere/nowhere", "/elsewhere/empty"])
async def test_a_missing_service_is_503_without_retry_after(running, app: FastAPI, shop: LocalCloudMap, path: str):
    """Not 404, since the client's resource exists."""
    shop.world.register("shop/empty", "once")
    shop.world.deregister("shop/empty", "once")
    async with running(app) as client:
        response = await client.get(path)
    assert (response.status_code, response.json()) == (503, NOT_FOUND)
    assert "Retry-After" not in response.headers


async def test_the_log_has_the_details_that_the_response_omits(running, app: FastAPI, caplog):
    """The service and the attribute, but no attribute value."""
    caplog.set_level(logging.DEBUG, logger="aiocloudmap")
    async with running(app) as client:
        await client.get("/missing")
    [line] = [record.getMessage() for record in caplog.records if "503" in record.getMessage()]
    assert line.startswith("responded with 503: shop/orders: no instance has the attribute 'MISSING'")
    assert line.endswith("[AttributeNotFoundError]")
    assert "example.com" not in caplog.text


@pytest.mark.parametrize("kind", [ConfigurationError, AccessDeniedError, InvalidAttributeError])
async def test_errors_that_need_a_fix_are_raised(running, kind: type[Exception]):
    """The server responds with 500 and logs the traceback."""
    async with running(failing_with(kind("wrong"))) as client:
        with pytest.raises(kind):
            await client.get("/")


async def test_an_attribute_that_cannot_be_cast_is_raised(running, app: FastAPI):
    """Its value is not in the message."""
    async with running(app) as client:
        with pytest.raises(InvalidAttributeError) as caught:
            await client.get("/unreadable")
    assert "example.com" not in str(caught.value)


async def test_before_it_is_accepted_a_websocket_gets_503(connect, app: FastAPI):
    """If the server supports a response to the handshake."""
    start, body = await connect(app, "/before", extensions=(DENIAL,))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 503)
    assert b"cannot be found" in body["body"]


async def test_without_denial_responses_a_websocket_is_closed(connect, app: FastAPI):
    """ASGI servers need not support them."""
    [close] = await connect(app, "/before")
    assert (close["type"], close["code"]) == ("websocket.close", 1013)


async def test_an_accepted_websocket_is_closed_with_try_again_later(connect, app: FastAPI):
    """Code 1013, since it can get no status."""
    accept, close = await connect(app, "/after", extensions=(DENIAL,))
    assert accept["type"] == "websocket.accept"
    assert (close["type"], close["code"]) == ("websocket.close", 1013)
