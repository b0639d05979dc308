"""The bounded connector of one event loop: aiohttp's way of opening connections, under a bound of our own.

aiohttp's `limit` counts connections in use; idle ones pile up per host beside it. Here a permit stands for every
descriptor, from before it is made until after it is closed, so `max_connections` holds at every instant.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.connector import Connection

from aiocloudmap.aws.transport.connection import Attempt, Expiry, Handler, attempt, is_usable
from aiocloudmap.aws.transport.counted_socket import CountedSocket
from aiocloudmap.aws.transport.file_descriptors import find_descriptor_error, too_many_open_files
from aiocloudmap.aws.transport.pool import Bound, Permit, Purpose
from aiocloudmap.aws.transport.queue import WaitingRoom, closed_error, connect_time, needs_contexts
from aiocloudmap.aws.transport.tls import ContextsOfLoop
from aiocloudmap.errors import CloudMapError

if TYPE_CHECKING:
    import socket
    import ssl

    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.tracing import Trace

    from aiocloudmap.aws.transport.connection import Handler
    from aiocloudmap.aws.transport.tls import TlsContexts
    from aiocloudmap.model.policy import ConnectionPolicy

__all__ = ["BoundedConnector", "CallsInFlight"]


# MERGED aws/calls: The calls in flight of one connector: how many there are, and whether anybody still reads their responses.  # noqa: E501


class CallsInFlight:
    """Counts calls from before they queue until their connection is given back.

    Args:
        on_quiet: Called when the last one has ended.
    """

    def __init__(self, on_quiet: Callable[[], object]) -> None:
        self.count = 0
        self._on_quiet = on_quiet
        self._connected: set[Handler] = set()

    def begin(self) -> None:
        """One more; it has no connection yet."""
        self.count += 1

    def connect(self, handler: Handler) -> None:
        """One of them has got its connection."""
        self._connected.add(handler)

    def disconnect(self, handler: Handler) -> bool:
        """It does not need the connection any more. False for a connection that no call has got."""
        known = handler in self._connected
        self._connected.discard(handler)
        return known

    def end(self) -> None:
        """One less."""
        self.count -= 1
        if not self.count:
            self._on_quiet()

    def abandoned_in(self, now: float) -> float | None:
        """Seconds until every call is a response that nobody seems to read; None if one of them is not begun.

        A response counts as abandoned when no byte of it has come for ten seconds. A call that still waits for the
        first byte never does: its own time-out ends it.

        Args:
            now: The moment, on the loop's clock.
        """
        if len(self._connected) < self.count:
            return None
        silences = [handler.abandoned_at for handler in self._connected]
        return None if None in silences else max([0.0, *(at - now for at in silences if at is not None)])


_GOODBYE: Final = 1.0
"""Seconds that closing waits for the loop to give descriptors back; it takes two turns of the loop."""


class BoundedConnector(aiohttp.TCPConnector):
    """At most `policy.max_connections` open sockets at every instant: connecting, in use, idle or closing.

    Other TLS settings or another policy mean another connector, with a bound of its own. Two connections are kept for
    `Purpose.DISCOVERY`, whatever the host: it may pass the limit per host by them. At the bound the oldest idle
    connection is closed to make room; else callers queue in order, a client's call for as long as it would have
    waited to connect.

    Args:
        policy: The limits.
        contexts: Builds the TLS contexts. It blocks, and is called in a thread when the first https address comes.
        keep_idle: False closes every connection after its call.
        count: How many sockets all connectors of the process hold, for messages.
        on_quiet: Called when the last call in flight has ended.
        on_opened: Called when a new connection has been opened.
    """

    def __init__(
        self,
        policy: ConnectionPolicy,
        *,
        contexts: Callable[[], TlsContexts],
        keep_idle: bool = True,
        count: Callable[[], int] | None = None,
        on_quiet: Callable[[], object] = lambda: None,
        on_opened: Callable[[], object] = lambda: None,
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            limit=0,
            keepalive_timeout=policy.keepalive_timeout,
            resolver=aiohttp.ThreadedResolver(loop=loop),
            ttl_dns_cache=policy.dns_ttl,  # type: ignore[arg-type]
            happy_eyeballs_delay=None,
            socket_factory=self._new_socket,
        )
        self._factory = lambda: Handler(loop)  # type: ignore[assignment]
        self._policy = policy
        self._contexts = ContextsOfLoop(contexts)
        self._keep_idle = keep_idle
        self._count = count or (lambda: self.open_connections)
        self._on_opened = on_opened
        self._bound: Bound[Handler] = Bound(
            policy.max_connections, policy.max_connections_per_host, usable=self._is_usable, shut=_shut
        )
        self._calls = CallsInFlight(on_quiet)
        self._queue = WaitingRoom(self._bound, policy, loop)
        self._expiry = Expiry(self._bound, policy.keepalive_timeout, loop)
        self._gone = asyncio.Event()

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"<BoundedConnector {self._bound!r}, {self.calls} call(s) in flight{state}>"

    @property
    def open_connections(self) -> int:
        """Sockets that are open, or about to be opened, now. May be read from any thread."""
        return len(self._bound.permits)

    @property
    def calls(self) -> int:
        """Calls in flight: queueing, connecting, waiting for an answer, or reading one."""
        return self._calls.count

    def abandoned_in(self) -> float | None:
        """Seconds until every call in flight is a response that nobody seems to read; None if one is not begun."""
        return self._calls.abandoned_in(self._loop.time())

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,
        purpose: Purpose = Purpose.CLIENT,
    ) -> Connection:
        """A connection for one request.

        Cancelling it leaves the queue, or gives back what was opened.

        Raises:
            ConnectionLimitError: A client's call waited in the queue for as long as it may wait to connect.
            TooManyOpenFilesError: The process, or the system, has no descriptor left.
            ConnectError: The connector was closed meanwhile.
            ConfigurationError: The TLS settings cannot be used.
        """
        self._calls.begin()
        try:
            handler = await self._connected(req, traces, timeout, purpose)
        except BaseException as error:
            self._calls.end()
            named = self._named(error)
            if named is None:
                raise
            raise named from error
        self._calls.connect(handler)
        return Connection(self, req.connection_key, handler, self._loop)

    def drop_idle(self) -> None:
        """Close idle connections at once, and forget addresses: nobody knows how old they are."""
        self.clear_dns_cache()
        for permit in list(self._bound.idle):
            self._bound.close(permit)

    async def settled(self) -> None:
        """Wait until the descriptors of what was closed are gone."""
        await self._until_gone(lambda permit: permit.leaving)

    async def close(self, **_: Any) -> None:
        """Close everything, and wait until the descriptors are gone; calls in flight end in a ConnectError."""
        if self._closed:
            return
        self._expiry.stop()
        self._queue.close()
        for permit in list(self._bound.permits):
            if permit.connection is not None and permit.purpose is not None:
                permit.connection.end(closed_error())
            else:
                self._bound.close(permit)
        await super().close()
        await self._until_gone(lambda permit: permit.connection is not None)

    async def _until_gone(self, waited_for: Callable[[Permit[Handler]], bool]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                while any(map(waited_for, self._bound.permits)):
                    self._gone.clear()
                    await self._gone.wait()

    def abandon(self) -> None:
        """Close the descriptors that a dead loop left behind. For a loop that is closed, on any thread."""
        self._closed = True
        for permit in list(self._bound.permits):
            if permit.connection is not None:
                permit.connection.abandon()
            for sock in list(permit.sockets):
                sock.on_gone = None
                sock.close()
        self._bound.permits.clear()

    # --- one call ---

    async def _connected(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout, purpose: Purpose
    ) -> Handler:
        if self._closed:
            raise closed_error()
        # A plain request to a proxy carries the proxy's credentials in a header that aiohttp only adds to new
        # connections; a tunnel has been let through once and for all.
        reuse = req.proxy is None or req.is_ssl()
        # The name that the certificate is checked for; aiohttp 3.12 leaves it out of its key.
        key, place = req.connection_key, (req.connection_key, req.server_hostname)
        began = self._loop.time()
        turn = self._bound.ask(purpose, place, (key.host, key.port), reuse=reuse)
        while turn.permit is None:
            await self._queue.wait(turn, timeout, traces)
            if turn.granted.connection is not None and not self._is_usable(turn.granted):
                # The peer has closed it between the promise and now.
                self._bound.close(turn.granted)
                turn = self._bound.ask(purpose, place, (key.host, key.port), reuse=reuse)
        permit = turn.permit
        if permit.connection is None:
            return await self._opened(permit, req, traces, timeout, self._loop.time() - began)
        handler = permit.connection
        handler.begin(reuse=reuse)
        try:
            for trace in traces or ():
                await trace.send_connection_reuseconn()
        except BaseException:
            self._bound.close(permit)
            raise
        return handler

    async def _opened(
        self, permit: Permit[Handler], req: ClientRequest, traces: list[Trace], timeout: ClientTimeout, waited: float
    ) -> Handler:
        """A new connection under the permit, which is given back where none comes of it."""
        token = None
        try:
            for trace in traces or ():
                await trace.send_connection_create_start()
            this = Attempt(permit, req, await self._contexts.get() if needs_contexts(req) else None)
            token = attempt.set(this)
            async with asyncio.timeout(connect_time(req, timeout, waited)):
                try:
                    handler = await self._create_connection(req, traces, timeout)
                except Exception as error:
                    # Of several addresses aiohttp tells the last one's failure, and this is the one that matters.
                    if this.exhausted is not None and find_descriptor_error(error) is None:
                        raise this.exhausted from error
                    raise
            assert isinstance(handler, Handler)  # ours, by the factory
            permit.connection = handler
            handler.begin(reuse=req.proxy is None or req.is_ssl())
            if self._closed:
                raise closed_error()
            for trace in traces or ():
                await trace.send_connection_create_end()
            self._on_opened()
        except BaseException:
            self._bound.close(permit)
            raise
        else:
            return handler
        finally:
            if token is not None:
                attempt.reset(token)
            self._bound.drop(permit)

    def _release(self, key: ConnectionKey, protocol: Any, *, should_close: bool = False) -> None:  # noqa: ARG002 - aiohttp's own signature
        """A call has ended. Called by aiohttp's Connection, once per connection handed out."""
        handler: Handler = protocol
        if not self._calls.disconnect(handler):
            handler.close()  # the way to a proxy, given up before it became a tunnel
            return
        if self._loop.is_closed():
            return
        permit = handler.permit
        if self._closed or should_close or handler.should_close or not handler.fit_for_reuse or not self._keep_idle:
            self._bound.close(permit)
        else:
            self._bound.rest(permit, self._loop.time())
            self._expiry.watch()
        self._calls.end()

    def _named(self, error: BaseException) -> CloudMapError | None:
        """The error in this library's words, where it has words for it."""
        if isinstance(error, CloudMapError):
            return None
        if isinstance(error, Exception) and (cause := find_descriptor_error(error)) is not None:
            return too_many_open_files(cause, self._count())
        if not self._closed:
            return None
        if isinstance(error, asyncio.CancelledError):
            # Closing cancels look-ups of names; a task that was cancelled itself stays cancelled.
            task = asyncio.current_task()
            return None if task is None or task.cancelling() else closed_error()
        return closed_error() if isinstance(error, Exception) else None

    def _is_usable(self, permit: Permit[Handler]) -> bool:
        return is_usable(permit, idle_after=self._loop.time() - self._policy.keepalive_timeout)

    # --- what aiohttp calls on the way ---

    def _new_socket(self, addr_info: Any) -> socket.socket:
        this = attempt.get()
        try:
            sock = CountedSocket(*addr_info[:3])
        except OSError as error:
            this.exhausted = find_descriptor_error(error)
            raise
        permit = this.permit
        permit.holds += 1
        permit.sockets.append(sock)
        sock.on_gone = lambda: self._socket_gone(permit, sock)
        return sock

    def _socket_gone(self, permit: Permit[Handler], sock: CountedSocket) -> None:
        permit.sockets.remove(sock)
        self._bound.drop(permit)
        self._gone.set()

    def _get_ssl_context(self, req: ClientRequest) -> ssl.SSLContext | None:
        """Ours, unless the caller of `http_session()` brought a context for this one request."""
        this = attempt.get()
        if this.contexts is None or req.ssl is not True or not req.is_ssl():
            return super()._get_ssl_context(req)
        return this.contexts.endpoint if req is this.request else this.contexts.proxy


def _shut(permit: Permit[Handler]) -> None:
    if permit.connection is not None:
        permit.connection.close()
