"""Load as applications cause it: handles made per request, on event loops that start and end, in several threads."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from versions import BOUND, SERVICES, Versions

from aiocloudmap import CloudMap, CloudMapError, ConfigurationError, Service, Snapshot

LIMIT = 20
"""How many wrong answers and unexpected errors are reported in full."""

Runner = Callable[[Coroutine[Any, Any, None]], None]


class Outcomes:
    """Counts the outcomes of all calls, over all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.unexpected: list[str] = []
        self.wrong_count = self.unexpected_count = 0
        self.loops: set[asyncio.AbstractEventLoop] = set()

    def count(self, outcome: str) -> None:
        """Count one call."""
        with self._lock:
            self.counts[outcome] += 1

    def add_wrong(self, what: str) -> None:
        """Record a wrong answer."""
        with self._lock:
            self.wrong_count += 1
            self.wrong = [*self.wrong, what][:LIMIT]

    def add_unexpected(self, what: str) -> None:
        """Record an error that is not a CloudMapError."""
        with self._lock:
            self.unexpected_count += 1
            self.unexpected = [*self.unexpected, what][:LIMIT]


class Load:
    """The work of the threads.

    Args:
        make: Makes a CloudMap, once for each request.
        versions: Checks the answers.
        outcomes: Counts them.
        seed: For the random choices.
        stop: Ends the load.
    """

    def __init__(
        self, make: Callable[..., CloudMap], versions: Versions, outcomes: Outcomes, seed: int, stop: threading.Event
    ) -> None:
        self._make = make
        self._versions = versions
        self._outcomes = outcomes
        self._random = random.Random(seed)
        self._stop = stop
        # An unshared engine that outlives the loops of its thread. An engine for each loop would measure how clients of
        # botocore fragment the heap: some 100 KiB a second without any live object.
        self._own = make(shared=False)
        # How often each kind of call is made, in per cent.
        self._calls = {
            self._resolve: 40,
            self._attribute: 15,
            self._resolve_forced: 10,
            self._time_out: 10,
            self._peek: 10,
            self._pick: 10,
            self._invalidate: 5,
        }

    def one_loop(self, run: Runner) -> None:
        """Run one event loop for the whole time."""
        run(self._callers(float("inf")))

    def many_loops(self, run: Runner) -> None:
        """Run one event loop after the other, as a handler that calls asyncio.run does."""
        while not self._stop.is_set():
            run(self._callers(self._random.uniform(0.05, 1.0)))
            self._outcomes.count("loops ended")

    async def _callers(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._outcomes.loops.add(loop)
        until = time.monotonic() + seconds
        try:
            if self._random.random() < 0.5 or seconds == float("inf"):
                await asyncio.gather(*(self._caller(until) for _ in range(12)))
                return
            kept = self._make() if self._random.random() < 0.7 else self._own
            async with kept:
                await asyncio.gather(*(self._caller(until, kept) for _ in range(12)))
        finally:
            self._outcomes.loops.discard(loop)

    async def _caller(self, until: float, kept: CloudMap | None = None) -> None:
        while not self._stop.is_set() and time.monotonic() < until:
            cloud_map = self._make() if kept is None else kept
            name = self._random.choice(SERVICES)
            await self._ask(name, cloud_map.service(name))
            await asyncio.sleep(self._random.uniform(0, 0.02))

    async def _ask(self, name: str, service: Service) -> None:
        """Make one call of a random kind, and count its outcome."""
        [call] = self._random.choices(list(self._calls), weights=list(self._calls.values()))
        asked = time.monotonic()
        try:
            await call(name, service, asked)
        except ConfigurationError as error:
            self._outcomes.add_unexpected(f"{name}: {error!r}")
        except CloudMapError as error:
            self._outcomes.count(type(error).__name__)
        except TimeoutError:
            self._outcomes.count("timed out")
        except Exception as error:
            self._outcomes.add_unexpected(f"{name}: {error!r}")

    async def _resolve(self, name: str, service: Service, asked: float) -> None:
        self._check(name, await service.resolve(), asked - BOUND, "resolve")

    async def _resolve_forced(self, name: str, service: Service, asked: float) -> None:
        self._check(name, await service.resolve(max_age=0), asked, "resolve(max_age=0)")

    async def _time_out(self, name: str, service: Service, asked: float) -> None:
        async with asyncio.timeout(self._random.uniform(0, 0.05)):
            self._check(name, await service.resolve(), asked - BOUND, "resolve")

    async def _peek(self, name: str, service: Service, asked: float) -> None:
        known = service.peek()
        if known is not None:
            self._check(name, known, asked - BOUND, "peek")

    async def _attribute(self, name: str, service: Service, asked: float) -> None:
        if await service.attribute("SERVICE") != name:
            self._outcomes.add_wrong(f"attribute() of {name}")
        self._outcomes.count("attribute")

    async def _pick(self, name: str, service: Service, asked: float) -> None:
        if (await service.pick()).attributes["SERVICE"] != name:
            self._outcomes.add_wrong(f"pick() of {name}")
        self._outcomes.count("pick")

    async def _invalidate(self, name: str, service: Service, asked: float) -> None:
        service.invalidate()
        self._outcomes.count("invalidate")

    def _check(self, name: str, snapshot: Snapshot, since: float, how: str) -> None:
        self._outcomes.count(how)
        if (what := self._versions.find_error(name, snapshot, since)) is not None:
            self._outcomes.add_wrong(f"{how}: {what}")
