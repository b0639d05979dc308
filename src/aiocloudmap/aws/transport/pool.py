"""Who may have a socket: the bound on open connections. Decides synchronously, knows no I/O.

| a permit is | its socket is | it counts |
|---|---|---|
| opening, busy | not there yet, connecting, in use | for its purpose, its host, the whole |
| idle | open and unused | for its host and the whole |
| leaving | being closed | for its host and the whole |
| gone | closed | no more |

Callers are served in order; one who cannot be served lets others pass who want another host or have a reserve.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from aiocloudmap.aws.transport.counted_socket import CountedSocket

__all__ = ["RESERVED", "Bound", "Permit", "Purpose", "Turn"]

RESERVED: Final = 2
"""How many connections stay free for discovery, whatever the clients do, and whatever host it goes to."""

_T = TypeVar("_T")


class Purpose(Enum):
    """What a connection is wanted for."""

    DISCOVERY = "discovery"
    """A question to Cloud Map."""

    CLIENT = "client"
    """The user's own call; leaves RESERVED connections of the limit free for discovery."""

    # They are counted by, several times for each call, and Enum's own hash is a function in Python.
    __hash__ = object.__hash__


class Permit(Generic[_T]):
    """One open socket, or one attempt to open it.

    Args:
        key: What has to be equal for the connection to be used again.
        host: What the limit per host goes by.
    """

    __slots__ = ("connection", "holds", "host", "idle_since", "key", "leaving", "purpose", "sockets")

    def __init__(self, key: Hashable, host: Hashable) -> None:
        self.key, self.host = key, host
        self.purpose: Purpose | None = None
        self.leaving = False
        self.holds = 1
        self.idle_since = 0.0
        self.connection: _T | None = None
        self.sockets: list[CountedSocket] = []


class Turn(Generic[_T]):
    """A caller's place in the queue.

    Args:
        number: Its order among all.
        wake: Called once when `permit` has been set after the caller began to wait.
    """

    __slots__ = ("host", "key", "number", "permit", "purpose", "reuse", "wake")

    def __init__(self, number: int, purpose: Purpose, key: Hashable, host: Hashable, reuse: bool) -> None:
        self.number, self.purpose, self.key, self.host, self.reuse = number, purpose, key, host, reuse
        self.permit: Permit[_T] | None = None
        self.wake: Callable[[], None] | None = None

    @property
    def granted(self) -> Permit[_T]:
        """The permit, once there is one."""
        assert self.permit is not None
        return self.permit

    @property
    def group(self) -> Hashable:
        """Callers of one group want the same: where the first cannot be served, none can."""
        return self.purpose, self.key, self.reuse


