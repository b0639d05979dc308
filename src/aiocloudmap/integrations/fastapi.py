"""For FastAPI: a lifespan that holds the connections, dependencies, a readiness check, and answers to errors.

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
    Explanation,
    Freshness,
    HealthFilter,
    NoInstancesError,
    NotFoundError,
    Query,
    Service,
    ServiceName,
    UnavailableError,
)
from aiocloudmap.errors import missing_extra
from aiocloudmap.model.validation import check_callable, check_type, safe_repr

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
"""IANA's number for a WebSocket that is closed because its server cannot serve it now."""

_logger = logging.getLogger("aiocloudmap")

_Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]
_AnyLifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any] | None]]


def lifespan(
    cloud_map: CloudMap | None = None,
    *,
    prefetch: Iterable[str | ServiceName | Service] = (),
    wrapping: _AnyLifespan | None = None,
) -> _Lifespan:
    """A lifespan that holds the connections while the application runs: `FastAPI(lifespan=lifespan())`.

    Requests find the CloudMap as `request.state.cloud_map`, by `CloudMapDep` and by `Attribute`. When the application
    ends, calls in flight are waited for, then the connections are closed. Each worker process has its own.

    Args:
        cloud_map: None makes one of AWS's own settings when the application starts.
        prefetch: Services to ask for before the first request, by name, or as handles made with other filters: one
            AWS call each. One that cannot be had does not keep the application from starting, for `readiness` tells;
            but it delays the start by `ConnectionPolicy.discovery_timeout` at most, once for each
            `max_connections_per_host` of them. Where `get_cloud_map` is overridden, as in tests, none is asked for.
        wrapping: Another lifespan, which runs inside of this one. What it yields is part of the state, too.

    Raises:
        ConfigurationError: A name is none, at once; or the configuration is wrong, when the application starts.
    """
    if cloud_map is not None and not isinstance(cloud_map, CloudMap):
        raise ConfigurationError(
            f"lifespan was given a {type(cloud_map).__name__} for a CloudMap",
            advice="Write FastAPI(lifespan=lifespan()), with the brackets.",
        )
    if isinstance(prefetch, str) or not isinstance(prefetch, Iterable):
        raise ConfigurationError(
            f"prefetch={safe_repr(prefetch)} is no list of names", advice="Write prefetch=['shop/orders']."
        )
    services = _services(prefetch)
    undecorated = inspect.isasyncgenfunction(wrapping) or inspect.iscoroutinefunction(wrapping)
    if wrapping is not None and (undecorated or not callable(wrapping)):
        raise _no_lifespan()

    @asynccontextmanager
    async def holding(app: FastAPI) -> AsyncGenerator[Mapping[str, Any]]:
        async with CloudMap() if cloud_map is None else cloud_map as held:
            if get_cloud_map not in app.dependency_overrides:
                await held.prefetch(*services)
            inner = nullcontext() if wrapping is None else wrapping(app)
            if not isinstance(inner, AbstractAsyncContextManager):
                raise _no_lifespan()
            async with inner as state:
                if not isinstance(state, Mapping | None):
                    raise ConfigurationError(
                        f"the wrapped lifespan yields an object of type {type(state).__name__}",
                        advice="Let it yield a mapping, which becomes part of the state, or nothing.",
                    )
                if _STATE in (state or {}):
                    raise ConfigurationError(
                        f"the wrapped lifespan yields a {_STATE!r} of its own", advice="Give it another name there."
                    )
                yield {**(state or {}), _STATE: held}

    return holding


def _no_lifespan() -> ConfigurationError:
    return ConfigurationError(
        "wrapping is no lifespan",
        advice="Give a function that is decorated with contextlib.asynccontextmanager, without calling it.",
    )


async def get_cloud_map(connection: HTTPConnection) -> CloudMap:
    """The CloudMap of the application's `lifespan`, or `CloudMap()` where it has none. No I/O, no AWS call.

    What tests override: `app.dependency_overrides[get_cloud_map] = lambda: cloud_map` reaches every `Attribute` and
    every `readiness`, too.
    """
    # A coroutine, because FastAPI would run a plain function in a thread.
    found: CloudMap | None = getattr(connection.state, _STATE, None)
    return CloudMap() if found is None else found


