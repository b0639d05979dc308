"""The connection pool: decides who may open, use or wait for a connection. It does no I/O.

| a permit is | its socket is | it counts towards |
|---|---|---|
| opening, busy | not there yet, connecting, in use | its purpose, its host, the pool |
| idle | open and unused | its host, the pool |
| closing | being closed | its host, the pool |
| gone | closed | nothing |

Requests are served in order. One that cannot be served lets others pass that go to another host or have a reserve.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from aiocloudmap.aws.transport.connection import Permit, Purpose
from aiocloudmap.errors import ConnectionLimitError

if TYPE_CHECKING:
    from aiohttp import ClientTimeout
    from aiohttp.tracing import Trace


__all__ = ["RESERVED", "ConnectionPool", "Permit", "PoolRequest", "Purpose"]

RESERVED: Final = 2
"""Connections kept free for discovery, whatever the clients do and whichever host it asks."""

_QUEUE_SHARE: Final = 0.95
"""Share of a total timeout that may be spent queueing, so that the error of the limit comes first."""


class PoolRequest:
    """A request for a connection, and its place in the queue. `reuse` accepts an idle connection."""

    def __init__(self, number: int, purpose: Purpose, key: Hashable, host: Hashable, *, reuse: bool) -> None:
        self.number, self.purpose, self.key, self.host, self.reuse = number, purpose, key, host, reuse
        self.permit: Permit | None = None
        self.waiter: asyncio.Future[None] | None = None

    @property
    def group(self) -> Hashable:
        """Requests of one group want the same: if the first cannot be served, the others cannot either."""
        return self.purpose, self.key, self.reuse

    def assign(self, permit: Permit) -> None:
        """Set the permit, and wake the caller if it waits."""
        self.permit = permit
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """Raise the error in the caller that waits."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(error)


