"""What clients are told when something cannot be found."""

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
    """An application whose only endpoint fails so."""
    app = FastAPI()
    add_exception_handlers(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    return app


@pytest.fixture
def app(cloud_map: CloudMap) -> FastAPI:
    """An application that needs this and that."""
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
        raise AssertionError("it has no value")

    @app.websocket("/after")
    async def after(socket: WebSocket, cloud_map: CloudMapDep) -> None:
        await socket.accept()
        await cloud_map.service("shop/nowhere").resolve()

    return app


@pytest.mark.parametrize(
    ("retry_after", "header"), [(None, "1"), (0.0, "1"), (0.2, "1"), (1.0, "1"), (12.2, "13"), (30.0, "30")]
)
async def test_unavailable_is_503_and_says_when_to_come_again(running, retry_after, header: str):
    """In whole seconds, never sooner than AWS is asked again, and never at once."""
    async with running(failing_with(UnavailableError("no answer", retry_after=retry_after))) as client:
        response = await client.get("/")
    assert (response.status_code, response.json()) == (503, UNAVAILABLE)
    assert response.headers["Retry-After"] == header


@pytest.mark.parametrize("kind", [ConnectError, DeadlineError])
async def test_every_kind_of_unavailability_is_the_same_to_a_client(running, kind: type[UnavailableError]):
    """A deadline is a TimeoutError, too, and no less a 503."""
    async with running(failing_with(kind("no answer"))) as client:
        assert (await client.get("/")).status_code == 503


async def test_an_outage_without_an_old_answer_is_503(running, app: FastAPI, shop: LocalCloudMap):
    """The whole way, from the dependency to the header."""
    shop.faults.throttle()
    async with running(app) as client:
        response = await client.get("/queue")
    assert (response.status_code, response.json()) == (503, UNAVAILABLE)
    assert int(response.headers["Retry-After"]) == 1


@pytest.mark.parametrize("path", ["/missing", "/elsewhere/nowhere", "/elsewhere/empty"])
async def test_what_is_not_found_is_503_without_a_time(running, app: FastAPI, shop: LocalCloudMap, path: str):
    """It is not what the client asked for that is missing, so it is no 404."""
    shop.world.register("shop/empty", "once")
    shop.world.deregister("shop/empty", "once")
    async with running(app) as client:
        response = await client.get(path)
    assert (response.status_code, response.json()) == (503, NOT_FOUND)
    assert "Retry-After" not in response.headers


async def test_the_log_says_what_the_client_is_not_told(running, app: FastAPI, caplog):
    """The service and the attribute, and no value of any."""
    caplog.set_level(logging.DEBUG, logger="aiocloudmap")
    async with running(app) as client:
        await client.get("/missing")
    [line] = [record.getMessage() for record in caplog.records if "503" in record.getMessage()]
    assert line.startswith("answered 503: shop/orders: no instance has the attribute 'MISSING'")
    assert line.endswith("[AttributeNotFoundError]")
    assert "example.com" not in caplog.text


@pytest.mark.parametrize("kind", [ConfigurationError, AccessDeniedError, InvalidAttributeError])
async def test_what_only_people_can_put_right_stays_an_error(running, kind: type[Exception]):
    """The server answers 500 and logs the traceback, as for any other mistake."""
    async with running(failing_with(kind("wrong"))) as client:
        with pytest.raises(kind):
            await client.get("/")


async def test_an_attribute_that_cannot_be_read_stays_an_error(running, app: FastAPI):
    """And its value is not in the message."""
    async with running(app) as client:
        with pytest.raises(InvalidAttributeError) as caught:
            await client.get("/unreadable")
    assert "example.com" not in str(caught.value)


async def test_a_web_socket_is_refused_with_503_before_it_is_accepted(connect, app: FastAPI):
    """Where the server can answer a handshake."""
    start, body = await connect(app, "/before", extensions=(DENIAL,))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 503)
    assert b"cannot be found" in body["body"]


async def test_a_web_socket_is_closed_where_the_server_can_answer_no_handshake(connect, app: FastAPI):
    """ASGI servers need not know how."""
    [close] = await connect(app, "/before")
    assert (close["type"], close["code"]) == ("websocket.close", 1013)


async def test_an_accepted_web_socket_is_closed_with_try_again_later(connect, app: FastAPI):
    """It is too late for a status."""
    accept, close = await connect(app, "/after", extensions=(DENIAL,))
    assert accept["type"] == "websocket.accept"
    assert (close["type"], close["code"]) == ("websocket.close", 1013)
