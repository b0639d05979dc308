"""Names of services in the URLs of httpx2 and httpx: `http://orders.shop/` reaches an instance of `shop/orders`.

The two libraries differ in little but their names, and each stands on an httpcore of its own. One transport serves
clients of both: each request says whose it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn, overload

from aiocloudmap.errors import CloudMapError, ConfigurationError, missing_extra
from aiocloudmap.integrations.hostnames import UrlNames
from aiocloudmap.model.query import HealthFilter
from aiocloudmap.model.validation import safe_repr

if TYPE_CHECKING:
    import httpx
    import httpx2

    from aiocloudmap.client import CloudMap

__all__ = ["CloudMapTransport"]


class _Library:
    """One of the two, with its httpcore. Both are modules, and taken for what they have in common."""

    def __init__(self, http: Any, core: Any) -> None:
        self.http: Final = http
        self.core: Final = core
        self.body: Final[Any] = type("CloudMapBody", (_Body, http.AsyncByteStream), {"library": self})

    @contextlib.contextmanager
    def own_errors(self) -> Iterator[None]:
        """What httpcore raises becomes what users of the library catch; both have the same names for it."""
        try:
            yield
        except _CarriedError as carried:
            error = carried.error
            if isinstance(error, ConfigurationError):
                raise error from error.__cause__
            own = self.http.ConnectTimeout if isinstance(error, TimeoutError) else self.http.ConnectError
            raise own(str(error)) from error
        except Exception as error:
            for kind in type(error).__mro__:
                if kind.__module__ == self.core.__name__ and (own := getattr(self.http, kind.__name__, None)):
                    raise own(str(error)) from error
            raise


class _CarriedError(Exception):
    """Takes an error of ours through httpcore, which cuts off the causes of all that it lets through."""

    def __init__(self, error: CloudMapError) -> None:
        super().__init__(str(error))
        self.error = error


class _Body:
    """The body of a response, as it comes."""

    library: _Library

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with self.library.own_errors():
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def _installed() -> list[_Library]:
    found: list[_Library] = []
    missing: list[ImportError] = []
    for http, core in (("httpx2", "httpcore2"), ("httpx", "httpcore")):
        try:
            found.append(_Library(import_module(http), import_module(core)))
        except ImportError as error:
            missing.append(error)
    if not found:
        raise missing_extra("httpx", missing[0]) from missing[0]
    return found


_LIBRARIES: Final = _installed()

if TYPE_CHECKING:

    class _Transport(httpx2.AsyncBaseTransport, httpx.AsyncBaseTransport):  # type: ignore[misc]
        """What both libraries take for a transport."""
else:
    # In a program that lets httpx2 stand in for httpx, the two are one.
    _Transport = type("_Transport", tuple({library.http.AsyncBaseTransport: None for library in _LIBRARIES}), {})


class CloudMapTransport(_Transport):
    """Finds the services of some namespaces in Cloud Map, and all other names where the library does.

    ```python
    transport = CloudMapTransport(cloud_map, namespaces=("shop",))
    async with httpx2.AsyncClient(transport=transport) as client:
        await client.get("http://orders.shop/health")
    ```

    The CloudMap is asked for each new connection, within the time that the client allows for connecting. Instances are
    tried in order until one takes the connection; each may use an equal share of the time that is left. The `Host`
    header, the name that TLS checks and the pool's idea of who may share a connection stay those of the URL.

    Errors are the library's own: `ConnectError`, or `ConnectTimeout` where time was up, raised from the CloudMapError
    that says why where there is one. Only a wrong setting, such as no Region, stays a `ConfigurationError`.

    It is a transport as `AsyncHTTPTransport` is one, with a pool of connections of its own: a client that is given it
    reads no proxies from the environment, and closes it in the end. It needs asyncio.

    Args:
        cloud_map: Who is asked.
        namespaces: Those whose services are meant by `service.namespace`. Where several fit a name, the longest is
            meant. No name below one of them is ever looked up elsewhere.
        zone: The Availability Zone whose instances are tried first.
        health: Which instances count; unhealthy ones are tried last.
        verify: True checks certificates as the library does, a context as it says, False not at all.
        limits: Of the library, for its pool; None is its default: 100 connections, 20 of them idle for 5 seconds.

    Raises:
        ConfigurationError: One of them cannot be what it is.
    """

    def __init__(
        self,
        cloud_map: CloudMap,
        *,
        namespaces: Iterable[str],
        zone: str | None = None,
        health: HealthFilter | str = HealthFilter.HEALTHY_OR_ELSE_ALL,
        verify: ssl.SSLContext | bool = True,
        limits: httpx2.Limits | httpx.Limits | None = None,
    ) -> None:
        if not isinstance(verify, ssl.SSLContext | bool):
            raise ConfigurationError(
                f"verify={safe_repr(verify)} is neither a TLS context nor true or false",
                advice="For a file of authorities write verify=ssl.create_default_context(cafile=...).",
            )
        if limits is not None and not isinstance(limits, tuple(library.http.Limits for library in _LIBRARIES)):
            raise ConfigurationError(
                f"limits={safe_repr(limits)} are none",
                advice="Write limits=httpx2.Limits(max_connections=10), or httpx's.",
            )
        self._names = UrlNames(cloud_map, namespaces=namespaces, zone=zone, health=health)
        self._verify = verify
        self._limits = limits
        self._pools: dict[_Library, Any] = {}
        self._opening = asyncio.Lock()

    @overload
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response: ...
    @overload
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response: ...
    async def handle_async_request(self, request: Any) -> Any:
        """The response to one request, its body not read yet. Clients call it."""
        library = next(each for each in _LIBRARIES if isinstance(request, each.http.Request))
        url = request.url
        pool = self._pools.get(library) or await self._open(library)
        with library.own_errors():
            response = await pool.handle_async_request(
                library.core.Request(
                    method=request.method,
                    url=library.core.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return library.http.Response(
            status_code=response.status,
            headers=response.headers,
            stream=library.body(response.stream),
            extensions=response.extensions,
        )

    def _refuse(self, *_: object) -> NoReturn:
        raise ConfigurationError(
            "CloudMapTransport serves asynchronous clients only", advice="Use httpx2.AsyncClient, or httpx's."
        )

    # What a client calls that does not await.
    handle_request = __enter__ = _refuse

    async def aclose(self) -> None:
        """Close its connections. It can be used again afterwards."""
        while self._pools:
            _, pool = self._pools.popitem()
            await pool.aclose()

    async def _open(self, library: _Library) -> Any:
        async with self._opening:
            if (pool := self._pools.get(library)) is None:
                limits = self._limits or library.http.Limits(max_connections=100, max_keepalive_connections=20)
                pool = self._pools[library] = library.core.AsyncConnectionPool(
                    ssl_context=await self._context(library),
                    max_connections=limits.max_connections,
                    max_keepalive_connections=limits.max_keepalive_connections,
                    keepalive_expiry=limits.keepalive_expiry,
                    network_backend=_Network(self._names, library.core),
                )
            return pool

    async def _context(self, library: _Library) -> ssl.SSLContext:
        if isinstance(self._verify, ssl.SSLContext):
            return self._verify
        # Reading all certificates of the system takes long enough to be felt by whatever else the loop does.
        context: ssl.SSLContext = await asyncio.to_thread(library.http.create_ssl_context, verify=self._verify)
        return context


class _Network:
    """Opens connections for httpcore: its own way of doing so, told where to go."""

    def __init__(self, names: UrlNames, core: Any) -> None:
        self._names = names
        self._core = core
        self._direct = core.AnyIOBackend()

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> Any:
        """A connection to the first instance that takes it; to the host itself where it is not Cloud Map's."""
        end = None if timeout is None else time.monotonic() + timeout
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._names.addresses(host)
        except CloudMapError as error:
            raise _CarriedError(error) from error
        except TimeoutError as error:
            raise self._core.ConnectTimeout(f"{host}: Cloud Map did not answer in time") from error
        if addresses is None:
            return await self._direct.connect_tcp(host, port, timeout=timeout, **options)
        failed: Exception | None = None
        for tried, address in enumerate(addresses):
            share = None if end is None else max(0.0, end - time.monotonic()) / (len(addresses) - tried)
            try:
                return await self._direct.connect_tcp(address.host, address.port or port, timeout=share, **options)
            except (self._core.ConnectError, self._core.ConnectTimeout) as error:
                failed = error
        assert failed is not None
        raise type(failed)(f"{host}: none of {len(addresses)} addresses took the connection") from failed
