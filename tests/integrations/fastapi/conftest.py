"""A local Cloud Map with a manual clock, and a client for applications that run on the test's event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from aiocloudmap import CloudMap
from aiocloudmap.local import LocalCloudMap, World
from aiocloudmap.testing import ManualClock

Running = Callable[[FastAPI], AbstractAsyncContextManager[httpx2.AsyncClient]]
Connect = Callable[..., Any]


@pytest.fixture
def clock() -> ManualClock:
    """The time of the local Cloud Map and of its clients."""
    return ManualClock()


@pytest.fixture
def shop(clock: ManualClock) -> LocalCloudMap:
    """A local Cloud Map in this process, without a server."""
    local = LocalCloudMap(World(clock=clock))
    local.world.register("shop/orders", "orders-1", {"QUEUE_URL": "https://example.com/orders", "WEIGHT": "7"})
    return local


@pytest.fixture
def cloud_map(shop: LocalCloudMap) -> CloudMap:
    """A client of the local Cloud Map."""
    return shop.cloud_map(in_process=True)


@pytest.fixture
async def served_shop(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalCloudMap]:
    """A local Cloud Map with a server, and an environment in which `CloudMap()` uses it."""
    async with LocalCloudMap() as local:
        local.world.register("shop/orders", "orders-1", {"QUEUE_URL": "https://example.com/orders"})
        monkeypatch.setenv("AWS_ENDPOINT_URL_SERVICEDISCOVERY", local.endpoint_url)
        monkeypatch.setenv("AWS_REGION", local.world.region)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        yield local


@pytest.fixture
def running() -> Running:
    """Runs an application like a server: inside its lifespan, and with its state in each request."""

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
        async with app.router.lifespan_context(app) as state:

            async def served(scope: Any, receive: Any, send: Any) -> None:
                await app({**scope, "state": dict(state or {})}, receive, send)

            transport = httpx2.ASGITransport(app=served)
            async with httpx2.AsyncClient(transport=transport, base_url="http://shop") as client:
                yield client

    return run


@pytest.fixture
def connect() -> Connect:
    """Connects a WebSocket and returns the messages that the application sends."""

    async def exchange(app: FastAPI, path: str, *, extensions: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [],
            "subprotocols": [],
            "scheme": "ws",
            "extensions": {name: {} for name in extensions},
            "state": {},
        }
        await app(scope, receive, send)
        return sent

    return exchange
