"""For FastAPI: a lifespan that holds the connections, dependencies, a readiness check, and exception handlers.

```python
app = FastAPI(lifespan=lifespan(prefetch=["shop/orders"]))
add_exception_handlers(app)
app.get("/ready")(readiness("shop/orders"))

@app.get("/queue")
async def queue(queue_url: Annotated[str, Attribute("shop/orders", "QUEUE_URL")]) -> str:
    return queue_url
```

Needs the extra `fastapi`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Annotated, Any, Final, cast

from aiocloudmap import (
    CachePolicy,
    CloudMap,
    CloudMapError,
    ConfigurationError,
    DeadlineError,
    Freshness,
    HealthFilter,
    NotFoundError,
    Query,
    Service,
    ServiceName,
    UnavailableError,
)
from aiocloudmap.errors import missing_extra
from aiocloudmap.model.answer import no_instances_error
from aiocloudmap.model.validation import check_callable, check_number, check_type, safe_repr

try:
    from fastapi import Depends, FastAPI, HTTPException
    from fastapi.requests import HTTPConnection
    from fastapi.responses import JSONResponse
    from fastapi.websockets import WebSocket, WebSocketState
except ImportError as error:
    raise missing_extra("fastapi", error) from error

__all__ = ["Attribute", "CloudMapDep", "add_exception_handlers", "get_cloud_map", "lifespan", "readiness"]

_STATE: Final = "cloud_map"
_MISSING: Final = object()
_TRY_AGAIN_LATER: Final = 1013
"""IANA's WebSocket close code for a server that is temporarily unable to serve."""

_logger = logging.getLogger("aiocloudmap")

_Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]
_AnyLifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any] | None]]


def lifespan(
    cloud_map: CloudMap | None = None,
    *,
    preload: Iterable[str] = (),
    prefetch: Iterable[str | ServiceName | Service] = (),
    wrapping: _AnyLifespan | None = None,
) -> _Lifespan:
    """A lifespan that holds the connections while the application runs: `FastAPI(lifespan=lifespan())`.

    Requests get the CloudMap from `request.state.cloud_map`, `CloudMapDep` and `Attribute`. At shutdown it waits for
    calls in flight, then closes the connections. Each worker process has its own.

    Args:
        cloud_map: None creates one from AWS's own settings at startup.
        preload: AWS services whose clients are made before the first request, with the AWS libraries, as in
            `CloudMap.preload`: no AWS call. If `get_cloud_map` is overridden, as in tests, nothing is loaded.
        prefetch: Services to resolve before the first request, as names, or as handles with other filters: one AWS call
            each. A failure does not stop the application, since `readiness` reports it. It can delay the startup by
            `ConnectionPolicy.discovery_timeout`, once for each `max_connections_per_host` services. If `get_cloud_map`
            is overridden, as in tests, nothing is prefetched.
        wrapping: Another lifespan, to run inside this one. The state that it yields is kept.

    Raises:
        ConfigurationError: An argument is invalid. At startup: the configuration is.
    """
    if cloud_map is not None:
        # FastAPI(lifespan=lifespan), without the call, passes the application here.
        check_type("cloud_map", cloud_map, CloudMap, example="FastAPI(lifespan=lifespan())")
    _check_list("preload", preload, "sqs")
    _check_list("prefetch", prefetch, "shop/orders")
    aws_services, services = tuple(preload), _services(prefetch)
    undecorated = inspect.isasyncgenfunction(wrapping) or inspect.iscoroutinefunction(wrapping)
    if wrapping is not None and (undecorated or not callable(wrapping)):
        raise _invalid_lifespan()

    @asynccontextmanager
    async def hold(app: FastAPI) -> AsyncGenerator[Mapping[str, Any]]:
        async with CloudMap() if cloud_map is None else cloud_map as held:
            if get_cloud_map not in app.dependency_overrides:
                if aws_services:
                    await held.preload(*aws_services)
                await held.prefetch(*services)
            inner = nullcontext() if wrapping is None else wrapping(app)
            if not isinstance(inner, AbstractAsyncContextManager):
                raise _invalid_lifespan()
            async with inner as state:
                if not isinstance(state, Mapping | None):
                    raise ConfigurationError(
                        f"invalid state of the wrapped lifespan: expected a mapping or None, not {type(state).__name__}"
                    )
                if _STATE in (state or {}):
                    raise ConfigurationError(
                        f"the wrapped lifespan yields its own {_STATE!r}", advice="Use another name there."
                    )
                yield {**(state or {}), _STATE: held}

    return hold


