"""Type checks of the FastAPI integration, by mypy and pyright (`nox -s types`). Never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict, assert_type

from fastapi import APIRouter, Depends, FastAPI

from aiocloudmap import CachePolicy, CloudMap, Freshness, HealthFilter, ServiceName
from aiocloudmap.integrations.fastapi import (
    Attribute,
    CloudMapDep,
    add_exception_handlers,
    get_cloud_map,
    lifespan,
    readiness,
)

cloud_map = CloudMap()


class State(TypedDict):
    """A typed state."""

    database: str


@asynccontextmanager
async def bare(app: FastAPI) -> AsyncGenerator[None]:
    """Yields no state."""
    yield


@asynccontextmanager
async def plain(app: FastAPI) -> AsyncGenerator[Mapping[str, Any]]:
    """Yields a mapping."""
    yield {"database": "open"}


@asynccontextmanager
async def typed(app: FastAPI) -> AsyncGenerator[State]:
    """Yields typed state."""
    yield {"database": "open"}


FastAPI(lifespan=lifespan())
FastAPI(lifespan=lifespan(cloud_map, prefetch=("shop/orders", cloud_map.service("shop/payments")), wrapping=bare))
FastAPI(lifespan=lifespan(prefetch=[ServiceName("shop", "orders")], wrapping=plain))
APIRouter(lifespan=lifespan(wrapping=typed))

app = FastAPI(lifespan=lifespan(), dependencies=[Depends(readiness("shop/orders"))])
add_exception_handlers(app)
app.get("/ready")(readiness("shop/orders", cloud_map.service("shop/payments"), timeout=1))
app.dependency_overrides[get_cloud_map] = lambda: cloud_map

QueueUrl = Annotated[str, Attribute("shop/orders", "QUEUE_URL")]
Weight = Annotated[
    int | None,
    Attribute(
        ServiceName("shop", "orders"),
        "WEIGHT",
        cast=int,
        default=None,
        health=HealthFilter.HEALTHY,
        where={"STAGE": "live"},
        prefer={"ZONE": "a"},
        owner_account="123456789012",
        cache=CachePolicy(ttl=60),
    ),
]


@app.get("/")
async def endpoint(cloud_map: CloudMapDep, queue_url: QueueUrl, weight: Weight) -> str:
    """Parameters have the annotated types."""
    assert_type(cloud_map, CloudMap)
    assert_type(queue_url, str)
    assert_type(weight, int | None)
    return queue_url


@app.get("/as-default")
def as_default(queue_url: str = Attribute("shop/orders", "QUEUE_URL", health="ALL")) -> str:
    """As a default value."""
    return queue_url


async def check() -> None:
    """A check may be called directly."""
    assert_type(await readiness("shop/orders")(cloud_map), dict[str, Freshness])
