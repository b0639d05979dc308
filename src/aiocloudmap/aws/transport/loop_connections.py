"""What the transport keeps for one event loop: its connectors, who holds them, and the guard that closes them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, Final

from aiocloudmap.aws.transport.connector import BoundedConnector
from aiocloudmap.aws.transport.http_session import Door, KeptSession, SharedSession
from aiocloudmap.aws.transport.pool import Purpose
from aiocloudmap.errors import ConfigurationError

if TYPE_CHECKING:
    from aiocloudmap.aws.transport.tls import ContextCache, TlsSettings
    from aiocloudmap.model.policy import ConnectionPolicy

__all__ = ["LoopState"]

_MAX_SESSIONS: Final = 32
"""Sessions kept per holder: options may differ with every call."""

_RESERVED_OPTIONS: Final = ("connector", "connector_owner", "loop")


class LoopState:
    """The connections of one event loop. Used on that loop's thread, but for what says otherwise.

    Args:
        loop: The loop, which must be running.
        contexts: The TLS contexts of the process.
        count: How many sockets the process holds, for messages.
        on_opened: Called when a new connection has been opened.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        contexts: ContextCache,
        count: Callable[[], int],
        on_opened: Callable[[], object],
    ) -> None:
        self.loop = loop
        self.stale = False
        self.closings = 0
        self.sessions: weakref.WeakKeyDictionary[SharedSession, KeptSession] = weakref.WeakKeyDictionary()
        self.connectors: dict[tuple[ConnectionPolicy, TlsSettings], BoundedConnector] = {}
        self._contexts, self._count, self._on_opened = contexts, count, on_opened
        self._thread = threading.current_thread()
        self._guard: AsyncGenerator[None, None] | None = None
        self._ended = False
        self._entered: Counter[object] = Counter()
        self._calling: weakref.WeakSet[object] = weakref.WeakSet()
        self._waiting: set[asyncio.Future[None]] = set()
        self._user_sessions: weakref.WeakKeyDictionary[object, OrderedDict[int, _Kept]] = weakref.WeakKeyDictionary()

    def __repr__(self) -> str:
        holders = len(self._entered) + len(self._calling)
        return f"<LoopState: {list(self.connectors.values())!r}, {holders} holder(s)>"

    @property
    def open_connections(self) -> int:
        """Open sockets now. May be read on any thread."""
        return sum(connector.open_connections for connector in list(self.connectors.values()))

    @property
    def is_dead(self) -> bool:
        """Whether the loop has closed, or nobody can run it any more. Idle loops are not dead. On any thread."""
        return self.loop.is_closed() or not (self.loop.is_running() or self._thread.is_alive())

    @property
    def is_of_this_thread(self) -> bool:
        """Whether this thread was the last to make a call on the loop."""
        return self._thread is threading.current_thread()

    # --- calls ---

    def connector(self, policy: ConnectionPolicy, tls: TlsSettings, holder: object | None) -> BoundedConnector:
        """The connector for a call that begins now; `holder` holds it from now on."""
        if self.stale:
            self.freshen()
        self._thread = threading.current_thread()
        if holder is not None and holder not in self._entered and holder not in self._calling:
            self._calling.add(holder)
            self._wake()
        key = (policy, tls)
        connector = self.connectors.get(key)
        if connector is None:
            connector = self.connectors[key] = BoundedConnector(
                policy,
                contexts=lambda: self._contexts.get(tls),
                keep_idle=not self._ended,
                count=self._count,
                on_quiet=self._wake,
                on_opened=self._on_opened,
            )
        return connector

    def client_session(
        self, policy: ConnectionPolicy, tls: TlsSettings, holder: object, options: dict[str, Any]
    ) -> KeptSession:
        """The kept session of equal options, or a new one."""
        if refused := [name for name in _RESERVED_OPTIONS if name in options]:
            raise ConfigurationError(
                f"http_session() takes no {refused[0]}", advice="Its connections are the shared, bounded ones."
            )
        kept = self._user_sessions.setdefault(holder, OrderedDict())
        given = (policy, tls, options)
        for number, (known, session) in kept.items():
            if known == given:
                kept.move_to_end(number)
                return session
        door: Any = Door(self, policy, tls, Purpose.CLIENT, weakref.ref(holder))
        try:
            session = KeptSession(connector=door, connector_owner=False, **options)
        except (TypeError, ValueError, AssertionError) as error:
            raise ConfigurationError(
                f"aiohttp refuses an option of http_session(): {error}",
                advice="Give what aiohttp.ClientSession takes, but for the connector.",
            ) from error
        kept[id(session)] = (given, session)
        while len(kept) > _MAX_SESSIONS:
            kept.popitem(last=False)
        return session

    def freshen(self) -> None:
        """Close what was idle while time passed unseen."""
        self.stale = False
        for connector in self.connectors.values():
            connector.drop_idle()

    async def close_idle(self) -> None:
        """As `freshen`, and wait until the descriptors are gone."""
        self.freshen()
        for connector in list(self.connectors.values()):
            await connector.settled()

    # --- holders ---

    def enter(self, holder: object) -> None:
        """Hold until `leave`."""
        self._entered[holder] += 1
        self._wake()

    async def leave(self, holder: object) -> None:
        """Let go once; the last one closes. Nothing for one who entered on another loop, or before a fork."""
        if holder not in self._entered:
            return
        self._entered[holder] -= 1
        if self._entered[holder] <= 0:
            del self._entered[holder]
        await self._close_if_free()

    async def give_back(self, holder: object) -> None:
        """Let go of what a call outside of `enter` and `leave` holds; the last one closes."""
        if holder in self._calling:
            self._calling.discard(holder)
            await self._close_if_free()

    async def _close_if_free(self) -> None:
        while not self._entered and not self._calling:
            busy = [connector for connector in self.connectors.values() if connector.calls]
            patience = [connector.abandoned_in() for connector in busy]
            longest = None if None in patience else max((delay for delay in patience if delay is not None), default=0.0)
            if longest is not None and longest <= 0:
                await self._close()
                return
            await self._change(longest)

    async def _change(self, timeout: float | None) -> None:
        """Wait until a holder comes, the last call of a connector ends, or the time is over."""
        changed: asyncio.Future[None] = self.loop.create_future()
        self._waiting.add(changed)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await changed
        finally:
            self._waiting.discard(changed)

    def _wake(self) -> None:
        for changed in self._waiting:
            if not changed.done():
                changed.set_result(None)

    async def _close(self) -> None:
        # Taken out first: a call that begins while they close finds none, and makes a new one.
        connectors, self.connectors = list(self.connectors.values()), {}
        if connectors:
            self.closings += 1
        for connector in connectors:
            await connector.close()

    # --- the loop's end ---

    def start_guard(self) -> None:
        """Have the loop close the connections when it shuts down its asynchronous generators."""
        self._guard = _guard(self._end)
        # Driven by hand up to its yield: there is no point at which it could be cancelled half-way.
        with contextlib.suppress(StopIteration):
            self._guard.asend(None).send(None)

    async def _end(self) -> None:
        self._ended = True
        await self._close()

    def run_to_end(self) -> None:
        """End a loop that is open and that nobody runs. On a thread without a loop."""
        guard, self._guard = self._guard, None
        if guard is not None:
            with contextlib.suppress(RuntimeError):  # somebody closed or runs it after all
                self.loop.run_until_complete(guard.aclose())

    def abandon(self) -> None:
        """Close what a closed loop left open. On any thread."""
        connectors, self.connectors = list(self.connectors.values()), {}
        for connector in connectors:
            connector.abandon()


_Kept = tuple[tuple["ConnectionPolicy", "TlsSettings", dict[str, Any]], KeptSession]


async def _guard(end: Callable[[], Any]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await end()
