"""A state machine that does everything at once to a resolver, and compares it with the model after every step.

A step may be left unsettled: then the event loops have not run yet when the next one comes, and what was ordered is
done in one go, in the order of the orders. All numbers are sums of powers of two, so that moments can be compared
exactly and boundaries can be hit exactly.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import Any
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.properties.freshness_model import Model
from tests.properties.freshness_words import Caller, grained
from tests.properties.judging import Ask, check_caller, check_handle, check_prefetch, event_words
from tests.properties.lanes import Lane, LaneClock
from tests.properties.upstream import VERDICTS, Call, Upstream

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy, HealthFilter, Service

EPSILON = 2.0**-10
SERVICES = ("shop/orders", "shop/stock")

POLICIES = st.builds(
    CachePolicy,
    ttl=st.sampled_from([10.0, 10.0, 30.0, 2.0, 0.0]),
    stale_while_revalidate=st.sampled_from([5.0, 5.0, 30.0, 0.0]),
    stale_if_error=st.sampled_from([64.0, 64.0, 16.0, 4.0, 0.0]),
    negative_ttl=st.sampled_from([4.0, 4.0, 1.0, 100.0, 0.0]),
    empty_hold_time=st.sampled_from([8.0, 30.0, 0.0]),
    jitter=st.sampled_from([0.0, 0.0, 0.0, 0.25, 1.0]),
    soft_timeout=st.sampled_from([1.0, 1.0, 1.0, 5.0, 7.0, 0.0]),
    refresh=st.sampled_from(["background", "background", "inline"]),
)
CEILINGS = st.sampled_from([200.0, 4.0, 1.0])
LANES = st.integers(0, 1)
CELLS = st.integers(0, 3)
ANY = st.integers(0, 63)
TIMES = st.sampled_from([3, 4, 2, 1])
WHAT = st.sampled_from(["resolve", "resolve", "resolve", "pick", "attribute", "default"])
MAX_AGES = st.sampled_from([None, None, None, 0.0, 0.0, 1.0, 6.0, 40.0, 1000.0])
ENDS = st.sampled_from(["answer"] * 12 + ["server_error", "throttle", "misconfigured"] * 2 + list(VERDICTS))
SETTLED = st.sampled_from([True, True, False])


class Attack(RuleBasedStateMachine):
    """Callers, cancellations, invalidations, faults, time and dying event loops against one CloudMap."""

    steps = 0
    """Steps of all runs in this process."""

    def __init__(self) -> None:
        super().__init__()
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

    # -- set-up and end --------------------------------------------------------------------------------------------

    @initialize(one=POLICIES, two=POLICIES, ceiling=CEILINGS)
    def begin(self, one: CachePolicy, two: CachePolicy, ceiling: float) -> None:
        """Four cells: two policies of one question, the same question to the healthy alone, another service."""
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

    def teardown(self) -> None:
        """Whatever is under way ends well, and nothing is left behind."""
        try:
            if hasattr(self, "handles") and sys.exc_info()[0] is None:
                self._end_well()
        finally:
            self.dice.stop()
            for lane in self.lanes:
                if not lane.loop.is_closed():
                    lane.end(callers_first=True)
            self.lost.clear()
            self.prefetches.clear()
            self.asks.clear()

    def _end_well(self) -> None:
        self._settle()
        self.check()
        while self.model.flights:
            for call in list(self.upstream.open.values()):
                self._release(call, "answer")
            self._settle()
            self.check()
            if self.model.flights:  # one that waits for its turn
                self._tick(min(timer.due for timer in self.model.timers if timer.live) - self.model.now)
                self._settle()
        assert [ask.caller for ask in self.asks if ask.caller.outcome is None] == []
        assert self.clock.timers == 0, "timers are left behind"
        for lane in self.lanes:
            assert asyncio.all_tasks(lane.loop) == set()
            assert lane.complaints == []
        Attack.steps += self.upstream.step

    # -- callers ---------------------------------------------------------------------------------------------------

    @rule(lane=LANES, cell=CELLS, what=WHAT, max_age=MAX_AGES, count=st.integers(1, 3), new=st.booleans(), now=SETTLED)
    def ask(self, lane, cell, what, max_age, count, new, now):
        """Callers come, with a handle that was kept or with a new one."""
        for _ in range(count):
            self._ask(self.lanes[lane], cell, what, max_age if what == "resolve" else None, new=new)
        self._done(now)

    @rule(lane=LANES, cell=CELLS, max_age=MAX_AGES, end=ENDS)
    def exchange(self, lane, cell, max_age, end):
        """A caller comes, and whatever call is under way for its question ends."""
        self._ask(self.lanes[lane], cell, "resolve", max_age, new=False)
        self._settle()
        key = self.lanes[lane].number, self.handles[cell].query
        if key in self.upstream.open:
            self._release(self.upstream.open[key], end)
        self._done(True)

    @rule(lane=LANES, cell=CELLS, off=st.sampled_from([0.0, 0.0, -EPSILON, EPSILON]), end=ENDS)
    def renew(self, lane, cell, off, end):
        """The first caller who may ask again after what came last; so series of failures and of doubts grow long."""
        self._settle()
        known = self.model.cells.get((self.handles[cell].query, self.policies[cell]))
        if known is not None:
            again = max(known.quiet, known.retry_at, self.model.pace.closed_until)
            self._tick(max(0.0, again + off - self.model.now))
        self.exchange(lane, cell, None, end)

    @rule(lane=LANES, cell=CELLS, before=st.sampled_from([1, 2]), left=st.sampled_from([None, 0, 0]), times=TIMES)
    def vanish(self, lane, cell, before, left, times):
        """Something, and then again and again nothing."""
        name = self.recipes[cell]["name"]
        self.upstream.populate(name, before)
        self.renew(lane, cell, 0.0, "answer")
        self.upstream.populate(name, left)
        for _ in range(times):
            self.check()
            self.renew(lane, cell, 0.0, "answer")

    @rule(cell=CELLS, first=LANES, between=st.sampled_from([0.0, EPSILON, 1.0]), ends=st.tuples(ENDS, ENDS))
    def overtake(self, cell, first, between, ends):
        """Two loops ask, and the one that asked last is answered first."""
        self._settle()
        for home in (self.lanes[first], self.lanes[1 - first]):
            self._ask(home, cell, "resolve", 0.0, new=False)
            self._settle()
            self._tick(between)
        for home, end in zip((self.lanes[1 - first], self.lanes[first]), ends, strict=True):
            call = self.upstream.open.get((home.number, self.handles[cell].query))
            if call is not None:
                self._release(call, end)
            self._settle()
        self._done(True)

    @rule(lane=LANES, cell=CELLS, between=st.sampled_from([0.5, EPSILON, 3.0]), max_age=MAX_AGES)
    def join(self, lane, cell, between, max_age):
        """Two callers come one after the other, and both wait for the same call until time has its say."""
        for age in (None, max_age):
            self._ask(self.lanes[lane], cell, "resolve", age, new=False)
            self._settle()
            self._tick(between)
            self._settle()
        self.check()
        self.reach(0, 0.0, now=True)

    @rule(lane=LANES, cells=st.lists(CELLS, min_size=1, max_size=4, unique=True), required=st.booleans())
    def prefetch(self, lane, cells, required):
        """Several questions at once."""
        self._settle()
        home = self.lanes[lane]
        members = [self._caller(home, cell, None) for cell in cells]
        for caller in members:
            self.model.ask(caller)
        work = self.cloud_map.prefetch(*(self.handles[cell] for cell in cells), required=required)
        self.prefetches.append((home.loop.create_task(work), required, members))
        self._done(True)

    @rule(which=ANY, now=SETTLED)
    def cancel(self, which, now):
        """A caller goes away, whether it waits or has not even begun."""
        waiting = [ask for ask in self.asks if not ask.caller.cancelled and not ask.task.done()]
        if waiting:
            ask = waiting[which % len(waiting)]
            ask.task.cancel()
            self.model.cancel(ask.caller)
        self._done(now)

    @rule(which=ANY)
    def cancel_prefetch(self, which):
        """All that it asked for goes with it."""
        self._settle()
        if self.prefetches:
            task, _, members = self.prefetches[which % len(self.prefetches)]
            task.cancel()
            for caller in members:
                if caller.outcome is None:
                    self.model.cancel(caller)
        self._done(True)

    # -- upstream --------------------------------------------------------------------------------------------------

    @rule(which=ANY, end=ENDS, now=SETTLED)
    def release(self, which, end, now):
        """Any call under way ends, in whatever order they began."""
        calls = [call for call in self.upstream.open.values() if not call.gate.done()]
        if calls:
            self._release(calls[which % len(calls)], end)
        self._done(now)

    @rule(service=st.sampled_from(SERVICES), count=st.sampled_from([None, 0, 0, 1, 2, 3]))
    def populate(self, service, count):
        """The world changes; calls under way have seen it as it was."""
        self.upstream.populate(service, count)
        self._done(self.settled)

    # -- memory ----------------------------------------------------------------------------------------------------

    @rule(cell=st.none() | CELLS, by=st.sampled_from(["handle", "name"]), now=SETTLED)
    def invalidate(self, cell, by, now):
        """One question, one service, or everything counts as expired."""
        self.upstream.step += 1
        if cell is None:
            assert self.model.invalidate() == self.cloud_map.invalidate()
            meant = {handle.query for handle in self.handles}
        elif by == "handle":
            query = self.handles[cell].query
            self.handles[cell].invalidate()
            self.model.invalidate(query=query)
            meant = {query}
        else:
            name = self.handles[cell].name
            assert self.model.invalidate(service=name) == self.cloud_map.invalidate(name)
            meant = {handle.query for handle in self.handles if handle.name == name}
        self.floor.update(dict.fromkeys(meant, self.upstream.step))
        self._done(now)

    @rule(now=SETTLED)
    def clear(self, now):
        """Everything is forgotten."""
        self.upstream.step += 1
        assert self.model.clear() == self.cloud_map.clear()
        for handle in self.handles:
            handle.peek()  # which makes it let go of the cell that is no longer listed
        self.floor = {handle.query: self.upstream.step for handle in self.handles}
        self.peeked.clear()
        self._done(now)

    # -- time ------------------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 9), off=st.sampled_from([0.0, 0.0, -EPSILON, EPSILON]), now=SETTLED)
    def reach(self, which, off, now):
        """Time passes to one of the next boundaries, to just before or to just after it."""
        if ahead := self.model.boundaries():
            self._tick(max(0.0, ahead[min(which, len(ahead) - 1)] + off - self.model.now))
        self._done(now)

    @rule(seconds=st.sampled_from([0.125, 0.5, 1.0, 4.0, 30.0]), now=SETTLED)
    def wait(self, seconds, now):
        """Time passes, in one go: the loops had no turn meanwhile."""
        self._tick(seconds)
        self._done(now)

    @rule(seconds=st.sampled_from([1.0, 1.0 + EPSILON, 3.0, 20.0, -7.0]), now=SETTLED)
    def jump(self, seconds, now):
        """The wall clock moves alone: a freeze, or somebody who sets it back."""
        if seconds > 0:
            self.clock.freeze(seconds)
        else:
            self.clock.set_back(-seconds)
        self.model.skew += seconds
        self._done(now)

    @rule(dice=st.sampled_from([0.0, 0.5, 1 - EPSILON]))
    def throw(self, dice):
        """Jitter and backoff draw this from now on."""
        self.model.dice = dice
        self._done(self.settled)

    # -- event loops -----------------------------------------------------------------------------------------------

    @rule(which=LANES, callers_first=st.booleans())
    def end_loop(self, which, callers_first):
        """A loop ends as `asyncio.run` ends it, and another takes its place."""
        self._settle()
        lane = self.lanes[which]
        waiting = [caller for caller in self._callers() if caller.lane == lane.number and caller.outcome is None]
        self.model.end_lane(lane.number, waiting, callers_first=callers_first)
        lane.end(callers_first=callers_first)
        timers = self.clock.timers
        self.clock.drop(lane.loop)
        assert self.clock.timers == timers, "a loop that ended left timers behind"
        assert lane.complaints == []
        self.lanes[which] = Lane()
        self._done(True)

    @rule(which=LANES)
    def lose_loop(self, which):
        """A loop is closed in the middle of everything, and another takes its place."""
        self._settle()
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
        self._done(True)

    # -- what holds after every step ---------------------------------------------------------------------------------

    @invariant()
    def check(self) -> None:
        """The resolver is where the model is, and no bound is passed, whatever the model says."""
        if not self.settled or not hasattr(self, "handles"):
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
        self._check_events()

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

    def _check_events(self) -> None:
        assert Counter(map(event_words, self.heard)) == Counter(self.model.events)
        self.heard.clear()
        self.model.events.clear()

    # -- how it is done --------------------------------------------------------------------------------------------

    def _draw(self) -> float:
        return self.model.dice

    def _lane_of_running_loop(self) -> int:
        loop = asyncio.get_running_loop()
        return next(lane.number for lane in self.lanes if lane.loop is loop)

    def _callers(self) -> list[Caller]:
        members = [caller for _, _, callers in self.prefetches for caller in callers]
        return sorted([ask.caller for ask in self.asks] + members, key=lambda caller: caller.number)

    def _caller(self, lane: Lane, cell: int, max_age: float | None) -> Caller:
        self.numbers += 1
        return Caller(self.numbers, lane.number, self.handles[cell].query, self.policies[cell], max_age)

    def _ask(self, lane: Lane, cell: int, what: str, max_age: float | None, *, new: bool) -> None:
        handle: Service = self.cloud_map.service(**self.recipes[cell]) if new else self.handles[cell]
        caller = self._caller(lane, cell, max_age)
        if handle is not self.handles[cell]:
            caller.held = self.model.cells.get((caller.query, caller.policy))
        ask = Ask.make(lane.loop, handle, what, caller, step=self.upstream.step)
        self.asks.append(ask)
        self.model.ask(caller)

    def _release(self, call: Call, end: str) -> None:
        if call.gate.done():
            return
        self.model.answer(self.model.flights[call.lane, call.query], call.truth(end))
        call.gate.set_result(end)

    def _tick(self, seconds: float) -> None:
        seconds = grained(seconds)
        self.model.pass_time(seconds)
        self.clock.tick(seconds)

    def _settle(self) -> None:
        self._note_waits()
        for lane in self.lanes:
            self.model.run(lane.number)
            lane.settle()
        self._note_waits()
        self.settled = True

    def _note_waits(self) -> None:
        for caller in self._callers():
            caller.waits |= {self.model.retry_after(caller)}

    def _done(self, settle: bool) -> None:
        self.upstream.step += 1
        self.settled = False
        if settle:
            self._settle()
