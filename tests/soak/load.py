"""Callers as applications have them: handles made per request, on loops that come and go, in several threads."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from truth import BOUND, SERVICES, Truth

from aiocloudmap import CloudMap, CloudMapError, ConfigurationError, Service, Snapshot

LIMIT = 20
"""How many of the wrong answers, and of the unnamed errors, are told in full."""

Runner = Callable[[Coroutine[Any, Any, None]], None]


class Tally:
    """What came of the calls, over all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.unnamed: list[str] = []
        self.wrong_count = self.unnamed_count = 0
        self.loops: set[asyncio.AbstractEventLoop] = set()

    def count(self, outcome: str) -> None:
        """One call has ended so."""
        with self._lock:
            self.outcomes[outcome] += 1

    def add_wrong(self, what: str) -> None:
        """An answer that must not have been given."""
        with self._lock:
            self.wrong_count += 1
            self.wrong = [*self.wrong, what][:LIMIT]

    def add_unnamed(self, what: str) -> None:
        """An error that has no name in this library."""
        with self._lock:
            self.unnamed_count += 1
            self.unnamed = [*self.unnamed, what][:LIMIT]


class Load:
    """What the threads run.

    Args:
        make: Makes a CloudMap; called for every request.
        truth: Judges the answers.
        tally: Counts.
        seed: Decides what is asked.
        stop: Ends it.
    """

    def __init__(
        self, make: Callable[..., CloudMap], truth: Truth, tally: Tally, seed: int, stop: threading.Event
    ) -> None:
        self._make = make
        self._truth = truth
        self._tally = tally
        self._random = random.Random(seed)
        self._stop = stop
        # An engine of this thread's own that outlives its loops, as a tenant's. One for each loop would measure what
        # building and dropping botocore's clients leaves of the heap: some 100 KiB a second, without any live object.
        self._own = make(shared=False)
        # How often each kind of call is made, in parts of a hundred.
        self._calls = {
            self._resolve: 40,
            self._attribute: 15,
            self._resolve_anew: 10,
            self._give_up: 10,
            self._peek: 10,
            self._pick: 10,
            self._invalidate: 5,
        }

    def lasting(self, run: Runner) -> None:
        """One event loop for the whole time."""
        run(self._callers(float("inf")))

    def cycling(self, run: Runner) -> None:
        """One event loop after the other, as handlers of a function that calls asyncio.run have them."""
        while not self._stop.is_set():
            run(self._callers(self._random.uniform(0.05, 1.0)))
            self._tally.count("loops ended")

    async def _callers(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._tally.loops.add(loop)
        until = time.monotonic() + seconds
        try:
            if self._random.random() < 0.5 or seconds == float("inf"):
                await asyncio.gather(*(self._caller(until) for _ in range(12)))
                return
            kept = self._make() if self._random.random() < 0.7 else self._own
            async with kept:
                await asyncio.gather(*(self._caller(until, kept) for _ in range(12)))
        finally:
            self._tally.loops.discard(loop)

    async def _caller(self, until: float, kept: CloudMap | None = None) -> None:
        while not self._stop.is_set() and time.monotonic() < until:
            cloud_map = self._make() if kept is None else kept
            name = self._random.choice(SERVICES)
            await self._ask(name, cloud_map.service(name))
            await asyncio.sleep(self._random.uniform(0, 0.02))

    async def _ask(self, name: str, service: Service) -> None:
        """One call of one of the kinds there are; whatever comes of it is counted."""
        [call] = self._random.choices(list(self._calls), weights=list(self._calls.values()))
        asked = time.monotonic()
        try:
            await call(name, service, asked)
        except ConfigurationError as error:
            self._tally.add_unnamed(f"{name}: {error!r}")
        except CloudMapError as error:
            self._tally.count(type(error).__name__)
        except TimeoutError:
            self._tally.count("given up")
        except Exception as error:
            self._tally.add_unnamed(f"{name}: {error!r}")

    async def _resolve(self, name: str, service: Service, asked: float) -> None:
        self._judge(name, await service.resolve(), asked - BOUND, "resolve")

    async def _resolve_anew(self, name: str, service: Service, asked: float) -> None:
        self._judge(name, await service.resolve(max_age=0), asked, "resolve(max_age=0)")

    async def _give_up(self, name: str, service: Service, asked: float) -> None:
        async with asyncio.timeout(self._random.uniform(0, 0.05)):
            self._judge(name, await service.resolve(), asked - BOUND, "resolve")

    async def _peek(self, name: str, service: Service, asked: float) -> None:
        known = service.peek()
        if known is not None:
            self._judge(name, known, asked - BOUND, "peek")

    async def _attribute(self, name: str, service: Service, asked: float) -> None:
        if await service.attribute("SERVICE") != name:
            self._tally.add_wrong(f"attribute() of {name}")
        self._tally.count("attribute")

    async def _pick(self, name: str, service: Service, asked: float) -> None:
        if (await service.pick()).attributes["SERVICE"] != name:
            self._tally.add_wrong(f"pick() of {name}")
        self._tally.count("pick")

    async def _invalidate(self, name: str, service: Service, asked: float) -> None:
        service.invalidate()
        self._tally.count("invalidate")

    def _judge(self, name: str, snapshot: Snapshot, since: float, how: str) -> None:
        self._tally.count(how)
        if (what := self._truth.wrong(name, snapshot, since)) is not None:
            self._tally.add_wrong(f"{how}: {what}")
