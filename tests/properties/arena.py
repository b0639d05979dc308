"""Where the attack takes place: a resolver on two event loops and its model beside it, moved and compared together.

What is done here is done to both; `check` finds whether both are where they should be. A step may be left unsettled:
then the event loops have not run yet when the next one comes, and what was ordered is done in one go, in the order of
the orders.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from unittest import mock

from tests.properties.freshness_model import Model
from tests.properties.freshness_words import Caller, grained
from tests.properties.judging import Ask, check_caller, check_handle, check_prefetch, event_words
from tests.properties.lanes import Lane, LaneClock
from tests.properties.upstream import Call, Upstream

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy, HealthFilter, Service


class Arena:
    """One CloudMap with four cells: two policies of one question, the same to the healthy alone, another service."""

    def __init__(self, one: CachePolicy, two: CachePolicy, ceiling: float) -> None:
        self.clock = LaneClock()
        self.lanes: list[Lane] = [Lane(), Lane()]
        self.lost: list[Any] = []
        self.upstream = Upstream(self.clock, lane=self._lane_of_running_loop)
        self.upstream.populate("shop/orders", 2)
        self.upstream.populate("shop/stock", 1)
        self.asks: list[Ask] = []
        self.prefetches: list[tuple[asyncio.Task[None], bool, list[Caller]]] = []
        self.heard: list[Any] = []
        self.settled = True
        self.numbers = 0
        self.floor: dict[Any, int] = {}
        """Answers of calls that began before this step may not be written any more, by query."""
        self.peeked: dict[int, Call] = {}
        self.dice = mock.patch("random.SystemRandom.random", self._draw)
        self.dice.start()
        self.model = Model(self.clock.monotonic(), ceiling)
        self.cloud_map = CloudMap(
            cache=one,
            connections=ConnectionPolicy(max_calls_per_second=ceiling),
            backend=self.upstream,
            clock=self.clock,
            on_event=self.heard.append,
        )
        self.recipes: list[dict[str, Any]] = [
            {"name": "shop/orders"},
            {"name": "shop/orders", "cache": two},
            {"name": "shop/orders", "health": HealthFilter.HEALTHY},
            {"name": "shop/stock"},
        ]
        self.policies = [one, two, one, one]
        self.handles = [self.cloud_map.service(**recipe) for recipe in self.recipes]

    def end_well(self) -> None:
        """Whatever is under way ends well, and nothing is left behind."""
        self.settle()
        self.check()
        while self.model.flights:
            for call in list(self.upstream.open.values()):
                self.release(call, "answer")
            self.settle()
            self.check()
            if self.model.flights:  # one that waits for its turn
                self.tick(min(timer.due for timer in self.model.timers if timer.live) - self.model.now)
                self.settle()
        assert [ask.caller for ask in self.asks if ask.caller.outcome is None] == []
        assert self.clock.timers == 0, "timers are left behind"
        for lane in self.lanes:
            assert asyncio.all_tasks(lane.loop) == set()
            assert lane.complaints == []

    def close(self) -> None:
        """Leave nothing behind, however it went."""
        self.dice.stop()
        for lane in self.lanes:
            if not lane.loop.is_closed():
                lane.end(callers_first=True)
        self.lost.clear()
        self.prefetches.clear()
        self.asks.clear()

    # -- callers ---------------------------------------------------------------------------------------------------

    @property
    def callers(self) -> list[Caller]:
        """All that have not been judged yet, in the order in which they came."""
        members = [caller for _, _, callers in self.prefetches for caller in callers]
        return sorted([ask.caller for ask in self.asks] + members, key=lambda caller: caller.number)

    def ask(self, lane: Lane, cell: int, what: str, max_age: float | None, *, new: bool) -> None:
        """A caller comes, with a handle that was kept or with a new one."""
        handle: Service = self.cloud_map.service(**self.recipes[cell]) if new else self.handles[cell]
        caller = self._caller(lane, cell, max_age)
        if handle is not self.handles[cell]:
            caller.held = self.model.cells.get((caller.query, caller.policy))
        ask = Ask.make(lane.loop, handle, what, caller, step=self.upstream.step)
        self.asks.append(ask)
        self.model.ask(caller)

    def prefetch(self, lane: Lane, cells: list[int], *, required: bool) -> None:
        """One caller asks several questions at once."""
        members = [self._caller(lane, cell, None) for cell in cells]
        for caller in members:
            self.model.ask(caller)
        work = self.cloud_map.prefetch(*(self.handles[cell] for cell in cells), required=required)
        self.prefetches.append((lane.loop.create_task(work), required, members))

    def release(self, call: Call, end: str) -> None:
        """A call under way ends so."""
        if call.gate.done():
            return
        self.model.answer(self.model.flights[call.lane, call.query], call.truth(end))
        call.gate.set_result(end)

    def _caller(self, lane: Lane, cell: int, max_age: float | None) -> Caller:
        self.numbers += 1
        return Caller(self.numbers, lane.number, self.handles[cell].query, self.policies[cell], max_age)

    # -- event loops and time --------------------------------------------------------------------------------------

    def end_loop(self, which: int, *, callers_first: bool) -> None:
        """A loop ends as `asyncio.run` ends it, and another takes its place."""
        lane = self.lanes[which]
        waiting = [caller for caller in self.callers if caller.lane == lane.number and caller.outcome is None]
        self.model.end_lane(lane.number, waiting, callers_first=callers_first)
        lane.end(callers_first=callers_first)
        timers = self.clock.timers
        self.clock.drop(lane.loop)
        assert self.clock.timers == timers, "a loop that ended left timers behind"
        assert lane.complaints == []
        self.lanes[which] = Lane()

    def lose_loop(self, which: int) -> None:
        """A loop is closed in the middle of everything, and another takes its place."""
        lane = self.lanes[which]
        self.model.lose_lane(lane.number)
        gone = [ask for ask in self.asks if ask.caller.lane == lane.number]
        fetching = [each for each in self.prefetches if each[2][0].lane == lane.number]
        self.lost += [lane, gone, fetching]  # what is destroyed while it is pending would say so
        self.asks = [ask for ask in self.asks if ask not in gone]
        self.prefetches = [each for each in self.prefetches if each not in fetching]
        self.upstream.forget(lane.number)
        lane.loop.close()
        self.clock.drop(lane.loop)
        self.lanes[which] = Lane()

    def tick(self, seconds: float) -> None:
        """Time passes."""
        seconds = grained(seconds)
        self.model.pass_time(seconds)
        self.clock.tick(seconds)

    def settle(self) -> None:
        """The loops run until everything waits."""
        self._note_waits()
        for lane in self.lanes:
            self.model.run(lane.number)
            lane.settle()
        self._note_waits()
        self.settled = True

    def end_step(self, settle: bool) -> None:
        """A step is done; it may be left to the next one to let the loops run."""
        self.upstream.step += 1
        self.settled = False
        if settle:
            self.settle()

    def _draw(self) -> float:
        return self.model.dice

    def _note_waits(self) -> None:
        for caller in self.callers:
            caller.waits |= {self.model.retry_after(caller)}

    def _lane_of_running_loop(self) -> int:
        loop = asyncio.get_running_loop()
        return next(lane.number for lane in self.lanes if lane.loop is loop)

    # -- what holds ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """The resolver is where the model is, and no bound is passed, whatever the model says."""
        if not self.settled:
            return
        assert self.upstream.wrongs == []
        under_way = {key for key, flight in self.model.flights.items() if flight.begun}
        assert set(self.upstream.open) == under_way
        for ask in self.asks:
            check_caller(ask, self.model, self.upstream)
        for task, required, members in self.prefetches:
            check_prefetch(task, members, required=required)
        self.asks = [ask for ask in self.asks if ask.caller.outcome is None]
        self.prefetches = [each for each in self.prefetches if not each[0].done()]
        self._check_memory()
        assert Counter(map(event_words, self.heard)) == Counter(self.model.events)
        self.heard.clear()
        self.model.events.clear()

    def _check_memory(self) -> None:
        for lane in self.lanes:
            explained = lane.settle(lambda: [handle.explain() for handle in self.handles])
            for handle, policy, explanation in zip(self.handles, self.policies, explained, strict=True):
                check_handle(handle, policy, explanation, self.model, self.upstream, lane.number)
        for number, handle in enumerate(self.handles):
            peeked = handle.peek()
            if not peeked:
                continue
            call = self.upstream.calls[peeked.revision]
            before = self.peeked.get(number, call)
            assert before.begun_at <= call.begun_at, "an older answer overwrote a newer one"
            if before is not call:
                assert call.step >= self.floor.get(handle.query, 0), "written although it began before an invalidation"
            self.peeked[number] = call
        stats, model = self.cloud_map.stats(), self.model
        assert stats.refreshes == len(self.upstream.calls)
        assert (stats.misses, stats.coalesced, stats.failures, stats.throttled, stats.entries) == (
            model.misses,
            model.coalesced,
            model.failures,
            model.throttled,
            model.entries,
        )
