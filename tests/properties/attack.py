"""A state machine that does everything at once to a resolver, and compares it with the model after every step.

All numbers are sums of powers of two, so that moments can be compared exactly and boundaries can be hit exactly.
"""

from __future__ import annotations

import sys

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.properties.arena import Arena
from tests.properties.upstream import VERDICTS

from aiocloudmap import CachePolicy

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
        self.arena: Arena | None = None

    @initialize(one=POLICIES, two=POLICIES, ceiling=CEILINGS)
    def begin(self, one: CachePolicy, two: CachePolicy, ceiling: float) -> None:
        """Every attack has policies of its own."""
        self.arena = Arena(one, two, ceiling)

    def teardown(self) -> None:
        """Whatever is under way ends well, and nothing is left behind."""
        if self.arena is None:
            return
        try:
            if sys.exc_info()[0] is None:
                self.arena.end_well()
                Attack.steps += self.arena.upstream.step
        finally:
            self.arena.close()

    @invariant()
    def check(self) -> None:
        """The resolver is where the model is, and no bound is passed."""
        if self.arena is not None:
            self.arena.check()

    # -- callers ---------------------------------------------------------------------------------------------------

    @rule(lane=LANES, cell=CELLS, what=WHAT, max_age=MAX_AGES, count=st.integers(1, 3), new=st.booleans(), now=SETTLED)
    def ask(self, lane, cell, what, max_age, count, new, now):
        """Callers come, with a handle that was kept or with a new one."""
        arena = self.arena
        for _ in range(count):
            arena.ask(arena.lanes[lane], cell, what, max_age if what == "resolve" else None, new=new)
        arena.end_step(now)

    @rule(lane=LANES, cell=CELLS, max_age=MAX_AGES, end=ENDS)
    def exchange(self, lane, cell, max_age, end):
        """A caller comes, and whatever call is under way for its question ends."""
        arena = self.arena
        arena.ask(arena.lanes[lane], cell, "resolve", max_age, new=False)
        arena.settle()
        key = arena.lanes[lane].number, arena.handles[cell].query
        if key in arena.upstream.open:
            arena.release(arena.upstream.open[key], end)
        arena.end_step(True)

    @rule(lane=LANES, cell=CELLS, off=st.sampled_from([0.0, 0.0, -EPSILON, EPSILON]), end=ENDS)
    def renew(self, lane, cell, off, end):
        """The first caller who may ask again after what came last; so series of failures and of doubts grow long."""
        arena = self.arena
        arena.settle()
        known = arena.model.cells.get((arena.handles[cell].query, arena.policies[cell]))
        if known is not None:
            again = max(known.quiet, known.retry_at, arena.model.pace.closed_until)
            arena.tick(max(0.0, again + off - arena.model.now))
        self.exchange(lane, cell, None, end)

    @rule(lane=LANES, cell=CELLS, before=st.sampled_from([1, 2]), left=st.sampled_from([None, 0, 0]), times=TIMES)
    def vanish(self, lane, cell, before, left, times):
        """Something, and then again and again nothing."""
        arena = self.arena
        name = arena.recipes[cell]["name"]
        arena.upstream.populate(name, before)
        self.renew(lane, cell, 0.0, "answer")
        arena.upstream.populate(name, left)
        for _ in range(times):
            self.check()
            self.renew(lane, cell, 0.0, "answer")

    @rule(cell=CELLS, first=LANES, between=st.sampled_from([0.0, EPSILON, 1.0]), ends=st.tuples(ENDS, ENDS))
    def overtake(self, cell, first, between, ends):
        """Two loops ask, and the one that asked last is answered first."""
        arena = self.arena
        arena.settle()
        for home in (arena.lanes[first], arena.lanes[1 - first]):
            arena.ask(home, cell, "resolve", 0.0, new=False)
            arena.settle()
            arena.tick(between)
        for home, end in zip((arena.lanes[1 - first], arena.lanes[first]), ends, strict=True):
            call = arena.upstream.open.get((home.number, arena.handles[cell].query))
            if call is not None:
                arena.release(call, end)
            arena.settle()
        arena.end_step(True)

    @rule(lane=LANES, cell=CELLS, between=st.sampled_from([0.5, EPSILON, 3.0]), max_age=MAX_AGES)
    def join(self, lane, cell, between, max_age):
        """Two callers come one after the other, and both wait for the same call until time has its say."""
        arena = self.arena
        for age in (None, max_age):
            arena.ask(arena.lanes[lane], cell, "resolve", age, new=False)
            arena.settle()
            arena.tick(between)
            arena.settle()
        self.check()
        self.reach(0, 0.0, now=True)

    @rule(lane=LANES, cells=st.lists(CELLS, min_size=1, max_size=4, unique=True), required=st.booleans())
    def prefetch(self, lane, cells, required):
        """Several questions at once."""
        arena = self.arena
        arena.settle()
        arena.prefetch(arena.lanes[lane], cells, required=required)
        arena.end_step(True)

    @rule(which=ANY, now=SETTLED)
    def cancel(self, which, now):
        """A caller goes away, whether it waits or has not even begun."""
        arena = self.arena
        waiting = [ask for ask in arena.asks if not ask.caller.cancelled and not ask.task.done()]
        if waiting:
            ask = waiting[which % len(waiting)]
            ask.task.cancel()
            arena.model.cancel(ask.caller)
        arena.end_step(now)

    @rule(which=ANY)
    def cancel_prefetch(self, which):
        """All that it asked for goes with it."""
        arena = self.arena
        arena.settle()
        if arena.prefetches:
            task, _, members = arena.prefetches[which % len(arena.prefetches)]
            task.cancel()
            for caller in members:
                if caller.outcome is None:
                    arena.model.cancel(caller)
        arena.end_step(True)

    # -- upstream --------------------------------------------------------------------------------------------------

    @rule(which=ANY, end=ENDS, now=SETTLED)
    def release(self, which, end, now):
        """Any call under way ends, in whatever order they began."""
        arena = self.arena
        calls = [call for call in arena.upstream.open.values() if not call.gate.done()]
        if calls:
            arena.release(calls[which % len(calls)], end)
        arena.end_step(now)

    @rule(service=st.sampled_from(SERVICES), count=st.sampled_from([None, 0, 0, 1, 2, 3]))
    def populate(self, service, count):
        """The world changes; calls under way have seen it as it was."""
        arena = self.arena
        arena.upstream.populate(service, count)
        arena.end_step(arena.settled)

    # -- memory ----------------------------------------------------------------------------------------------------

    @rule(cell=st.none() | CELLS, by=st.sampled_from(["handle", "name"]), now=SETTLED)
    def invalidate(self, cell, by, now):
        """One question, one service, or everything counts as expired."""
        arena = self.arena
        arena.upstream.step += 1
        if cell is None:
            assert arena.model.invalidate() == arena.cloud_map.invalidate()
            meant = {handle.query for handle in arena.handles}
        elif by == "handle":
            query = arena.handles[cell].query
            arena.handles[cell].invalidate()
            arena.model.invalidate(query=query)
            meant = {query}
        else:
            name = arena.handles[cell].name
            assert arena.model.invalidate(service=name) == arena.cloud_map.invalidate(name)
            meant = {handle.query for handle in arena.handles if handle.name == name}
        arena.floor.update(dict.fromkeys(meant, arena.upstream.step))
        arena.end_step(now)

    @rule(now=SETTLED)
    def clear(self, now):
        """Everything is forgotten."""
        arena = self.arena
        arena.upstream.step += 1
        assert arena.model.clear() == arena.cloud_map.clear()
        for handle in arena.handles:
            handle.peek()  # which makes it let go of the cell that is no longer listed
        arena.floor = {handle.query: arena.upstream.step for handle in arena.handles}
        arena.peeked.clear()
        arena.end_step(now)

    # -- time ------------------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 9), off=st.sampled_from([0.0, 0.0, -EPSILON, EPSILON]), now=SETTLED)
    def reach(self, which, off, now):
        """Time passes to one of the next boundaries, to just before or to just after it."""
        arena = self.arena
        if ahead := arena.model.boundaries():
            arena.tick(max(0.0, ahead[min(which, len(ahead) - 1)] + off - arena.model.now))
        arena.end_step(now)

    @rule(seconds=st.sampled_from([0.125, 0.5, 1.0, 4.0, 30.0]), now=SETTLED)
    def wait(self, seconds, now):
        """Time passes, in one go: the loops had no turn meanwhile."""
        arena = self.arena
        arena.tick(seconds)
        arena.end_step(now)

    @rule(seconds=st.sampled_from([1.0, 1.0 + EPSILON, 3.0, 20.0, -7.0]), now=SETTLED)
    def jump(self, seconds, now):
        """The wall clock moves alone: a freeze, or somebody who sets it back."""
        arena = self.arena
        if seconds > 0:
            arena.clock.freeze(seconds)
        else:
            arena.clock.set_back(-seconds)
        arena.model.skew += seconds
        arena.end_step(now)

    @rule(dice=st.sampled_from([0.0, 0.5, 1 - EPSILON]))
    def throw(self, dice):
        """Jitter and backoff draw this from now on."""
        arena = self.arena
        arena.model.dice = dice
        arena.end_step(arena.settled)

    # -- event loops -----------------------------------------------------------------------------------------------

    @rule(which=LANES, callers_first=st.booleans())
    def end_loop(self, which, callers_first):
        """A loop ends as `asyncio.run` ends it, and another takes its place."""
        arena = self.arena
        arena.settle()
        arena.end_loop(which, callers_first=callers_first)
        arena.end_step(True)

    @rule(which=LANES)
    def lose_loop(self, which):
        """A loop is closed in the middle of everything, and another takes its place."""
        arena = self.arena
        arena.settle()
        arena.lose_loop(which)
        arena.end_step(True)
