"""For httpx2 and httpx: URLs such as `http://orders.shop/` connect to an instance of the service `shop/orders`.

The two libraries have the same API, and each has its own httpcore. One transport serves clients of both.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn, overload

from aiocloudmap.errors import CloudMapError, ConfigurationError, missing_extra
from aiocloudmap.integrations.hostnames import Hostnames
from aiocloudmap.model.query import HealthFilter
from aiocloudmap.model.validation import safe_repr

if TYPE_CHECKING:
    import httpx
    import httpx2

    from aiocloudmap.balancing.addresses import Address
    from aiocloudmap.client import CloudMap

__all__ = ["CloudMapTransport"]


class _Library:
    """One of the two libraries and its httpcore, as modules."""

    def __init__(self, http: Any, core: Any) -> None:
        self.http: Final = http
        self.core: Final = core
        self.body: Final[Any] = type("CloudMapBody", (_Body, http.AsyncByteStream), {"library": self})

    @contextlib.contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Raise httpcore's errors as the library's errors of the same name, as the library's own transport does."""
        try:
            yield
        except _CarriedError as carried:
            error = carried.error
            if isinstance(error, ConfigurationError):
                raise error from error.__cause__
            kind = self.http.ConnectTimeout if isinstance(error, TimeoutError) else self.http.ConnectError
            raise kind(str(error)) from error
        except Exception as error:
            for kind in type(error).__mro__:
                if kind.__module__ == self.core.__name__ and (translated := getattr(self.http, kind.__name__, None)):
                    raise translated(str(error)) from error
            raise


class _CarriedError(Exception):
    """Carries a CloudMapError through httpcore, which removes the cause of errors that it passes on."""

    def __init__(self, error: CloudMapError) -> None:
        super().__init__(str(error))
        self.error = error


class _Body:
    """A response's body, read as it arrives."""

    library: _Library

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with self.library.translated_errors():
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
        """A transport for both libraries."""
else:
    # After `httpx2.alias_httpx()` the two libraries are the same, and a class cannot have one base twice.
    _Transport = type("_Transport", tuple({library.http.AsyncBaseTransport: None for library in _LIBRARIES}), {})


