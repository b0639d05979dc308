"""The bounded connector of one event loop: aiohttp's way to open connections, with a limit that counts idle ones too.

aiohttp's `limit` counts connections in use; idle ones pile up per host beside it. Here a permit stands for every
descriptor, from before it is opened until after it is closed, so `max_connections` holds at every instant.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.connector import Connection

from aiocloudmap.aws.transport.connection import (
    ConnectAttempt,
    CountedSocket,
    PooledConnection,
    closed_error,
    current_attempt,
    max_connect_time,
)
from aiocloudmap.aws.transport.file_descriptors import find_descriptor_error, too_many_open_files
from aiocloudmap.aws.transport.pool import ConnectionPool, Permit, Purpose
from aiocloudmap.aws.transport.tls import ContextsOfLoop, needs_contexts
from aiocloudmap.errors import CloudMapError

if TYPE_CHECKING:
    import ssl

    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.abc import AbstractResolver
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.tracing import Trace

    from aiocloudmap.aws.transport.file_descriptors import DescriptorWatch
    from aiocloudmap.model.policy import ConnectionPolicy

__all__ = ["BoundedConnector"]

_CLOSE_TIMEOUT: Final = 1.0
"""Seconds that closing waits for descriptors to be closed; the loop needs two iterations."""


class BoundedConnector(aiohttp.TCPConnector):
    """At most `policy.max_connections` open sockets at every instant: connecting, in use, idle or closing.

    Other TLS settings or another policy mean another connector, with a limit of its own. Two connections are kept for
    `Purpose.DISCOVERY`, which may exceed the limit per host by them. At the limit the oldest idle connection is
    closed to make room; else requests queue in order, a client's for as long as it would have waited to connect.

    Args:
        policy: The limits.
        contexts: Builds the TLS contexts when the first https request comes.
        resolver: Looks up host names.
        keep_idle: False closes every connection after its call.
        watch: Checks the descriptors of the process after each new connection.
        changed: Set when the last call in flight has ended.
    """

    def __init__(
        self,
        policy: ConnectionPolicy,
        *,
        contexts: ContextsOfLoop,
        resolver: AbstractResolver,
        keep_idle: bool,
        watch: DescriptorWatch,
        changed: asyncio.Event,
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            limit=0,
            keepalive_timeout=policy.keepalive_timeout,
            resolver=resolver,
            ttl_dns_cache=policy.dns_ttl,  # type: ignore[arg-type]
            happy_eyeballs_delay=None,
            socket_factory=self._new_socket,
        )
        self._factory = partial(PooledConnection, loop, policy.keepalive_timeout)  # type: ignore[assignment]
        self._policy, self._contexts, self._keep_idle = policy, contexts, keep_idle
        self._watch, self._changed = watch, changed
        self._pool = ConnectionPool(policy.max_connections, policy.max_connections_per_host)
        self._opening = 0
        self._active: set[PooledConnection] = set()
        self._expiry: asyncio.TimerHandle | None = None
        self._descriptor_closed = asyncio.Event()

    def __repr__(self) -> str:
        closed = ", closed" if self._closed else ""
        return f"<BoundedConnector {self._pool!r}, {self.calls} call(s) in flight{closed}>"

    @property
    def open_connections(self) -> int:
        """Sockets that are open or about to be opened. Safe on any thread."""
        return len(self._pool.permits)

    @property
    def calls(self) -> int:
        """Calls in flight: queueing, connecting, waiting for an answer, or reading one."""
        return self._opening + len(self._active)

    def abandoned_in(self) -> float | None:
        """Seconds until every call in flight counts as abandoned; None if one of them has no response yet.

        Such a call ends with its own timeout.
        """
        abandoned = [connection.abandoned_at for connection in self._active]
        if self._opening or None in abandoned:
            return None
        now = self._loop.time()
        return max([0.0, *(at - now for at in abandoned if at is not None)])

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout, purpose: Purpose = Purpose.CLIENT
    ) -> Connection:
        """A connection for one request. Cancelling it leaves the queue, or closes what was opened.

        Raises:
            ConnectionLimitError: A client's call queued for as long as it may wait to connect.
            TooManyOpenFilesError: The process, or the system, has run out of descriptors.
            ConnectError: The connector was closed.
            ConfigurationError: The TLS settings cannot be used.
        """
        self._opening += 1
        try:
            connection = await self._get_connection(req, traces, timeout, purpose)
        except BaseException as error:
            self._opening -= 1
            self._report_change()
            self._schedule_expiry()  # a cancelled call may have returned an idle connection
            if (translated := self._translate(error)) is None:
                raise
            raise translated from error
        self._opening -= 1
        self._active.add(connection)
        return Connection(self, req.connection_key, connection, self._loop)

    def drop_idle(self) -> None:
        """Close idle connections and forget addresses, whose age is unknown after a freeze."""
        self.clear_dns_cache()
        for permit in list(self._pool.idle):
            self._pool.close(permit)

    async def wait_closed(self) -> None:
        """Wait until the descriptors of closing connections are closed."""
        await self._wait_until_gone(lambda permit: permit.closing)

    async def close(self, **_: Any) -> None:
        """Close everything, and wait for the descriptors. Calls in flight end in a ConnectError."""
        if self._closed:
            return
        if self._expiry is not None:
            self._expiry.cancel()
        self._pool.fail_queued(closed_error)
        for permit in list(self._pool.permits):
            if permit.connection is not None and permit.purpose is not None:
                permit.connection.end(closed_error())
            else:
                self._pool.close(permit)
        await super().close()
        await self._wait_until_gone(lambda permit: permit.connection is not None)

    async def _wait_until_gone(self, expected: Callable[[Permit], bool]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                while any(map(expected, self._pool.permits)):
                    self._descriptor_closed.clear()
                    await self._descriptor_closed.wait()

    def abandon(self) -> None:
        """Close the descriptors that a closed loop left open. Safe on any thread."""
        self._closed = True
        for permit in list(self._pool.permits):
            if permit.connection is not None:
                permit.connection.abandon()
            for sock in list(permit.sockets):
                sock.on_closed = None
                sock.close()
        self._pool.permits.clear()

    # --- one call ---

    async def _get_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout, purpose: Purpose
    ) -> PooledConnection:
        if self._closed:
            raise closed_error()
        # A plain request to a proxy carries the proxy's credentials in a header that aiohttp only adds to new
        # connections. A tunnel is authenticated once.
        reuse = req.proxy is None or req.is_ssl()
        # aiohttp 3.12 leaves the name that the certificate is checked for out of its key.
        key, host = (req.connection_key, req.server_hostname), (req.connection_key.host, req.connection_key.port)
        started = self._loop.time()
        while True:
            request = self._pool.request(purpose, key, host, reuse=reuse)
            permit = request.permit or await self._pool.wait(request, traces, timeout)
            connection = permit.connection
            if connection is None:
                return await self._open(permit, req, traces, timeout, self._loop.time() - started)
            if request.waiter is None or connection.is_usable():
                break
            self._pool.close(permit)  # the peer has closed it since it was assigned
        connection.start_call(reusable=reuse)
        try:
            for trace in traces or ():
                await trace.send_connection_reuseconn()
        except BaseException:
            self._pool.close(permit)
            raise
        return connection

    async def _open(
        self, permit: Permit, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout, waited: float
    ) -> PooledConnection:
        """Open a connection under the permit, which is given back on failure."""
        token = None
        try:
            for trace in traces or ():
                await trace.send_connection_create_start()
            attempt = ConnectAttempt(permit, req, await self._contexts.get() if needs_contexts(req) else None)
            token = current_attempt.set(attempt)
            async with asyncio.timeout(max_connect_time(req, timeout, waited)):
                try:
                    connection = await self._create_connection(req, traces, timeout)
                except Exception as error:
                    # For several addresses aiohttp raises the last error only, and this one matters more.
                    if attempt.descriptor_error is not None and find_descriptor_error(error) is None:
                        raise attempt.descriptor_error from error
                    raise
            assert isinstance(connection, PooledConnection)  # made by self._factory
            permit.connection = connection
            connection.start_call(reusable=req.proxy is None or req.is_ssl())
            if self._closed:
                raise closed_error()
            for trace in traces or ():
                await trace.send_connection_create_end()
            self._watch.check()
        except BaseException:
            self._pool.close(permit)
            raise
        else:
            return connection
        finally:
            if token is not None:
                current_attempt.reset(token)
            self._pool.drop_hold(permit)

    def _translate(self, error: BaseException) -> CloudMapError | None:
        """The error as one of this library's, or None if it stays as it is."""
        if isinstance(error, CloudMapError):
            return None
        if isinstance(error, Exception) and (cause := find_descriptor_error(error)) is not None:
            return too_many_open_files(cause, self._watch.ours())
        if not self._closed:
            return None
        if isinstance(error, asyncio.CancelledError):
            # Closing cancels name look-ups. A task that was cancelled itself stays cancelled.
            task = asyncio.current_task()
            return None if task is None or task.cancelling() else closed_error()
        return closed_error() if isinstance(error, Exception) else None

    def _report_change(self) -> None:
        if not self.calls:
            self._changed.set()

    def _schedule_expiry(self) -> None:
        """One timer for all idle connections: they become idle in order."""
        oldest = next(iter(self._pool.idle), None)
        if oldest is not None and self._expiry is None and not self._loop.is_closed():
            self._expiry = self._loop.call_at(oldest.idle_since + self._policy.keepalive_timeout, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        limit = self._loop.time() - self._policy.keepalive_timeout
        for permit in list(self._pool.idle):
            if permit.idle_since <= limit:
                self._pool.close(permit)
        self._schedule_expiry()

    # --- called by aiohttp ---

    def _release(self, key: ConnectionKey, protocol: Any, *, should_close: bool = False) -> None:  # noqa: ARG002 - aiohttp's own signature
        """A call has ended. Called once for each connection handed out."""
        connection: PooledConnection = protocol
        if connection not in self._active:
            connection.close()  # to a proxy, given up before it became a tunnel
            return
        self._active.discard(connection)
        if self._loop.is_closed():
            return
        reusable = connection.reusable and not (should_close or connection.should_close)
        if reusable and self._keep_idle and not self._closed:
            self._pool.release(connection.permit, self._loop.time())
            self._schedule_expiry()
        else:
            self._pool.close(connection.permit)
        self._report_change()

    def _new_socket(self, addr_info: Any) -> CountedSocket:
        attempt = current_attempt.get()
        try:
            sock = CountedSocket(*addr_info[:3])
        except OSError as error:
            attempt.descriptor_error = find_descriptor_error(error)
            raise
        attempt.permit.holds += 1
        attempt.permit.sockets.append(sock)
        # Not the attempt: nothing that lives as long as a connection may keep a request.
        sock.on_closed = partial(self._on_descriptor_closed, attempt.permit, sock)
        return sock

    def _on_descriptor_closed(self, permit: Permit, sock: CountedSocket) -> None:
        permit.sockets.remove(sock)
        self._pool.drop_hold(permit)
        self._descriptor_closed.set()

    def _get_ssl_context(self, req: ClientRequest) -> ssl.SSLContext | None:
        """Our context, unless the caller of `http_session()` passed one for this request."""
        attempt = current_attempt.get()
        if attempt.contexts is None or req.ssl is not True or not req.is_ssl():
            return super()._get_ssl_context(req)
        # Through a proxy, aiohttp asks for the context of a second request.
        return attempt.contexts.endpoint if req is attempt.request else attempt.contexts.proxy
