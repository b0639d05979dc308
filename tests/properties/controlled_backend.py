"""A backend on a local world whose calls wait until the test ends them, in any order and with any result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.properties.model_values import Answer, Error
from tests.support.named_faults import NAMED_FAULTS

from aiocloudmap import (
    ConfigurationError,
    Discovery,
    Instance,
    NotFoundError,
    Query,
    UnavailableError,
)
from aiocloudmap.local import LocalBackend, Quotas, World
from aiocloudmap.model.interfaces import Clock

FAULTS: Final[dict[str, Error]] = dict(NAMED_FAULTS)
OTHER_ERRORS: Final[dict[str, Error]] = {"misconfigured": ConfigurationError, "bug": UnavailableError}
CALL_ENDS: Final = ("answer", "shrunk", "many", *FAULTS, *OTHER_ERRORS)
MANY: Final = 1000


@dataclass(eq=False)
class Call:
    """One call that reached the backend, and the world's answer at that moment."""

    number: int
    query: Query
    loop: int
    step: int
    begun_at: float
    gate: asyncio.Future[str]
    world_answer: Discovery | NotFoundError
    ended_at: float | None = None
    ended_step: int | None = None

    def expected(self, end: str) -> Answer | Error:
        """Return the result that the caller of this call gets."""
        if end in FAULTS:
            return FAULTS[end]
        if end in OTHER_ERRORS:
            return OTHER_ERRORS[end]
        if isinstance(self.world_answer, NotFoundError):
            return type(self.world_answer)
        count = len(self.world_answer.instances)
        return Answer(self.number, {"answer": count, "shrunk": min(count, 1), "many": MANY}[end])


@dataclass
class ControlledBackend:
    """A `Backend`.

    Args:
        clock: The clock of the world.
        loop: Returns the number of the running loop.
        step: The current step of the state machine, which orders events that happen at the same time.
    """

    clock: Clock
    loop: Callable[[], int]
    step: int = 0
    calls: dict[int, Call] = field(default_factory=dict)
    open: dict[tuple[int, Query], Call] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = World(clock=self.clock, quotas=Quotas.unlimited(), seed=1)
        self.local = LocalBackend(self.world)
        self.present: dict[str, int] = {}

    def populate(self, service: str, count: int | None) -> None:
        """Set the number of instances of a service, or remove the service with None."""
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
        """Return the world's answer of this moment, once the test ends the call."""
        call = await self._begin(query)
        try:
            end = await call.gate
        finally:
            call.ended_at, call.ended_step = self.clock.monotonic(), self.step
            if self.open.get((call.loop, query)) is call:
                del self.open[call.loop, query]
        return await self._end(call, end)

    async def _begin(self, query: Query) -> Call:
        number, loop = len(self.calls) + 1, self.loop()
        name = str(query.service)
        for instance in range(self.present.get(name, 0)):
            self.world.register(name, f"i-{instance}", {"CALL": str(number)})
        try:
            world_answer: Discovery | NotFoundError = replace(await self.local.discover(query), revision=number)
        except NotFoundError as error:
            world_answer = error
        gate = asyncio.get_running_loop().create_future()
        call = Call(number, query, loop, self.step, self.clock.monotonic(), gate, world_answer)
        other = self.open.get((loop, query))
        if other is not None and not other.gate.cancelled():  # a cancelled call counts as ended
            self.problems.append(f"two calls under way on loop {loop} for {query}")
        self.calls[number] = self.open[loop, query] = call
        return call

    async def _end(self, call: Call, end: str) -> Discovery:
        if end in FAULTS:
            getattr(self.local.faults, end)(next=1)
            return await self.local.discover(call.query)
        if end == "misconfigured":
            raise ConfigurationError("no region")
        if end == "bug":
            raise RuntimeError("a bug in the backend")
        if isinstance(call.world_answer, NotFoundError):
            raise call.world_answer
        if end == "many":
            return _many(call)
        return replace(call.world_answer, instances=call.world_answer.instances[: 1 if end == "shrunk" else None])

    def forget(self, loop: int) -> None:
        """Drop the calls of a loop that has been closed."""
        self.open = {key: call for key, call in self.open.items() if key[0] != loop}


def _many(call: Call) -> Discovery:
    attributes: Any = {"CALL": str(call.number)}
    service = call.query.service
    return Discovery(tuple(Instance(f"i-{n}", service, attributes=attributes) for n in range(MANY)), call.number)
