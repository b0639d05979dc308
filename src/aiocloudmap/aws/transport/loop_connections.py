"""The connections of each event loop: its connectors, their holders, and how they are closed with the loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import weakref
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

import aiohttp

from aiocloudmap.aws.transport.connector import BoundedConnector
from aiocloudmap.aws.transport.file_descriptors import DescriptorWatch
from aiocloudmap.aws.transport.tls import ContextCache, ContextsOfLoop
from aiocloudmap.errors import ConfigurationError
from aiocloudmap.model.interfaces import running_loop

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

    from aiocloudmap.aws.transport.pool import Purpose
    from aiocloudmap.aws.transport.tls import TlsSettings
    from aiocloudmap.model.events import DescriptorsLow
    from aiocloudmap.model.policy import ConnectionPolicy

__all__ = ["ConnectorProxy", "LoopConnections", "LoopRegistry"]

T = TypeVar("T")
_Kept = tuple[Any, aiohttp.ClientSession]

_MAX_THREADS: Final = 4
_POLL_INTERVAL: Final = 0.001

_CLOSE_TIMEOUT: Final = 5.0
"""Seconds to wait for name look-ups at the end of a loop, or to close the connections of one whose thread has ended."""


class LoopConnections:
    """The connections of one event loop. Used on that loop's thread, except where a docstring says otherwise."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, contexts: ContextCache, watch: DescriptorWatch) -> None:
        self.loop = loop
        self.stale = False
        self.closings = 0
        self.connectors: dict[tuple[ConnectionPolicy, TlsSettings], BoundedConnector] = {}
        # AWS clients' HTTP sessions, and by holder those of the user.
        self.aws_sessions: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self.client_sessions: weakref.WeakKeyDictionary[object, list[_Kept]] = weakref.WeakKeyDictionary()
        self._contexts, self._watch = contexts, watch
        self._executor: ThreadPoolExecutor | None = None
        self.thread = threading.current_thread()  # of the last call
        self._guard: AsyncGenerator[None, None] | None = None
        self._ended = False
        self._entered: Counter[object] = Counter()
        self._calling: weakref.WeakSet[object] = weakref.WeakSet()
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        holders = len(self._entered) + len(self._calling)
        return f"<LoopConnections: {list(self.connectors.values())!r}, {holders} holder(s)>"

    @property
    def open_connections(self) -> int:
        """Open sockets now. Safe on any thread."""
        return sum(connector.open_connections for connector in list(self.connectors.values()))

    def is_held_beside(self, holder: object) -> bool:
        """Whether the connections are held by more than calls of this holder."""
        return bool(self._entered) or any(other is not holder for other in self._calling)

    @property
    def is_dead(self) -> bool:
        """Whether the loop is closed or its thread has ended. An idle loop is not dead. Safe on any thread."""
        return self.loop.is_closed() or not (self.loop.is_running() or self.thread.is_alive())

    def connector(self, policy: ConnectionPolicy, tls: TlsSettings, holder: object | None) -> BoundedConnector:
        """The connector for a call that begins now; `holder` holds it from now on."""
        if self.stale:
            self.drop_idle()
        self.thread = threading.current_thread()
        if holder is not None and holder not in self._entered and holder not in self._calling:
            self._calling.add(holder)
            self._changed.set()
        connector = self.connectors.get((policy, tls))
        if connector is None:
            connector = self.connectors[policy, tls] = BoundedConnector(
                policy,
                contexts=ContextsOfLoop(partial(self.run_in_thread, self._contexts.get, tls)),
                resolver=aiohttp.ThreadedResolver(_NameService(self)),  # type: ignore[arg-type]
                keep_idle=not self._ended,
                watch=self._watch,
                changed=self._changed,
            )
        return connector

    def drop_idle(self) -> None:
        """Close the idle connections."""
        self.stale = False
        for connector in self.connectors.values():
            connector.drop_idle()

    async def close_idle(self) -> None:
        """Close the idle connections, and wait until their descriptors are closed."""
        self.drop_idle()
        for connector in list(self.connectors.values()):
            await connector.wait_closed()

    def run_in_thread(self, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Call the function in a thread of our own: the program may have filled the loop's default executor.

        The threads end with the loop, since a fork would warn of them.
        """
        if self._executor is None:
            self._executor = ThreadPoolExecutor(_MAX_THREADS, "aiocloudmap")
        return self.loop.run_in_executor(self._executor, function, *args)

    # --- holders ---

    def enter(self, holder: object) -> None:
        """Hold the connections until `leave`."""
        self._entered[holder] += 1
        self._changed.set()

    async def leave(self, holder: object) -> None:
        """End one `enter`; the last holder closes. Ignored if `enter` was on another loop or before a fork."""
        if holder not in self._entered:
            return
        self._entered[holder] -= 1
        if self._entered[holder] <= 0:
            del self._entered[holder]
        await self._close_if_unheld()

    async def give_back(self, holder: object) -> None:
        """End what a call outside `enter` and `leave` holds; the last holder closes."""
        if holder in self._calling:
            self._calling.discard(holder)
            await self._close_if_unheld()

    async def _close_if_unheld(self) -> None:
        """Close once the calls in flight have ended or are abandoned, unless a new holder comes first."""
        while not self._entered and not self._calling:
            delays = [connector.abandoned_in() for connector in self.connectors.values() if connector.calls]
            longest = None if None in delays else max((delay for delay in delays if delay is not None), default=0.0)
            if longest is not None and longest <= 0:
                await self._close()
                return
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(longest):
                    await self._changed.wait()

    async def _close(self) -> None:
        # Removed first: a call that begins while they close makes a new connector.
        connectors, self.connectors = list(self.connectors.values()), {}
        if connectors:
            self.closings += 1
        for connector in connectors:
            await connector.close()

    # --- the end of the loop ---

    def start_guard(self) -> None:
        """Let the loop close the connections when it shuts down its asynchronous generators."""
        self._guard = self._close_with_loop()
        # Run by hand up to its yield, so that nothing can cancel it half-way.
        with contextlib.suppress(StopIteration):
            self._guard.asend(None).send(None)

    async def _close_with_loop(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._ended = True
            await self._close()
            await self._end_threads()

    async def _end_threads(self) -> None:
        executor, self._executor = self._executor, None
        if executor is None:
            return
        ending = threading.Thread(target=executor.shutdown, name="aiocloudmap-end-threads", daemon=True)
        ending.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                while ending.is_alive():  # noqa: ASYNC110 - the end of a thread is not an event
                    await asyncio.sleep(_POLL_INTERVAL)

    def close_dead_loop(self) -> None:
        """Close what the loop left open when it ended without `shutdown_asyncgens`. On another thread."""
        if self.loop.is_closed():
            if self._executor is not None:
                self._executor.shutdown(wait=False)
            connectors, self.connectors = list(self.connectors.values()), {}
            for connector in connectors:
                connector.abandon()
            return
        # It is open and will not be run again, so another thread may run it. This thread may be running a loop.
        thread = threading.Thread(target=self._run_guard, name="aiocloudmap-close-dead-loop", daemon=True)
        thread.start()
        thread.join(_CLOSE_TIMEOUT)

    def _run_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed or started again
                self.loop.run_until_complete(guard.aclose())


class _NameService:
    """The part of an event loop that aiohttp's resolver uses, in threads of our own."""

    def __init__(self, connections: LoopConnections) -> None:
        self._connections = connections

    async def getaddrinfo(self, host: str, port: int, **options: Any) -> Any:
        return await self._connections.run_in_thread(partial(socket.getaddrinfo, host, port, **options))

    async def getnameinfo(self, address: Any, flags: int) -> Any:
        return await self._connections.run_in_thread(socket.getnameinfo, address, flags)


@dataclass(eq=False)
class ConnectorProxy:
    """The connector of a ClientSession. It looks up the current one at each call.

    So a session can be used after its connections were closed. It does not keep the holder alive.
    """

    allowed_protocol_schema_set: ClassVar = aiohttp.TCPConnector.allowed_protocol_schema_set
    _timeout_ceil_threshold: ClassVar = 5.0

    connections: LoopConnections
    policy: ConnectionPolicy
    tls: TlsSettings
    purpose: Purpose
    holder: weakref.ref[object]

    def __post_init__(self) -> None:
        self._loop = self.connections.loop

    @property
    def closed(self) -> bool:
        """Whether the loop is closed. aiohttp asks at the start of each request.

        Raises:
            ConfigurationError: Another event loop is running.
        """
        if (running := asyncio._get_running_loop()) is not None and running is not self._loop:
            raise ConfigurationError(
                "this http_session() belongs to another event loop",
                advice="Call CloudMap.http_session() for each use; it is cheap.",
            )
        return self._loop.is_closed()

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        """As `BoundedConnector.connect`, on the current connector."""
        connector = self.connections.connector(self.policy, self.tls, self.holder())
        return await connector.connect(req, traces, timeout, self.purpose)

    async def close(self) -> None:
        """Do nothing: the transport closes the connections."""


class LoopRegistry:
    """The `LoopConnections` of every event loop of the process. `notify` is called when descriptors run low."""

    def __init__(self, notify: Callable[[DescriptorsLow], object]) -> None:
        self._notify = notify
        self._inherited: list[object] = []
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._by_loop: dict[asyncio.AbstractEventLoop, LoopConnections] = {}
        self.contexts = ContextCache()
        self._watch = DescriptorWatch(lambda: self.open_connections, self._notify)

    def __iter__(self) -> Iterator[LoopConnections]:
        return iter(list(self._by_loop.values()))

    @property
    def open_connections(self) -> int:
        """Open sockets now, idle ones included. Safe on any thread."""
        return sum(connections.open_connections for connections in self)

    def get(self, loop: asyncio.AbstractEventLoop) -> LoopConnections | None:
        """The connections of the loop, if it has any."""
        return self._by_loop.get(loop)

    def current(self) -> LoopConnections:
        """The connections of the running loop.

        Raises:
            ConfigurationError: No running asyncio loop.
        """
        loop = asyncio._get_running_loop() or running_loop()
        return self._by_loop.get(loop) or self._add(loop)

    def _add(self, loop: asyncio.AbstractEventLoop) -> LoopConnections:
        """Add a new loop, and close what dead loops left open."""
        connections = LoopConnections(loop, contexts=self.contexts, watch=self._watch)
        with self._lock:
            dead = [other for other in self._by_loop.values() if other.is_dead]
            for other in dead:
                del self._by_loop[other.loop]
            self._by_loop[loop] = connections
        connections.start_guard()
        for other in dead:
            other.close_dead_loop()
        return connections

    def forget_after_fork(self) -> None:
        """In the child: the parent's connections stay referenced, and are neither used nor closed."""
        self._inherited.append((self._by_loop, self.contexts))
        self._start()