class Bound(Generic[_T]):
    """At most `limit` open sockets, `per_host` to one host.

    Discovery may pass the limit per host by its reserve, so that clients of the same host cannot starve it.

    Args:
        limit: Most permits at a time.
        per_host: Most permits to one host, but for the reserve.
        usable: Whether an idle connection is still good. Called just before it is handed out.
        shut: Begins to close a connection; `drop` follows when its descriptor is gone.
    """

    def __init__(
        self,
        limit: int,
        per_host: int,
        *,
        usable: Callable[[Permit[_T]], bool],
        shut: Callable[[Permit[_T]], object],
    ) -> None:
        self.limit, self.per_host = limit, per_host
        self._usable, self._shut = usable, shut
        self.permits: set[Permit[_T]] = set()
        self.idle: OrderedDict[Permit[_T], None] = OrderedDict()
        self._idle_by_key: defaultdict[Hashable, list[Permit[_T]]] = defaultdict(list)
        self._queues: dict[Hashable, OrderedDict[Turn[_T], None]] = {}
        self._open: defaultdict[Hashable, int] = defaultdict(int)
        self._leaving: defaultdict[Hashable, int] = defaultdict(int)
        self._using: defaultdict[Hashable, int] = defaultdict(int)
        self._numbers = count()
        self._serving = self._again = False

    def __repr__(self) -> str:
        leaving = sum(self._leaving.values())
        return (
            f"<{len(self.permits)} of {self.limit} open: {len(self.permits) - len(self.idle) - leaving} in use, "
            f"{len(self.idle)} idle, {leaving} closing; {self.waiting} waiting>"
        )

    @property
    def waiting(self) -> int:
        """How many callers are queued."""
        return sum(map(len, self._queues.values()))

    def ask(self, purpose: Purpose, key: Hashable, host: Hashable, *, reuse: bool = True) -> Turn[_T]:
        """Queue up; `permit` of the turn is set at once where there is room."""
        turn: Turn[_T] = Turn(next(self._numbers), purpose, key, host, reuse)
        if not self._queues and not self._serving:  # the common case, spared the queue
            turn.permit = self._place(turn, {})
            if turn.permit is not None:
                return turn
        self._queues.setdefault(turn.group, OrderedDict())[turn] = None
        self.serve()
        return turn

    def withdraw(self, turn: Turn[_T]) -> None:
        """The caller leaves: its place goes to others, and so does what it was given and did not use."""
        if turn.permit is None:
            self._unqueue(turn)
        elif turn.permit.connection is None:
            self.drop(turn.permit)
        else:
            self.rest(turn.permit, turn.permit.idle_since)

    def rest(self, permit: Permit[_T], now: float) -> None:
        """The connection is not in use any more, and may be used again."""
        if permit.leaving or permit not in self.permits:
            return
        self._release_use(permit)
        permit.idle_since = now
        self.idle[permit] = None
        self._idle_by_key[permit.key].append(permit)
        self.serve()

    def close(self, permit: Permit[_T]) -> None:
        """The connection will not be used any more."""
        if permit.leaving or permit not in self.permits:
            return
        self._take_idle(permit)
        self._release_use(permit)
        permit.leaving = True
        self._leaving[permit.host] += 1
        self._shut(permit)
        self.serve()

    def drop(self, permit: Permit[_T]) -> None:
        """One of the permit's holds (the attempt, each descriptor) has ended; the last one frees it."""
        permit.holds -= 1
        if permit.holds or permit not in self.permits:
            return
        self._take_idle(permit)
        self._release_use(permit)
        self.permits.discard(permit)
        _less(self._open, permit.host)
        if permit.leaving:
            _less(self._leaving, permit.host)
        self.serve()

    def serve(self) -> None:
        """Give out what can be given, oldest caller first. Closing an idle connection may call this again."""
        self._again = True
        if self._serving or not self._queues:
            return
        self._serving = True
        try:
            while self._again:
                self._again = False
                self._serve_once()
        finally:
            self._serving = False

    def _serve_once(self) -> None:
        heads = [next(iter(queue)) for queue in self._queues.values()]
        order = [(turn.number, turn) for turn in heads]
        heapq.heapify(order)
        # Sockets on their way out, each for the first caller who needs the room.
        promised: dict[Purpose, int] = {}
        while order:
            _, turn = heapq.heappop(order)
            permit = self._place(turn, promised)
            if permit is None:
                continue
            self._unqueue(turn)
            turn.permit = permit
            if turn.wake is not None:
                turn.wake()
            if queue := self._queues.get(turn.group):
                following = next(iter(queue))
                heapq.heappush(order, (following.number, following))

    def _place(self, turn: Turn[_T], promised: dict[Purpose, int]) -> Permit[_T] | None:
        if turn.purpose is Purpose.CLIENT and (
            self._using.get(Purpose.CLIENT, 0) + promised.get(Purpose.CLIENT, 0) >= self.limit - RESERVED
            or self._using.get((Purpose.CLIENT, turn.host), 0) >= self.per_host
        ):
            return None
        if turn.reuse and (permit := self._reusable(turn)) is not None:
            return permit
        if self._open.get(turn.host, 0) >= self.per_host + self._passing(turn):
            # Only another key's idle connection to this host could make room; one at a time.
            if not self._leaving.get(turn.host):
                self._close_oldest(turn.host)
            return None
        if len(self.permits) < self.limit:
            return self._new(turn)
        if sum(self._leaving.values()) > sum(promised.values()) or self._close_oldest():
            promised[turn.purpose] = promised.get(turn.purpose, 0) + 1
        return None

    def _passing(self, turn: Turn[_T]) -> int:
        """By how much the caller may pass the limit per host."""
        if turn.purpose is Purpose.DISCOVERY and self._using.get((Purpose.DISCOVERY, turn.host), 0) < RESERVED:
            return RESERVED
        return 0

    def _reusable(self, turn: Turn[_T]) -> Permit[_T] | None:
        """The youngest idle connection that is still good: the least likely to have been closed by the peer."""
        while permits := self._idle_by_key.get(turn.key):
            permit = permits[-1]
            if self._usable(permit):
                self._take_idle(permit)
                self._use(permit, turn.purpose)
                return permit
            self.close(permit)
        return None

    def _new(self, turn: Turn[_T]) -> Permit[_T]:
        permit: Permit[_T] = Permit(turn.key, turn.host)
        self.permits.add(permit)
        self._open[turn.host] += 1
        self._use(permit, turn.purpose)
        return permit

    def _close_oldest(self, host: Hashable = None) -> bool:
        for permit in self.idle:
            if host is None or permit.host == host:
                self.close(permit)
                return True
        return False

    def _use(self, permit: Permit[_T], purpose: Purpose) -> None:
        permit.purpose = purpose
        self._using[purpose] += 1
        self._using[purpose, permit.host] += 1

    def _release_use(self, permit: Permit[_T]) -> None:
        if (purpose := permit.purpose) is not None:
            permit.purpose = None
            _less(self._using, purpose)
            _less(self._using, (purpose, permit.host))

    def _take_idle(self, permit: Permit[_T]) -> None:
        if permit in self.idle:
            del self.idle[permit]
            permits = self._idle_by_key[permit.key]
            permits.remove(permit)
            if not permits:
                del self._idle_by_key[permit.key]

    def _unqueue(self, turn: Turn[_T]) -> None:
        if (queue := self._queues.get(turn.group)) is not None:
            queue.pop(turn, None)
            if not queue:
                del self._queues[turn.group]


def _less(counter: defaultdict[Hashable, int], key: Hashable) -> None:
    """One less; a host that is not there any more leaves no entry behind."""
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
