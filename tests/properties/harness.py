"""The harness: a resolver on two event loops and its model, moved and compared together.

Every action is applied to both, and `check` compares them. A step may stay unsettled: then the event loops have not run
when the next step begins, and the actions of both steps run together, in their order.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from unittest import mock

from tests.properties.checks import CallerTask, check_caller, check_handle, check_prefetch, event_tuple
from tests.properties.controlled_backend import Call, ControlledBackend
from tests.properties.freshness_model import Model
from tests.properties.loops import LoopClock, SteppedLoop
from tests.properties.model_values import Caller, round_up

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy, HealthFilter, Service


class Harness:
    """One CloudMap with four handles: two policies for one query, the healthy instances only, and another service."""

    def __init__(self, one: CachePolicy, two: CachePolicy, ceiling: float) -> None:
        self.clock = LoopClock()
        self.loops: list[SteppedLoop] = [SteppedLoop(), SteppedLoop()]
        self.lost: list[Any] = []
        self.backend = ControlledBackend(self.clock, loop=self._number_of_running_loop)
        self.backend.populate("shop/orders", 2)
        self.backend.populate("shop/stock", 1)
        self.caller_tasks: list[CallerTask] = []
        self.prefetches: list[tuple[asyncio.Task[None], bool, list[Caller]]] = []
        self.events: list[Any] = []
        self.settled = True
        self.numbers = 0
        self.valid_from: dict[Any, int] = {}
        """By query: answers of calls that began before this step must not be written."""
        self.peeked: dict[int, Call] = {}
        self.random_patch = mock.patch("random.SystemRandom.random", self._draw)
        self.random_patch.start()
        self.model = Model(self.clock.monotonic(), ceiling)
        self.cloud_map = CloudMap(
            cache=one,
            connections=ConnectionPolicy(max_calls_per_second=ceiling),
            backend=self.backend,
            clock=self.clock,
            on_event=self.events.append,
        )
        self.arguments: list[dict[str, Any]] = [
            {"name": "shop/orders"},
            {"name": "shop/orders", "cache": two},
            {"name": "shop/orders", "health": HealthFilter.HEALTHY},
            {"name": "shop/stock"},
        ]
        self.policies = [one, two, one, one]
        self.handles = [self.cloud_map.service(**each) for each in self.arguments]

    def finish(self) -> None:
        """Complete everything under way, and check that nothing is left behind."""
        self.settle()
        self.check()
        while self.model.flights:
            for call in list(self.backend.open.values()):
                self.release(call, "answer")
            self.settle()
            self.check()
            if self.model.flights:  # one that waits for the rate limit
                self.tick(min(timer.due for timer in self.model.timers if timer.live) - self.model.now)
                self.settle()
        assert [running.caller for running in self.caller_tasks if running.caller.outcome is None] == []
        assert self.clock.timers == 0, "timers are left behind"
        for loop in self.loops:
            assert asyncio.all_tasks(loop.asyncio_loop) == set()
            assert loop.complaints == []

    def close(self) -> None:
        """Clean up, also after a failure."""
        self.random_patch.stop()
        for loop in self.loops:
            if not loop.asyncio_loop.is_closed():
                loop.end(callers_first=True)
        self.lost.clear()
        self.prefetches.clear()
        self.caller_tasks.clear()

    # -- callers ---------------------------------------------------------------------------------------------------

    @property
    def callers(self) -> list[Caller]:
        """All callers that have not been checked, in the order in which they came."""
        members = [caller for _, _, callers in self.prefetches for caller in callers]
        return sorted([running.caller for running in self.caller_tasks] + members, key=lambda caller: caller.number)

    def ask(self, loop: SteppedLoop, index: int, what: str, max_age: float | None, *, new: bool) -> None:
        """Add a caller, with a kept or a new handle."""
        handle: Service = self.cloud_map.service(**self.arguments[index]) if new else self.handles[index]
        caller = self._caller(loop, index, max_age)
        if handle is not self.handles[index]:
            caller.handle_entry = self.model.entries.get((caller.query, caller.policy))
        running = CallerTask.start(loop.asyncio_loop, handle, what, caller, step=self.backend.step)
        self.caller_tasks.append(running)
        self.model.ask(caller)

    def prefetch(self, loop: SteppedLoop, indexes: list[int], *, required: bool) -> None:
        """Add a caller that prefetches several services."""
        members = [self._caller(loop, index, None) for index in indexes]
        for caller in members:
            self.model.ask(caller)
        work = self.cloud_map.prefetch(*(self.handles[index] for index in indexes), required=required)
        self.prefetches.append((loop.asyncio_loop.create_task(work), required, members))

    def release(self, call: Call, end: str) -> None:
        """End a call under way."""
        if call.gate.done():
            return
        self.model.answer(self.model.flights[call.loop, call.query], call.expected(end))
        call.gate.set_result(end)

    def _caller(self, loop: SteppedLoop, index: int, max_age: float | None) -> Caller:
        self.numbers += 1
        return Caller(self.numbers, loop.number, self.handles[index].query, self.policies[index], max_age)

    # -- event loops and time --------------------------------------------------------------------------------------

    def end_loop(self, which: int, *, callers_first: bool) -> None:
        """End a loop as `asyncio.run` does, and replace it."""
        loop = self.loops[which]
        waiting = [caller for caller in self.callers if caller.loop == loop.number and caller.outcome is None]
        self.model.end_loop(loop.number, waiting, callers_first=callers_first)
        loop.end(callers_first=callers_first)
        timers = self.clock.timers
        self.clock.drop(loop.asyncio_loop)
        assert self.clock.timers == timers, "a loop that ended left timers behind"
        assert loop.complaints == []
        self.loops[which] = SteppedLoop()

    def abandon_loop(self, which: int) -> None:
        """Close a loop with everything under way, and replace it."""
        loop = self.loops[which]
        self.model.abandon_loop(loop.number)
        gone = [running for running in self.caller_tasks if running.caller.loop == loop.number]
        fetching = [each for each in self.prefetches if each[2][0].loop == loop.number]
        self.lost += [loop, gone, fetching]  # kept, as asyncio would report pending tasks that are destroyed
        self.caller_tasks = [running for running in self.caller_tasks if running not in gone]
        self.prefetches = [each for each in self.prefetches if each not in fetching]
        self.backend.forget(loop.number)
        loop.asyncio_loop.close()
        self.clock.drop(loop.asyncio_loop)
        self.loops[which] = SteppedLoop()

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        seconds = round_up(seconds)
        self.model.pass_time(seconds)
        self.clock.tick(seconds)

    def settle(self) -> None:
        """Run the loops until everything waits."""
        self._note_waits()
        for loop in self.loops:
            self.model.run(loop.number)
            loop.settle()
        self._note_waits()
        self.settled = True

    def end_step(self, settle: bool) -> None:
        """End a step. The loops may run in the next one."""
        self.backend.step += 1
        self.settled = False
        if settle:
            self.settle()

    def _draw(self) -> float:
        return self.model.random

    def _note_waits(self) -> None:
        for caller in self.callers:
            caller.waits |= {self.model.retry_after(caller)}

    def _number_of_running_loop(self) -> int:
        running = asyncio.get_running_loop()
        return next(loop.number for loop in self.loops if loop.asyncio_loop is running)

    # -- checks ----------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Check that the resolver matches the model, and that it keeps every limit whatever the model does."""
        if not self.settled:
            return
        assert self.backend.problems == []
        under_way = {key for key, flight in self.model.flights.items() if flight.called}
        assert set(self.backend.open) == under_way
        for running in self.caller_tasks:
            check_caller(running, self.model, self.backend)
        for task, required, members in self.prefetches:
            check_prefetch(task, members, required=required)
        self.caller_tasks = [running for running in self.caller_tasks if running.caller.outcome is None]
        self.prefetches = [each for each in self.prefetches if not each[0].done()]
        self._check_memory()
        assert Counter(map(event_tuple, self.events)) == Counter(self.model.events)
        self.events.clear()
        self.model.events.clear()

    def _check_memory(self) -> None:
        for loop in self.loops:
            explained = loop.settle(lambda: [handle.explain() for handle in self.handles])
            for handle, policy, explanation in zip(self.handles, self.policies, explained, strict=True):
                check_handle(handle, policy, explanation, self.model, self.backend, loop.number)
        for number, handle in enumerate(self.handles):
            peeked = handle.peek()
            if not peeked:
                continue
            call = self.backend.calls[peeked.revision]
            before = self.peeked.get(number, call)
            assert before.begun_at <= call.begun_at, "an older answer overwrote a newer one"
            if before is not call:
                assert call.step >= self.valid_from.get(handle.query, 0), (
                    "written although it began before an invalidation"
                )
            self.peeked[number] = call
        stats, model = self.cloud_map.stats(), self.model
        assert stats.refreshes == len(self.backend.calls)
        assert (stats.misses, stats.coalesced, stats.failures, stats.throttled, stats.entries) == (
            model.misses,
            model.coalesced,
            model.failures,
            model.throttled,
            model.entry_count,
        )
