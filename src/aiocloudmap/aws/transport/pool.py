"""The connection pool: decides who may open, use or wait for a connection. Synchronous, without I/O.

| a permit is | its socket is | it counts towards |
|---|---|---|
| opening, busy | not there yet, connecting, in use | its purpose, its host, the pool |
| idle | open and unused | its host, the pool |
| closing | being closed | its host, the pool |
| gone | closed | nothing |

Requests are served in order. One that cannot be served lets others pass that go to another host or have a reserve.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio
    import socket

__all__ = ["RESERVED", "ConnectionPool", "Permit", "PoolRequest", "Purpose"]

RESERVED: Final = 2
"""Connections kept free for discovery, whatever the clients do and whichever host it asks."""


class Purpose(Enum):
    """What a connection is used for."""

    DISCOVERY = "discovery"
    """A request to Cloud Map."""

    CLIENT = "client"
    """The user's own call; leaves RESERVED connections free for discovery."""

    # Used as a key several times for each call, and Enum's own hash is a function in Python.
    __hash__ = object.__hash__


class Connection(Protocol):
    """What the pool needs of a connection."""

    def is_usable(self) -> bool:
        """Whether the idle connection is still good."""
        ...

    def close(self) -> None:
        """Begin to close; `ConnectionPool.drop_hold` follows once the descriptor is closed."""
        ...


_C = TypeVar("_C", bound=Connection)


class Permit(Generic[_C]):
    """One open socket, or one attempt to open it. Requests of an equal key may reuse it."""

    __slots__ = ("closing", "connection", "holds", "host", "idle_since", "key", "purpose", "sockets")

    def __init__(self, key: Hashable, host: Hashable) -> None:
        self.key, self.host = key, host
        self.purpose: Purpose | None = None
        self.closing = False
        self.holds = 1
        self.idle_since = 0.0
        self.connection: _C | None = None
        self.sockets: list[socket.socket] = []


