"""The world behind AWS's own wire protocol, so that any AWS client can use it.

What differs from the real service, beyond the list in `aiocloudmap.local.world`: signatures are not checked, one world
answers for every Region and account, and control plane and data plane share one address. Clients must switch their host
prefix off, as for every endpoint override.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Self

from aiohttp import web

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.local.connections import Connection, Connections
from aiocloudmap.local.fault import Kind
from aiocloudmap.local.faults import PAUSES, Faults, apply_pauses, wait_forever
from aiocloudmap.local.request import RefusedError
from aiocloudmap.local.stats import ServerStats
from aiocloudmap.local.wire import WireRequest, error_response, fault_response, read_request, success_response
from aiocloudmap.local.world import World
from aiocloudmap.model.interfaces import Clock, call_in_loop

__all__ = ["LocalServer", "Target", "serve_in_thread"]

Target = Callable[[dict[str, Any]], dict[str, Any]]

_logger = logging.getLogger("aiocloudmap.local")
_HANDSHAKE_TIMEOUT: Final = 5.0


class LocalServer:
    """Serves a world on a socket. `async with`, or `start` and `stop`; may be started again after a stop.

    Args:
        world: What it serves.
        faults: Its faults; None for a new, empty set.
        host: The address to listen on; by default the loopback only.
        port: The port; 0 takes a free one.
        ssl_context: Serves TLS with it; None serves plain HTTP.
        clock: Measures delays; by default the world's.
        keepalive_timeout: Seconds that it keeps idle connections.
        request_timeout: Seconds that a new connection may take for the head of a request, and a request for its body.
    """

    def __init__(
        self,
        world: World,
        faults: Faults | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock | None = None,
        keepalive_timeout: float = 75.0,
        request_timeout: float = 30.0,
    ) -> None:
        self.world = world
        self.faults = Faults() if faults is None else faults
        self.stats = ServerStats()
        self._host = host
        self._port = port
        self._ssl_context = ssl_context
        self._clock = clock or world.clock
        self._keepalive_timeout = keepalive_timeout
        self._request_timeout = request_timeout
        self._targets: dict[str, Target] = {}
        self._connections: Connections | None = None
        self._listener: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def port(self) -> int:
        """The port it listens on.

        Raises:
            ConfigurationError: It is not running.
        """
        if self._listener is None:
            raise ConfigurationError("the local server is not running", advice="Use it inside `async with`.")
        return int(self._listener.sockets[0].getsockname()[1])

    @property
    def endpoint_url(self) -> str:
        """The endpoint_url for an AWS client."""
        scheme = "http" if self._ssl_context is None else "https"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self._host, self._host)  # noqa: S104
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def add_target(self, target: str, handler: Target) -> None:
        """Answer for another AWS service on the same endpoint.

        Args:
            target: The X-Amz-Target, such as `AWSEvents.PutEvents`. It names the operation in counts and faults.
            handler: Takes the members of the request, returns those of the answer; may raise `RefusedError`.
        """
        self._targets[target] = handler
        self.faults.expect(target)

    async def start(self) -> None:
        """Start to listen. Raises a ConfigurationError if it cannot, or is running already."""
        if self._listener is not None:
            raise ConfigurationError("the local server is running already", advice="Stop it first.")
        self._loop = asyncio.get_running_loop()
        self._connections = connections = Connections(
            self._handle, self.stats, self._keepalive_timeout, self._request_timeout
        )
        try:
            self._listener = await self._loop.create_server(
                connections,
                self._host,
                self._port,
                # A name like localhost may have two addresses, which would get two ports.
                family=socket.AF_INET6 if ":" in self._host else socket.AF_INET,
                ssl=self._ssl_context,
                ssl_handshake_timeout=None if self._ssl_context is None else _HANDSHAKE_TIMEOUT,
                backlog=1024,
            )
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigurationError(
                f"cannot listen on {self._host} port {self._port}: {reason}", advice="Choose another port, or 0."
            ) from error
        self.faults.attach(self._drop_idle)

    async def stop(self) -> None:
        """Stop at once, and abort every connection and waiting request. Does nothing if it is not running.

        Before Python 3.13, and in uvloop, a TLS handshake that the client never finishes holds its socket for up to
        five seconds.
        """
        listener, self._listener = self._listener, None
        if listener is None or self._connections is None:
            return
        self.faults.detach(self._drop_idle)
        await _stop_accepting(listener)
        listener.close()
        # From Python 3.13, and not in uvloop, it aborts handshakes too.
        if (abort_clients := getattr(listener, "abort_clients", None)) is not None:
            abort_clients()
        await self._connections.abort()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __repr__(self) -> str:
        where = "not running" if self._listener is None else self.endpoint_url
        return f"<LocalServer {where}, {self.stats.connections_open} connections, {self.stats.calls.total} calls>"

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = None if self._connections is None else self._connections.of(request)
        if connection is None or connection.muted:
            await wait_forever()
        connection.begin_request(request.content)
        self.stats.request_begun()
        try:
            return await self._respond(request, connection)
        except RefusedError as refusal:
            return error_response(refusal)
        except Exception:
            _logger.exception("the local server failed")
            return error_response(RefusedError("the local server failed", code="InternalFailure", status=500))
        finally:
            connection.busy -= 1
            self.stats.requests_open -= 1

    async def _respond(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        call = await read_request(request, self._request_timeout)
        self.stats.calls.add(call.operation, call.service)
        faults, gate = self.faults.take(call.operation, call.service)
        if any(each.kind in PAUSES for each in faults):
            connection.begin_pause()
        fault = await apply_pauses(faults, gate, self._clock)
        if fault is None:
            return success_response(self._answer(call))
        if fault.kind is Kind.RESET:
            await connection.reset()
        if (response := fault_response(fault, call)) is not None:
            return response
        members = self._answer(call)
        if fault.kind is Kind.TRUNCATE:
            await connection.truncate(request, success_response(members))
        # What remains is Kind.FEWER, which changes answers with instances only.
        if isinstance(members.get("Instances"), list):
            members = {**members, "Instances": members["Instances"][: int(fault.amount)]}
        return success_response(members)

    def _answer(self, call: WireRequest) -> dict[str, Any]:
        if call.is_cloud_map:
            return self.world.call(call.operation, call.members)
        handler = self._targets.get(call.target)
        if handler is None:
            raise RefusedError(f"unknown target {call.target}", code="UnknownOperationException")
        return handler(call.members)

    def _drop_idle(self, silently: bool) -> None:
        """May be called from any thread. The connections are closed when it returns."""
        loop, connections = self._loop, self._connections
        if loop is not None and connections is not None and not loop.is_closed():
            call_in_loop(loop, lambda: connections.drop_idle(silently=silently))


async def _stop_accepting(listener: asyncio.Server) -> None:
    """Let accepted sockets become connections: asyncio loses those whose server closes first."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):
        for listening in listener.sockets:
            loop.remove_reader(listening.fileno())
    for _ in range(3):
        await asyncio.sleep(0)


@contextmanager
def serve_in_thread(server: LocalServer) -> Iterator[LocalServer]:
    """Run the server in a thread with its own event loop until the block ends.

    Its world and faults may be changed from any thread.

    Raises:
        ConfigurationError: It cannot listen.
    """
    started: concurrent.futures.Future[Callable[[], object]] = concurrent.futures.Future()
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve(server, started)), name="aiocloudmap-local-server", daemon=True
    )
    thread.start()
    try:
        stop = started.result()
    except BaseException:
        thread.join()
        raise
    try:
        yield server
    finally:
        stop()
        thread.join()


async def _serve(server: LocalServer, started: concurrent.futures.Future[Callable[[], object]]) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    try:
        await server.start()
    except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
        started.set_exception(error)
        return
    started.set_result(lambda: loop.call_soon_threadsafe(stopped.set))
    try:
        await stopped.wait()
    finally:
        await server.stop()