class CloudMapTransport(_Transport):
    """Connects to names below some namespaces through Cloud Map, and to all others as the library does.

    ```python
    transport = CloudMapTransport(cloud_map, namespaces=("shop",))
    async with httpx2.AsyncClient(transport=transport) as client:
        await client.get("http://orders.shop/health")
    ```

    It resolves the name for each new connection and tries the instances in order, each with an equal share of the
    client's remaining connect timeout, until one accepts the connection and, for https, TLS. The
    `Host` header and the name that TLS checks are those of the URL.

    Failures are the library's `ConnectError`, or `ConnectTimeout` after a timeout; if Cloud Map failed, the cause is
    the CloudMapError. Only a wrong or missing setting, such as the Region, raises a `ConfigurationError`.

    Like the library's `AsyncHTTPTransport` it has its own connection pool: a client closes it at the end, and reads no
    proxies from the environment. It needs asyncio.

    Args:
        cloud_map: Resolves the services.
        namespaces: Namespaces whose services are addressed as `service.namespace`.
        zone: Availability Zone whose instances are tried first.
        health: Which instances to use; unhealthy ones are tried last.
        verify: True checks certificates as the library does by default, False does not, a TLS context decides itself.
        limits: The library's `Limits` for the pool. None means its default: 100 connections, of which 20 may be idle
            for 5 seconds.

    Raises:
        ConfigurationError: An argument is invalid.
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
                f"invalid verify {safe_repr(verify)}: expected an SSLContext, True or False",
                advice="For a CA file use ssl.create_default_context(cafile=...).",
            )
        if limits is not None and not isinstance(limits, tuple(library.http.Limits for library in _LIBRARIES)):
            raise ConfigurationError(
                f"invalid limits {safe_repr(limits)}: expected Limits of httpx2 or httpx, or None",
                advice="Write limits=httpx2.Limits(max_connections=10).",
            )
        self._hostnames = Hostnames(cloud_map, namespaces=namespaces, zone=zone, health=health)
        self._verify = verify
        self._limits = limits
        self._pools: dict[_Library, Any] = {}
        self._opening = asyncio.Lock()

    @overload
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response: ...
    @overload
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response: ...
    async def handle_async_request(self, request: Any) -> Any:
        """Send a request; the body of the response is not read yet. Clients call it."""
        library = next(each for each in _LIBRARIES if isinstance(request, each.http.Request))
        url = request.url
        pool = self._pools.get(library) or await self._open_pool(library)
        with library.translated_errors():
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
            "CloudMapTransport works with async clients only", advice="Use httpx2.AsyncClient or httpx.AsyncClient."
        )

    # The methods that a synchronous client calls.
    handle_request = __enter__ = _refuse

    async def aclose(self) -> None:
        """Close all connections. The transport can be used again afterwards."""
        while self._pools:
            _, pool = self._pools.popitem()
            await pool.aclose()

    async def _open_pool(self, library: _Library) -> Any:
        async with self._opening:
            if (pool := self._pools.get(library)) is None:
                limits = self._limits or library.http.Limits(max_connections=100, max_keepalive_connections=20)
                pool = self._pools[library] = library.core.AsyncConnectionPool(
                    ssl_context=await self._ssl_context(library),
                    max_connections=limits.max_connections,
                    max_keepalive_connections=limits.max_keepalive_connections,
                    keepalive_expiry=limits.keepalive_expiry,
                    network_backend=_Network(self._hostnames, library.core),
                )
            return pool

    async def _ssl_context(self, library: _Library) -> ssl.SSLContext:
        if isinstance(self._verify, ssl.SSLContext):
            return self._verify
        # Reading the certificates of the system would block the event loop.
        context: ssl.SSLContext = await asyncio.to_thread(library.http.create_ssl_context, verify=self._verify)
        return context


class _Network:
    """httpcore's network backend, with the names resolved by Cloud Map."""

    def __init__(self, hostnames: Hostnames, core: Any) -> None:
        self._hostnames = hostnames
        self._core = core
        self._direct = core.AnyIOBackend()

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> Any:
        """Connect to the first instance that accepts, or to the host itself if no namespace matches the name."""
        end = None if timeout is None else time.monotonic() + timeout
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._hostnames.addresses(host)
        except CloudMapError as error:
            raise _CarriedError(error) from error
        except TimeoutError as error:
            raise self._core.ConnectTimeout(f"{host}: Cloud Map did not answer within the connect timeout") from error
        if addresses is None:
            return await self._direct.connect_tcp(host, port, timeout=timeout, **options)
        connect_tcp = partial(self._direct.connect_tcp, **options)
        return await _Instances(connect_tcp, self._core, host, port, addresses).connect(end)


class _Instances:
    """The connection to the first instance that accepts it; if TLS fails there, to the next one.

    A stream of httpcore's: all methods but `start_tls` are those of the connected stream.
    """

    def __init__(
        self, connect_tcp: Callable[..., Any], core: Any, host: str, port: int, addresses: list[Address]
    ) -> None:
        self._connect_tcp = connect_tcp
        self._errors: Final = (core.ConnectError, core.ConnectTimeout)
        self._host = host
        self._port = port
        self._left = addresses[::-1]
        self._count: Final = len(addresses)
        self._tls_error: Exception | None = None

    async def connect(self, end: float | None) -> _Instances:
        """Connect to the next instance that accepts. Each has an equal share of the time until `end`."""
        error = self._tls_error
        while self._left:
            address = self._left.pop()
            try:
                stream = await self._connect_tcp(address.host, address.port or self._port, timeout=self._share(end))
            except self._errors as refused:
                error = self._tls_error or refused
                continue
            self._start_tls = stream.start_tls
            self.read, self.write, self.aclose = stream.read, stream.write, stream.aclose
            self.get_extra_info = stream.get_extra_info
            return self
        assert error is not None
        what = f"{self._host}: no instance accepted the connection ({self._count} tried)"
        # A TLS failure has a reason; a refusal says no more than this error.
        reason = "" if self._tls_error is None else str(self._tls_error)
        raise type(error)(f"{what}: {reason}" if reason else what) from error

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> Any:
        """Start TLS with the first instance that can."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return await self._start_tls(ssl_context, server_hostname, self._share(end))
            except self._errors as error:
                self._tls_error = error
            await self.connect(end)

    def _share(self, end: float | None) -> float | None:
        return None if end is None else max(0.0, end - time.monotonic()) / (len(self._left) + 1)