class PoolRequest(Generic[_C]):
    """A request for a connection, and its place in the queue. `reuse` accepts an idle connection."""

    __slots__ = ("host", "key", "number", "permit", "purpose", "reuse", "waiter")

    def __init__(self, number: int, purpose: Purpose, key: Hashable, host: Hashable, *, reuse: bool) -> None:
        self.number, self.purpose, self.key, self.host, self.reuse = number, purpose, key, host, reuse
        self.permit: Permit[_C] | None = None
        self.waiter: asyncio.Future[None] | None = None

    @property
    def group(self) -> Hashable:
        """Requests of one group want the same: if the first cannot be served, none of them can."""
        return self.purpose, self.key, self.reuse

    def assign(self, permit: Permit[_C]) -> None:
        """Set the permit, and wake the caller if it waits."""
        self.permit = permit
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """Raise the error in the caller that waits."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(error)


class ConnectionPool(Generic[_C]):
    """At most `limit` open sockets, `per_host` of them to one host.

    Discovery may exceed the limit per host by its reserve, so that clients of the same host cannot starve it.

    Args:
        limit: Most permits at a time.
        per_host: Most permits to one host, without the reserve.
    """

    def __init__(self, limit: int, per_host: int) -> None:
        self.limit, self.per_host = limit, per_host
        self.permits: set[Permit[_C]] = set()
        self.idle: OrderedDict[Permit[_C], None] = OrderedDict()
        self._idle_by_key: defaultdict[Hashable, list[Permit[_C]]] = defaultdict(list)
        self._queues: dict[Hashable, OrderedDict[PoolRequest[_C], None]] = {}
        self._open: defaultdict[Hashable, int] = defaultdict(int)
        self._closing: defaultdict[Hashable, int] = defaultdict(int)
        self._used: defaultdict[Hashable, int] = defaultdict(int)
        self._numbers = count()
        self._serving = self._serve_again = False

    def __repr__(self) -> str:
        closing = sum(self._closing.values())
        return (
            f"<{len(self.permits)} of {self.limit} open: {len(self.permits) - len(self.idle) - closing} in use, "
            f"{len(self.idle)} idle, {closing} closing; {self.waiting} waiting>"
        )

    @property
    def waiting(self) -> int:
        """Queued requests."""
        return sum(map(len, self._queues.values()))

    def request(self, purpose: Purpose, key: Hashable, host: Hashable, *, reuse: bool = True) -> PoolRequest[_C]:
        """Request a connection. The request's `permit` is set at once if there is room; else it is queued."""
        request: PoolRequest[_C] = PoolRequest(next(self._numbers), purpose, key, host, reuse=reuse)
        if not self._queues and not self._serving:  # the common case avoids the queue
            request.permit = self._find_permit(request, {})
            if request.permit is not None:
                return request
        self._queues.setdefault(request.group, OrderedDict())[request] = None
        self.serve_queue()
        return request

    def withdraw(self, request: PoolRequest[_C]) -> None:
        """Leave the queue, or return a permit that was assigned and not used."""
        if request.permit is None:
            self._remove_from_queue(request)
        elif request.permit.connection is None:
            self.drop_hold(request.permit)
        else:
            self.release(request.permit, request.permit.idle_since)

    def fail_queued(self, error: Callable[[], Exception]) -> None:
        """Wake every queued caller with an error of its own. Each withdraws its request."""
        for queue in self._queues.values():
            for request in queue:
                request.fail(error())

    def release(self, permit: Permit[_C], now: float) -> None:
        """The call has ended, and the connection may be reused."""
        if permit.closing or permit not in self.permits:
            return
        self._end_use(permit)
        permit.idle_since = now
        self.idle[permit] = None
        self._idle_by_key[permit.key].append(permit)
        self.serve_queue()

    def close(self, permit: Permit[_C]) -> None:
        """Close the connection; it counts until its descriptor is closed."""
        if permit.closing or permit not in self.permits:
            return
        self._remove_from_idle(permit)
        self._end_use(permit)
        permit.closing = True
        self._closing[permit.host] += 1
        if permit.connection is not None:
            permit.connection.close()
        self.serve_queue()

    def drop_hold(self, permit: Permit[_C]) -> None:
        """One of the permit's holds (the attempt, each descriptor) has ended; the last one frees the permit."""
        permit.holds -= 1
        if permit.holds or permit not in self.permits:
            return
        self._remove_from_idle(permit)
        self._end_use(permit)
        self.permits.discard(permit)
        _decrement(self._open, permit.host)
        if permit.closing:
            _decrement(self._closing, permit.host)
        self.serve_queue()

    def serve_queue(self) -> None:
        """Assign permits to queued requests, oldest first. Closing an idle connection may call this again."""
        self._serve_again = True
        if self._serving or not self._queues:
            return
        self._serving = True
        try:
            while self._serve_again:
                self._serve_again = False
                self._serve_once()
        finally:
            self._serving = False

    def _serve_once(self) -> None:
        order = [(request.number, request) for request in (next(iter(queue)) for queue in self._queues.values())]
        heapq.heapify(order)
        # Closing sockets, each claimed by the first request that needs the room.
        claimed: dict[Purpose, int] = {}
        while order:
            _, request = heapq.heappop(order)
            permit = self._find_permit(request, claimed)
            if permit is None:
                continue
            self._remove_from_queue(request)
            request.assign(permit)
            if queue := self._queues.get(request.group):
                following = next(iter(queue))
                heapq.heappush(order, (following.number, following))

    def _find_permit(self, request: PoolRequest[_C], claimed: dict[Purpose, int]) -> Permit[_C] | None:
        if request.purpose is Purpose.CLIENT and (
            self._used.get(Purpose.CLIENT, 0) + claimed.get(Purpose.CLIENT, 0) >= self.limit - RESERVED
            or self._used.get((Purpose.CLIENT, request.host), 0) >= self.per_host
        ):
            return None
        if request.reuse and (permit := self._take_idle(request)) is not None:
            return permit
        if self._open.get(request.host, 0) >= self.per_host + self._host_reserve(request):
            # Only another key's idle connection to this host could make room; one at a time.
            if not self._closing.get(request.host):
                self._close_oldest(request.host)
            return None
        if len(self.permits) < self.limit:
            return self._new_permit(request)
        if sum(self._closing.values()) > sum(claimed.values()) or self._close_oldest():
            claimed[request.purpose] = claimed.get(request.purpose, 0) + 1
        return None

    def _host_reserve(self, request: PoolRequest[_C]) -> int:
        """By how much the request may exceed the limit per host."""
        if request.purpose is Purpose.DISCOVERY and self._used.get((Purpose.DISCOVERY, request.host), 0) < RESERVED:
            return RESERVED
        return 0

    def _take_idle(self, request: PoolRequest[_C]) -> Permit[_C] | None:
        """The youngest usable idle connection: the peer is least likely to have closed it."""
        while permits := self._idle_by_key.get(request.key):
            permit = permits[-1]
            if permit.connection is not None and permit.connection.is_usable():
                self._remove_from_idle(permit)
                self._start_use(permit, request.purpose)
                return permit
            self.close(permit)
        return None

    def _new_permit(self, request: PoolRequest[_C]) -> Permit[_C]:
        permit: Permit[_C] = Permit(request.key, request.host)
        self.permits.add(permit)
        self._open[request.host] += 1
        self._start_use(permit, request.purpose)
        return permit

    def _close_oldest(self, host: Hashable = None) -> bool:
        for permit in self.idle:
            if host is None or permit.host == host:
                self.close(permit)
                return True
        return False

    def _start_use(self, permit: Permit[_C], purpose: Purpose) -> None:
        permit.purpose = purpose
        self._used[purpose] += 1
        self._used[purpose, permit.host] += 1

    def _end_use(self, permit: Permit[_C]) -> None:
        if (purpose := permit.purpose) is not None:
            permit.purpose = None
            _decrement(self._used, purpose)
            _decrement(self._used, (purpose, permit.host))

    def _remove_from_idle(self, permit: Permit[_C]) -> None:
        if permit in self.idle:
            del self.idle[permit]
            permits = self._idle_by_key[permit.key]
            permits.remove(permit)
            if not permits:
                del self._idle_by_key[permit.key]

    def _remove_from_queue(self, request: PoolRequest[_C]) -> None:
        if (queue := self._queues.get(request.group)) is not None:
            queue.pop(request, None)
            if not queue:
                del self._queues[request.group]


def _decrement(counter: defaultdict[Hashable, int], key: Hashable) -> None:
    """Count one less. A count of 0 is deleted, so that hosts no longer used leave no entry."""
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