def _check_list(name: str, given: object, example: str) -> None:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigurationError(f"invalid {name} {safe_repr(given)}: expected a list like ['{example}']")


def _invalid_lifespan() -> ConfigurationError:
    return ConfigurationError(
        "invalid wrapping: expected a lifespan function",
        advice="Decorate it with contextlib.asynccontextmanager, and pass it without calling it.",
    )


async def get_cloud_map(connection: HTTPConnection) -> CloudMap:
    """The CloudMap of the application's `lifespan`, or `CloudMap()` if it has no such lifespan. Makes no AWS call.

    Override it in tests: `app.dependency_overrides[get_cloud_map] = lambda: cloud_map` also reaches every `Attribute`
    and `readiness`.
    """
    # Async, because FastAPI runs plain functions in a thread.
    found: CloudMap | None = getattr(connection.state, _STATE, None)
    return CloudMap() if found is None else found


CloudMapDep = Annotated[CloudMap, Depends(get_cloud_map)]
"""Annotation of a parameter that receives the application's CloudMap."""


def Attribute(  # noqa: N802 - reads beside FastAPI's own Depends and Query
    service: str | ServiceName,
    key: str,
    *,
    cast: Callable[[str], Any] = str,
    default: Any = _MISSING,
    health: HealthFilter | str = HealthFilter.HEALTHY_OR_ELSE_ALL,
    where: Mapping[str, str] | None = None,
    prefer: Mapping[str, str] | None = None,
    owner_account: str | None = None,
    cache: CachePolicy | None = None,
) -> Any:
    """Annotation of a parameter that receives one attribute of one instance.

    `async def queue(queue_url: Annotated[str, Attribute("shop/orders", "QUEUE_URL")])` looks it up for each request,
    usually without an AWS call. Costs, cancellation and errors are those of `Service.attribute`. It works in `async`
    and plain endpoints, WebSockets and dependencies. Clients do not send it, so it is not in the OpenAPI schema.

    Args:
        service: `namespace/service`.
        key: The attribute's name.
        cast: Converts the text, for example `int`.
        default: Returned if the service, its instances or the attribute do not exist, or AWS is unavailable.
        health: As in `CloudMap.service`, like the arguments below.
        where: Attributes that the instance must have.
        prefer: Attributes that are required if any instance has them.
        owner_account: The account that shares the namespace.
        cache: Replaces the CloudMap's policy.

    Raises:
        ConfigurationError: An argument is invalid; raised where the parameter is declared.
    """
    if not isinstance(service, str | ServiceName) or not isinstance(key, str):
        raise ConfigurationError(
            f"invalid Attribute({safe_repr(service)}, {safe_repr(key)}): expected a service name and an attribute name",
            advice="Write Attribute('shop/orders', 'QUEUE_URL'); filters are further arguments.",
        )
    check_callable("cast", cast)
    given = {"health": health, "where": where, "prefer": prefer, "owner_account": owner_account}
    filters: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    name = Query(ServiceName.parse(service), **filters).service
    if cache is not None:
        check_type("cache", cache, CachePolicy, example="cache=CachePolicy(ttl=30)")
        filters["cache"] = cache
    otherwise = {} if default is _MISSING else {"default": default}

    async def find(cloud_map: CloudMapDep) -> Any:
        return await cloud_map.service(name, **filters).attribute(key, cast, **otherwise)

    return Depends(find)


