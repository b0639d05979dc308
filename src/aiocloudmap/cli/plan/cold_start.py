"""A fleet that starts with empty caches: its calls, which of them AWS throttles, and when all answers are there.

When a throttled call is repeated depends on the rate limiter of each process, the backoff of each answer and botocore's
retries. There is no formula for that, so the start is rehearsed in virtual time: `CloudMap` objects ask a local world
with AWS's quota. A caller that gets an error asks again after its `retry_after`. A large fleet is scaled down first.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import random
from collections.abc import Awaitable, Coroutine, Iterator
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Final

from aiocloudmap.balancing.rotation import draw
from aiocloudmap.cli.plan.fleet import Fleet
from aiocloudmap.cli.plan.virtual_time import VirtualClock, run_in_virtual_time
from aiocloudmap.client.cloud_map import CloudMap
from aiocloudmap.client.service import Service
from aiocloudmap.errors import NotFoundError, ThrottledError, UnavailableError
from aiocloudmap.local import LocalBackend, Quotas, World
from aiocloudmap.local.quotas import Rate
from aiocloudmap.model.answer import Snapshot
from aiocloudmap.model.instance import Discovery
from aiocloudmap.model.query import Query

__all__ = ["ColdStart", "Rehearsal", "cold_start_of", "rehearse"]

_REHEARSED: Final = 1_500
"""Questions to rehearse: few enough that a plan takes a second or two. A small fleet is rehearsed several times."""
_MAX_REHEARSALS: Final = 10

# A process cannot be scaled down, and each of its event loops takes three file descriptors.
_MAX_QUESTIONS_PER_PROCESS: Final = 10_000
_MAX_LOOPS: Final = 50

_MAX_SECONDS: Final = 600.0
"""A longer start is not rehearsed: with the default `stale_if_error`, its first answers would expire before its end."""

_MIN_PAUSE: Final = 0.001
_SERVICE: Final = "shop/s{}"

# botocore's standard retry mode (botocore/retries/standard.py): it waits U[0, 1) * 2 ** n seconds. A client has 500
# tokens, and a retry takes 5. A success returns 5 after a retry, else 1.
_RETRY_TOKENS: Final = 500
_RETRY_COST: Final = 5
_RETRY_REWARD: Final = 1


@dataclass(frozen=True, slots=True)
class ColdStart:
    """The first answers of a fleet. Seconds count from the moment at which its first process starts.

    Args:
        questions: First questions, one for each event loop that asks.
        at_least: Seconds that the start takes at least, because of the quota and the settings.
        calls: Calls that reach AWS, with throttled ones and retries; None if it takes too long to rehearse.
        throttled: How many of them AWS throttles.
        throttled_from: Seconds until the first throttled call; None if no call is throttled, or nothing was rehearsed.
        most_after: Seconds until 19 of 20 answers are there.
        all_after: Seconds until all answers are there.
    """

    questions: int
    at_least: float
    calls: float | None = None
    throttled: float | None = None
    throttled_from: float | None = None
    most_after: float | None = None
    all_after: float | None = None


def cold_start_of(fleet: Fleet) -> ColdStart:
    """How the fleet starts. Takes a second or two."""
    own = max(0.0, (fleet.services - fleet.burst) / fleet.connections.max_calls_per_second)
    at_least = max(_seconds_at_aws(fleet, fleet.answers), fleet.start_over + own)
    too_long = max(_seconds_at_aws(fleet, fleet.questions), own) > _MAX_SECONDS
    if too_long or fleet.services * fleet.loops > _MAX_QUESTIONS_PER_PROCESS or fleet.loops > _MAX_LOOPS:
        return ColdStart(fleet.questions, at_least)
    scale, small = _scaled_down(fleet)
    runs = max(1, min(_MAX_REHEARSALS, _REHEARSED // small.questions))
    rehearsals = [rehearse(small, seed) for seed in range(runs)]
    return ColdStart(
        fleet.questions,
        at_least,
        calls=scale * fmean(each.calls for each in rehearsals),
        throttled=scale * fmean(len(each.throttled) for each in rehearsals),
        throttled_from=min((each.throttled[0] for each in rehearsals if each.throttled), default=None),
        most_after=fmean(each.answered[(len(each.answered) - 1) * 19 // 20] for each in rehearsals),
        all_after=fmean(each.answered[-1] for each in rehearsals),
    )


def _seconds_at_aws(fleet: Fleet, calls: int) -> float:
    return max(0.0, (calls - fleet.quota.burst) / fleet.quota.per_second)


def _scaled_down(fleet: Fleet) -> tuple[float, Fleet]:
    """How many times larger the fleet is, and a fleet to rehearse with the same quota for each process."""
    processes = max(1, min(fleet.processes, math.ceil(_REHEARSED / (fleet.services * fleet.loops))))
    scale = fleet.processes / processes
    quota = Rate(max(1.0, fleet.quota.burst / scale), fleet.quota.per_second / scale)
    return scale, dataclasses.replace(fleet, processes=processes, quota=quota)


@dataclass(slots=True)
class Rehearsal:
    """A possible course of a cold start.

    Args:
        calls: Calls that reached AWS, with throttled ones and retries.
        throttled: Seconds until each call that AWS throttled, in order.
        answered: Seconds until each answer, in order.
    """

    calls: int = 0
    throttled: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)


def rehearse(fleet: Fleet, seed: int) -> Rehearsal:
    """Play the cold start of the fleet; the same seed leads to the same result."""
    clock, rehearsal = VirtualClock(), Rehearsal()
    quotas = dataclasses.replace(Quotas.unlimited(), discover_instances=fleet.quota)
    world = World(clock=clock, quotas=quotas, seed=seed)
    for number in range(fleet.services - fleet.empty):
        world.register(_SERVICE.format(number), "one")
    processes = [_Process(number, fleet, world, rehearsal) for number in range(1, fleet.processes + 1)]
    dice = random.Random(seed)  # noqa: S311 - the same fleet has the same plan

    async def ask_for_all() -> None:
        callers = [caller for process in processes for caller in process.callers()]
        # In order, the first processes would use up the burst.
        dice.shuffle(callers)
        await asyncio.gather(*callers)

    run_in_virtual_time(clock, *(ask_for_all() for _ in range(fleet.loops)), seed=seed)
    return rehearsal


class _Process:
    """One process of the fleet, and AWS as its CloudMap reaches it: through botocore's retries."""

    def __init__(self, number: int, fleet: Fleet, world: World, rehearsal: Rehearsal) -> None:
        self._fleet, self._clock, self._rehearsal = fleet, world.clock, rehearsal
        self._start = fleet.start_over * number / fleet.processes
        self._retry_tokens = _RETRY_TOKENS
        self._aws = LocalBackend(world)
        cloud_map = CloudMap(backend=self, clock=world.clock, cache=fleet.cache, connections=fleet.connections)
        self._services = [cloud_map.service(_SERVICE.format(each)) for each in range(fleet.services)]
        self._waiting = set(self._services)

    def callers(self) -> Iterator[Coroutine[Any, Any, None]]:
        """One caller for each service, on one event loop."""
        turn = asyncio.Lock()
        return (self._first_answer(service, turn) for service in self._services)

    async def _first_answer(self, service: Service, turn: asyncio.Lock) -> None:
        await asyncio.sleep(self._start)
        call: Awaitable[Snapshot] = service.resolve()
        while True:
            try:
                await call
                break
            except NotFoundError:
                break
            except UnavailableError as error:
                await asyncio.sleep(max(_MIN_PAUSE, error.retry_after or 0))
            async with turn:
                call = await self._accepted(service)
        if service in self._waiting:
            self._waiting.remove(service)
            self._rehearsal.answered.append(self._clock.monotonic())

    async def _accepted(self, service: Service) -> asyncio.Task[Snapshot]:
        """Ask until the library does not refuse at once.

        The rate limiter accepts one of several callers that ask again at the same moment. Letting them ask one after
        the other leads to the same result in less time.
        """
        while True:
            call = asyncio.create_task(service.resolve())
            await asyncio.sleep(0)
            if not (call.done() and isinstance(error := call.exception(), UnavailableError)):
                return call
            await asyncio.sleep(max(_MIN_PAUSE, error.retry_after or 0))

    async def discover(self, query: Query) -> Discovery:
        """One question, for which botocore may make several calls."""
        attempt = 0
        while True:
            attempt += 1
            await asyncio.sleep(self._fleet.call_duration)
            self._rehearsal.calls += 1
            try:
                found = await self._aws.discover(query)
            except ThrottledError:
                self._rehearsal.throttled.append(self._clock.monotonic())
                if attempt == self._fleet.connections.max_attempts or self._retry_tokens < _RETRY_COST:
                    raise
                self._retry_tokens -= _RETRY_COST
                await asyncio.sleep(draw() * 2 ** (attempt - 1))
            else:
                reward = _RETRY_COST if attempt > 1 else _RETRY_REWARD
                self._retry_tokens = min(_RETRY_TOKENS, self._retry_tokens + reward)
                return found
