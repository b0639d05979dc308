"""A local world whose every call waits until it is told how to end, in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.properties.freshness_words import Answer, Error

from aiocloudmap import (
    AccessDeniedError,
    ConfigurationError,
    ConnectError,
    CredentialsError,
    Discovery,
    Instance,
    NotFoundError,
    ProtocolError,
    Query,
    ThrottledError,
    UnavailableError,
)
from aiocloudmap.local import LocalBackend, Quotas, World
from aiocloudmap.model.interfaces import Clock

FAULTS: Final[dict[str, Error]] = {
    "throttle": ThrottledError,
    "reset": ConnectError,
    "server_error": UnavailableError,
    "garbage": ProtocolError,
    "truncate": ProtocolError,
    "empty": ProtocolError,
    "expired_token": CredentialsError,
    "access_denied": AccessDeniedError,
}
OTHERS: Final[dict[str, Error]] = {"misconfigured": ConfigurationError, "bug": UnavailableError}
VERDICTS: Final = ("answer", "shrunk", "many", *FAULTS, *OTHERS)
MANY: Final = 1000


@dataclass(eq=False)
class Call:
    """One question that reached the upstream, and what the world said at that moment."""

    number: int
    query: Query
    lane: int
    step: int
    begun_at: float
    gate: asyncio.Future[str]
    drawn: Discovery | NotFoundError
    ended_at: float | None = None
    ended_step: int | None = None

    def truth(self, verdict: str) -> Answer | Error:
        """What the caller of this call learns."""
        if verdict in FAULTS:
            return FAULTS[verdict]
        if verdict in OTHERS:
            return OTHERS[verdict]
        if isinstance(self.drawn, NotFoundError):
            return type(self.drawn)
        count = len(self.drawn.instances)
        return Answer(self.number, {"answer": count, "shrunk": min(count, 1), "many": MANY}[verdict])


@dataclass
class Upstream:
    """A `Backend`.

    Args:
        clock: Where time comes from.
        lane: Tells on which lane it is called.
        step: Counts what the machine does, so that before and after can be told apart at one moment.
    """

    clock: Clock
    lane: Callable[[], int]
    step: int = 0
    calls: dict[int, Call] = field(default_factory=dict)
    open: dict[tuple[int, Query], Call] = field(default_factory=dict)
    wrongs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = World(clock=self.clock, quotas=Quotas.unlimited(), seed=1)
        self.local = LocalBackend(self.world)
        self.present: dict[str, int] = {}

    def populate(self, service: str, count: int | None) -> None:
        """Let the service have so many instances; None: let it be gone."""
        for number in range(self.present.pop(service, 0)):
            self.world.deregister(service, f"i-{number}")
        if count is None:
            if service in map(str, self.world.services()):
                self.world.remove_service(service)
            return
        self.world.add_service(service)
        for number in range(count):
            self.world.register(service, f"i-{number}", {"CALL": "0"})
        self.present[service] = count

    async def discover(self, query: Query) -> Discovery:
        """What the world holds now, given when and as the machine says."""
        call = await self._begin(query)
        try:
            verdict = await call.gate
        finally:
            call.ended_at, call.ended_step = self.clock.monotonic(), self.step
            if self.open.get((call.lane, query)) is call:
                del self.open[call.lane, query]
        return await self._end(call, verdict)

    async def _begin(self, query: Query) -> Call:
        number, lane = len(self.calls) + 1, self.lane()
        name = str(query.service)
        for instance in range(self.present.get(name, 0)):
            self.world.register(name, f"i-{instance}", {"CALL": str(number)})
        try:
            drawn: Discovery | NotFoundError = replace(await self.local.discover(query), revision=number)
        except NotFoundError as error:
            drawn = error
        gate = asyncio.get_running_loop().create_future()
        call = Call(number, query, lane, self.step, self.clock.monotonic(), gate, drawn)
        other = self.open.get((lane, query))
        if other is not None and not other.gate.cancelled():  # one that is cancelled counts as ended
            self.wrongs.append(f"two calls under way on lane {lane} for {query}")
        self.calls[number] = self.open[lane, query] = call
        return call

    async def _end(self, call: Call, verdict: str) -> Discovery:
        if verdict in FAULTS:
            getattr(self.local.faults, verdict)(next=1)
            return await self.local.discover(call.query)
        if verdict == "misconfigured":
            raise ConfigurationError("no region")
        if verdict == "bug":
            raise RuntimeError("a backend's own mistake")
        if isinstance(call.drawn, NotFoundError):
            raise call.drawn
        if verdict == "many":
            return _many(call)
        return replace(call.drawn, instances=call.drawn.instances[: 1 if verdict == "shrunk" else None])

    def forget(self, lane: int) -> None:
        """The loop of that lane has been closed."""
        self.open = {key: call for key, call in self.open.items() if key[0] != lane}


def _many(call: Call) -> Discovery:
    attributes: Any = {"CALL": str(call.number)}
    service = call.query.service
    return Discovery(tuple(Instance(f"i-{n}", service, attributes=attributes) for n in range(MANY)), call.number)