class ConnectionPool:
    """At most `limit` open sockets, `per_host` of them to one host.

    Discovery may exceed the limit per host by its reserve, so that clients of the same host cannot starve it.

    Args:
        limit: Most permits at a time.
        per_host: Most permits to one host, without the reserve.
    """

    def __init__(self, limit: int, per_host: int) -> None:
        self.limit, self.per_host = limit, per_host
        self.permits: set[Permit] = set()
        self.idle: OrderedDict[Permit, None] = OrderedDict()
        self._idle_by_key: defaultdict[Hashable, list[Permit]] = defaultdict(list)
        self._queues: dict[Hashable, OrderedDict[PoolRequest, None]] = {}
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

    def request(self, purpose: Purpose, key: Hashable, host: Hashable, *, reuse: bool = True) -> PoolRequest:
        """Request a connection. The request's `permit` is set at once if there is room; else it is queued."""
        request = PoolRequest(next(self._numbers), purpose, key, host, reuse=reuse)
        if not self._queues and not self._serving:  # the common case avoids the queue
            request.permit = self._find_permit(request, {})
            if request.permit is not None:
                return request
        self._queues.setdefault(request.group, OrderedDict())[request] = None
        self.serve_queue()
        return request

    async def wait(self, request: PoolRequest, traces: list[Trace], timeout: ClientTimeout) -> Permit:
        """The permit that is assigned to a queued request. If the wait ends in any other way, it is withdrawn.

        Raises:
            ConnectionLimitError: A client's call waited for as long as it may wait to connect.
            ConnectError: The connector was closed.
        """
        loop = asyncio.get_running_loop()
        request.waiter = loop.create_future()
        max_wait = _max_queue_time(timeout) if request.purpose is Purpose.CLIENT else None
        timer = None if max_wait is None else loop.call_later(max_wait, self._give_up, request, max_wait)
        try:
            for trace in traces or ():
                await trace.send_connection_queued_start()
            await request.waiter
            for trace in traces or ():
                await trace.send_connection_queued_end()
        except BaseException:
            self.withdraw(request)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        assert request.permit is not None
        return request.permit

    def withdraw(self, request: PoolRequest) -> None:
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

    def release(self, permit: Permit, now: float) -> None:
        """The call has ended, and the connection may be reused."""
        if permit.closing or permit not in self.permits:
            return
        self._end_use(permit)
        permit.idle_since = now
        self.idle[permit] = None
        self._idle_by_key[permit.key].append(permit)
        self.serve_queue()

    def close(self, permit: Permit) -> None:
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

    def drop_hold(self, permit: Permit) -> None:
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

    def _give_up(self, request: PoolRequest, waited: float) -> None:
        if request.permit is not None:
            return
        self.withdraw(request)
        host: Any = request.host
        error = ConnectionLimitError(
            f"no connection to {host[0]} became free in {waited:.1f} s, with a limit of {self.limit} "
            f"({self.per_host} per host, {RESERVED} reserved for discovery): {self!r}",
            advice="Raise ConnectionPolicy.max_connections, make fewer concurrent calls, or release responses sooner.",
        )
        request.fail(error)

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

    def _find_permit(self, request: PoolRequest, claimed: dict[Purpose, int]) -> Permit | None:
        if request.purpose is Purpose.CLIENT and (
            self._used.get(Purpose.CLIENT, 0) + claimed.get(Purpose.CLIENT, 0) >= self.limit - RESERVED
            or self._used.get((Purpose.CLIENT, request.host), 0) >= self.per_host
        ):
            return None
        if request.reuse and (permit := self._take_idle(request)) is not None:
            return permit
        reserve = 0
        if request.purpose is Purpose.DISCOVERY and self._used.get((Purpose.DISCOVERY, request.host), 0) < RESERVED:
            reserve = RESERVED
        if self._open.get(request.host, 0) >= self.per_host + reserve:
            # Only another key's idle connection to this host could make room; one at a time.
            if not self._closing.get(request.host):
                self._close_oldest(request.host)
            return None
        if len(self.permits) < self.limit:
            permit = Permit(request.key, request.host)
            self.permits.add(permit)
            self._open[request.host] += 1
            self._start_use(permit, request.purpose)
            return permit
        if sum(self._closing.values()) > sum(claimed.values()) or self._close_oldest():
            claimed[request.purpose] = claimed.get(request.purpose, 0) + 1
        return None

    def _take_idle(self, request: PoolRequest) -> Permit | None:
        """The youngest usable idle connection: the peer is least likely to have closed it."""
        while permits := self._idle_by_key.get(request.key):
            permit = permits[-1]
            if permit.connection is not None and permit.connection.is_usable():
                self._remove_from_idle(permit)
                self._start_use(permit, request.purpose)
                return permit
            self.close(permit)
        return None

    def _close_oldest(self, host: Hashable = None) -> bool:
        for permit in self.idle:
            if host is None or permit.host == host:
                self.close(permit)
                return True
        return False

    def _start_use(self, permit: Permit, purpose: Purpose) -> None:
        permit.purpose = purpose
        self._used[purpose] += 1
        self._used[purpose, permit.host] += 1

    def _end_use(self, permit: Permit) -> None:
        if (purpose := permit.purpose) is not None:
            permit.purpose = None
            _decrement(self._used, purpose)
            _decrement(self._used, (purpose, permit.host))

    def _remove_from_idle(self, permit: Permit) -> None:
        if permit in self.idle:
            del self.idle[permit]
            permits = self._idle_by_key[permit.key]
            permits.remove(permit)
            if not permits:
                del self._idle_by_key[permit.key]

    def _remove_from_queue(self, request: PoolRequest) -> None:
        if (queue := self._queues.get(request.group)) is not None:
            queue.pop(request, None)
            if not queue:
                del self._queues[request.group]


def _max_queue_time(timeout: ClientTimeout) -> float | None:
    """Seconds that the caller would have waited to connect; None for no limit."""
    total = timeout.total * _QUEUE_SHARE if timeout.total else None
    return min((limit for limit in (timeout.connect, timeout.sock_connect, total) if limit), default=None)


def _decrement(counter: defaultdict[Hashable, int], key: Hashable) -> None:
    """Count one less. A count of 0 is deleted, so that hosts no longer used leave no entry."""
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