def readiness(
    *services: str | ServiceName | Service, timeout: float = 0.5
) -> Callable[[CloudMap], Awaitable[dict[str, Freshness]]]:
    """A check that these services can be resolved: `app.get("/ready")(readiness("shop/orders"))`.

    Responds with 200 if each service has instances, also from a stale answer: during an outage of AWS, processes
    that still work stay in service. Otherwise it responds with 503, the names of the missing services and their error
    classes. It also works as a dependency: `Depends(readiness("shop/orders"))`.

    Costs no AWS call while there are instances in the cache. Otherwise it resolves the service like any caller, with
    one shared call, except during the backoff after a failure. So a process becomes ready before its first request.

    Args:
        services: Names, or handles with other filters.
        timeout: Seconds to wait for AWS; choose less than the prober's timeout. A call that takes longer continues,
            except with `refresh="inline"`, and the next check uses its answer.

    Raises:
        ConfigurationError: An argument is invalid. From the check, as a response with status 500: the configuration is.
    """
    if not services:
        raise ConfigurationError("readiness() needs at least one service", advice="Write readiness('shop/orders').")
    check_number("timeout", timeout, 0.001, finite=False)
    wanted = _services(services)

    async def ready(cloud_map: CloudMapDep) -> dict[str, Freshness]:
        handles = [item if isinstance(item, Service) else cloud_map.service(item) for item in wanted]
        async with asyncio.TaskGroup() as group:
            tasks = [(handle.name, group.create_task(_find_error(handle, timeout))) for handle in handles]
        # A list, since handles with different filters may have the same name.
        missing = [(str(name), error) for name, task in tasks if (error := task.result()) is not None]
        for _, error in missing:
            if isinstance(error, ConfigurationError):
                raise error
        if missing:
            raise HTTPException(503, {"missing": {name: type(error).__name__ for name, error in missing}})
        return {str(handle.name): handle.explain().state for handle in handles}

    return ready


async def _find_error(handle: Service, timeout: float) -> CloudMapError | None:
    """Why callers get no instances now, or None if they do."""
    known = handle.explain()
    # After a ConfigurationError, callers get the error instead of a stale answer.
    if known.instances and not isinstance(known.last_error, ConfigurationError):
        return None
    try:
        async with asyncio.timeout(timeout):
            snapshot = await handle.resolve()
    except CloudMapError as error:
        return error
    except TimeoutError:
        return DeadlineError(f"no answer within {timeout:g} s", service=handle.name)
    return None if snapshot else no_instances_error(handle.query)


def add_exception_handlers(app: FastAPI) -> None:
    """Respond with 503 if a request fails because a service cannot be resolved.

    * `UnavailableError`: 503 with Retry-After in whole seconds, at least 1.
    * `NotFoundError`: also 503, since what the client requested exists; what is missing is a service that this
      application needs. Without Retry-After, since it is unknown when it will be registered.

    The body says which of the two it is, and nothing else about Cloud Map; the error is logged to `aiocloudmap`. A
    WebSocket gets the same response before it is accepted, and the close code 1013 afterwards. Other errors stay 500: a
    wrong configuration, a denied access or an invalid attribute needs a fix.

    Args:
        app: Its handlers for these classes are replaced.
    """
    for kind in (UnavailableError, NotFoundError):
        app.add_exception_handler(kind, cast("Any", _respond))


async def _respond(connection: HTTPConnection, error: CloudMapError) -> JSONResponse | None:
    response = _create_response(error)
    if not isinstance(connection, WebSocket):
        return response
    connecting = connection.application_state is WebSocketState.CONNECTING
    if connecting and "websocket.http.response" in connection.scope.get("extensions", {}):
        await connection.send_denial_response(response)
    else:
        await connection.close(_TRY_AGAIN_LATER)
    return None


def _create_response(error: CloudMapError) -> JSONResponse:
    if isinstance(error, UnavailableError):
        detail = "A service that is needed to answer is not available at the moment."
        headers = {"Retry-After": str(max(1, math.ceil(error.retry_after or 0)))}
    else:
        detail = "A service that is needed to answer cannot be found at the moment."
        headers = {}
    _logger.warning("responded with 503: %s [%s]", error, type(error).__name__)
    return JSONResponse({"detail": detail}, status_code=503, headers=headers)


def _services(services: Iterable[str | ServiceName | Service]) -> tuple[ServiceName | Service, ...]:
    return tuple(item if isinstance(item, Service) else ServiceName.parse(item) for item in services)