CloudMapDep = Annotated[CloudMap, Depends(get_cloud_map)]
"""What a parameter is annotated with to get the application's CloudMap."""


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
    """What a parameter is annotated with to get one attribute of one instance.

    `async def queue(queue_url: Annotated[str, Attribute("shop/orders", "QUEUE_URL")])` asks anew for each request: a
    memory read for nearly all of them. Costs, cancelling and errors are those of `Service.attribute`. It works in `def`
    endpoints, for WebSockets and in other dependencies alike. It is nothing that clients send, and so not in the
    OpenAPI schema.

    Args:
        service: `namespace/service`.
        key: The attribute's name.
        cast: What makes a value of the text, such as `int`.
        default: The value where the attribute, the instances, the service or AWS cannot be had.
        health: As for `CloudMap.service`, like all that follow.
        where: Attributes that the instance must have.
        prefer: Attributes asked for where anything matches them.
        owner_account: The account that shares the namespace.
        cache: Another policy than the CloudMap's.

    Raises:
        ConfigurationError: AWS would refuse one of them; raised where the parameter is declared.
    """
    if not isinstance(service, str | ServiceName) or not isinstance(key, str):
        raise ConfigurationError(
            f"Attribute({safe_repr(service)}, {safe_repr(key)}) names no attribute of a service",
            advice="Write Attribute('shop/orders', 'QUEUE_URL'); filters are arguments of it, too.",
        )
    check_callable("cast", cast)
    given = {"health": health, "where": where, "prefer": prefer, "owner_account": owner_account}
    filters: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    name = Query(_name(service), **filters).service
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
    """A check that these services can be found: `app.get("/ready")(readiness("shop/orders"))`.

    Answers 200 where each of them has instances to give, old ones included: an outage of AWS takes no process out of
    service that still serves. Else it answers 503 and names those that are missing, each with the class of its error.
    It may as well be a dependency of a route of your own: `Depends(readiness("shop/orders"))`.

    Costs no AWS call while there is something to give. Where there is nothing, or never was, it asks as any caller
    would: one call, which others share, and none before the backoff of the last failure is over. So a process that
    nobody has asked yet becomes ready.

    Args:
        services: By name, or handles made with other filters, which are asked as they are.
        timeout: Seconds that it may wait for AWS, below those that the prober allows. A call that takes longer goes
            on, but for `refresh="inline"`, and the next check finds its answer.

    Raises:
        ConfigurationError: There is no name, or one that is none, or no such timeout; at once. A wrong configuration is
            raised by the check, which the application answers with 500.
    """
    if not services:
        raise ConfigurationError("readiness has no service to look for", advice="Write readiness('shop/orders').")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise ConfigurationError(f"timeout={safe_repr(timeout)} is no time", advice="Give seconds, more than 0.")
    wanted = _services(services)

    async def ready(cloud_map: CloudMapDep) -> dict[str, Freshness]:
        handles = [item if isinstance(item, Service) else cloud_map.service(item) for item in wanted]
        async with asyncio.TaskGroup() as group:
            tasks = [(handle.name, group.create_task(_why_missing(handle, timeout))) for handle in handles]
        # Not a mapping yet: two handles with different filters may be of one name.
        missing = [(str(name), error) for name, task in tasks if (error := task.result()) is not None]
        for _, error in missing:
            if isinstance(error, ConfigurationError):
                raise error
        if missing:
            raise HTTPException(503, {"missing": {name: type(error).__name__ for name, error in missing}})
        return {str(handle.name): handle.explain().state for handle in handles}

    return ready


async def _why_missing(handle: Service, timeout: float) -> CloudMapError | None:
    """None where callers get instances: from memory, or after asking once."""
    if _serves(handle.explain()):
        return None
    try:
        async with asyncio.timeout(timeout):
            found = await handle.resolve()
    except CloudMapError as error:
        return error
    except TimeoutError:
        return DeadlineError(f"no answer within {timeout:g} s", service=handle.name)
    return None if found else NoInstancesError("the service has no instance", service=handle.name)


def _serves(known: Explanation) -> bool:
    """Whether callers get instances from memory; no old answer covers a wrong setting up, so callers would ask."""
    return bool(known.instances) and not isinstance(known.last_error, ConfigurationError)


def add_exception_handlers(app: FastAPI) -> None:
    """Answer 503 where a request cannot be served because something cannot be found.

    * `UnavailableError`: 503, with Retry-After in whole seconds, 1 or more.
    * `NotFoundError`: 503, too. What the client asked for is there; what this application needs for it is not, until
      somebody registers it. Nobody knows when, so there is no Retry-After.

    All others stay the 500 that they are: only people can do something about a wrong configuration, a denied access or
    an attribute that cannot be read. The body says which of the two it is, and nothing of what is in Cloud Map; the
    error goes to the logger `aiocloudmap`. A WebSocket gets the same while it is not accepted, and else the close code
    1013.

    Args:
        app: Handlers of its own for these classes are replaced.
    """
    for kind in (UnavailableError, NotFoundError):
        app.add_exception_handler(kind, cast("Any", _answer))


async def _answer(connection: HTTPConnection, error: CloudMapError) -> JSONResponse | None:
    response = _response_to(error)
    if not isinstance(connection, WebSocket):
        return response
    connecting = connection.application_state is WebSocketState.CONNECTING
    if connecting and "websocket.http.response" in connection.scope.get("extensions", {}):
        await connection.send_denial_response(response)
    else:
        await connection.close(_TRY_AGAIN_LATER)
    return None


def _response_to(error: CloudMapError) -> JSONResponse:
    if isinstance(error, UnavailableError):
        detail = "A service that is needed to answer is not available at the moment."
        headers = {"Retry-After": str(max(1, math.ceil(error.retry_after or 0)))}
    else:
        detail = "A service that is needed to answer cannot be found at the moment."
        headers = {}
    _logger.warning("answered 503: %s [%s]", error, type(error).__name__)
    return JSONResponse({"detail": detail}, status_code=503, headers=headers)


def _services(services: Iterable[str | ServiceName | Service]) -> tuple[ServiceName | Service, ...]:
    return tuple(item if isinstance(item, Service) else _name(item) for item in services)


def _name(service: str | ServiceName) -> ServiceName:
    return service if isinstance(service, ServiceName) else ServiceName.parse(service)
