"""A state machine that does everything at once to a resolver and compares it with the model after every step.

All numbers are sums of powers of two, so that times can be compared exactly and boundaries can be hit exactly.
"""

from __future__ import annotations

import sys

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.properties.controlled_backend import CALL_ENDS
from tests.properties.harness import Harness

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
LOOPS = st.integers(0, 1)
HANDLES = st.integers(0, 3)
ANY = st.integers(0, 63)
COUNTS = st.integers(1, 3)
TIMES = st.sampled_from([3, 4, 2, 1])
WHAT = st.sampled_from(["resolve", "resolve", "resolve", "pick", "attribute", "default"])
MAX_AGES = st.sampled_from([None, None, None, 0.0, 0.0, 1.0, 6.0, 40.0, 1000.0])
ENDS = st.sampled_from(["answer"] * 12 + ["server_error", "throttle", "misconfigured"] * 2 + list(CALL_ENDS))
SETTLE = st.sampled_from([True, True, False])


class ResolverMachine(RuleBasedStateMachine):
    """Callers, cancellations, invalidations, faults, time and ending event loops against one CloudMap."""

    steps = 0
    """The steps of all runs in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.harness: Harness | None = None

    @initialize(one=POLICIES, two=POLICIES, ceiling=CEILINGS)
    def begin(self, one: CachePolicy, two: CachePolicy, ceiling: float) -> None:
        """Use random policies in every run."""
        self.harness = Harness(one, two, ceiling)

    def teardown(self) -> None:
        """Complete everything under way, and check that nothing is left behind."""
        if self.harness is None:
            return
        try:
            if sys.exc_info()[0] is None:
                self.harness.finish()
                ResolverMachine.steps += self.harness.backend.step
        finally:
            self.harness.close()

    @invariant()
    def check(self) -> None:
        """Compare the resolver with the model."""
        if self.harness is not None:
            self.harness.check()

    # -- callers ---------------------------------------------------------------------------------------------------

    @rule(loop=LOOPS, handle=HANDLES, what=WHAT, max_age=MAX_AGES, count=COUNTS, new=st.booleans(), settle=SETTLE)
    def ask(self, loop, handle, what, max_age, count, new, settle):
        """Callers come, with a kept or a new handle."""
        harness = self.harness
        for _ in range(count):
            harness.ask(harness.loops[loop], handle, what, max_age if what == "resolve" else None, new=new)
        harness.end_step(settle)

    @rule(loop=LOOPS, handle=HANDLES, max_age=MAX_AGES, end=ENDS)
    def ask_and_release(self, loop, handle, max_age, end):
        """A caller comes, and the call under way for its query ends."""
        harness = self.harness
        harness.ask(harness.loops[loop], handle, "resolve", max_age, new=False)
        harness.settle()
        key = harness.loops[loop].number, harness.handles[handle].query
        if key in harness.backend.open:
            harness.release(harness.backend.open[key], end)
        harness.end_step(True)

    @rule(loop=LOOPS, handle=HANDLES, off=st.sampled_from([0.0, 0.0, -EPSILON, EPSILON]), end=ENDS)
    def refresh(self, loop, handle, off, end):
        """A caller comes as soon as it may cause a call, so that series of failures and holds grow long."""
        harness = self.harness
        harness.settle()
        known = harness.model.entries.get((harness.handles[handle].query, harness.policies[handle]))
        if known is not None:
            again = max(known.serve_until, known.retry_at, harness.model.rate_limiter.closed_until)
            harness.tick(max(0.0, again + off - harness.model.now))
        self.ask_and_release(loop, handle, None, end)

    @rule(loop=LOOPS, handle=HANDLES, before=st.sampled_from([1, 2]), left=st.sampled_from([None, 0, 0]), times=TIMES)
    def empty_service(self, loop, handle, before, left, times):
        """A service has instances, and then none several times in a row."""
        harness = self.harness
        name = harness.arguments[handle]["name"]
        harness.backend.populate(name, before)
        self.refresh(loop, handle, 0.0, "answer")
        harness.backend.populate(name, left)
        for _ in range(times):
            self.check()
            self.refresh(loop, handle, 0.0, "answer")

    @rule(handle=HANDLES, first=LOOPS, between=st.sampled_from([0.0, EPSILON, 1.0]), ends=st.tuples(ENDS, ENDS))
    def overtake(self, handle, first, between, ends):
        """Two loops ask, and the later call is answered first."""
        harness = self.harness
        harness.settle()
        for loop in (harness.loops[first], harness.loops[1 - first]):
            harness.ask(loop, handle, "resolve", 0.0, new=False)
            harness.settle()
            harness.tick(between)
        for loop, end in zip((harness.loops[1 - first], harness.loops[first]), ends, strict=True):
            call = harness.backend.open.get((loop.number, harness.handles[handle].query))
            if call is not None:
                harness.release(call, end)
            harness.settle()
        harness.end_step(True)

    @rule(loop=LOOPS, handle=HANDLES, between=st.sampled_from([0.5, EPSILON, 3.0]), max_age=MAX_AGES)
    def join(self, loop, handle, between, max_age):
        """Two callers wait for the same call, one after the other, until a time limit."""
        harness = self.harness
        for age in (None, max_age):
            harness.ask(harness.loops[loop], handle, "resolve", age, new=False)
            harness.settle()
            harness.tick(between)
            harness.settle()
        self.check()
        self.reach(0, 0.0, settle=True)

    @rule(loop=LOOPS, handles=st.lists(HANDLES, min_size=1, max_size=4, unique=True), required=st.booleans())
    def prefetch(self, loop, handles, required):
        """Prefetch several services."""
        harness = self.harness
        harness.settle()
        harness.prefetch(harness.loops[loop], handles, required=required)
        harness.end_step(True)

    @rule(which=ANY, settle=SETTLE)
    def cancel(self, which, settle):
        """A caller is cancelled while it waits, or before it has begun."""
        harness = self.harness
        waiting = [
            running for running in harness.caller_tasks if not running.caller.cancelled and not running.task.done()
        ]
        if waiting:
            running = waiting[which % len(waiting)]
            running.task.cancel()
            harness.model.cancel(running.caller)
        harness.end_step(settle)

    @rule(which=ANY)
    def cancel_prefetch(self, which):
        """A prefetch is cancelled with everything it asked for."""
        harness = self.harness
        harness.settle()
        if harness.prefetches:
            task, _, members = harness.prefetches[which % len(harness.prefetches)]
            task.cancel()
            for caller in members:
                if caller.outcome is None:
                    harness.model.cancel(caller)
        harness.end_step(True)

    # -- backend --------------------------------------------------------------------------------------------------

    @rule(which=ANY, end=ENDS, settle=SETTLE)
    def release(self, which, end, settle):
        """Any call under way ends, in any order."""
        harness = self.harness
        calls = [call for call in harness.backend.open.values() if not call.gate.done()]
        if calls:
            harness.release(calls[which % len(calls)], end)
        harness.end_step(settle)

    @rule(service=st.sampled_from(SERVICES), count=st.sampled_from([None, 0, 0, 1, 2, 3]))
    def populate(self, service, count):
        """The world changes. Calls under way keep the old answer."""
        harness = self.harness
        harness.backend.populate(service, count)
        harness.end_step(harness.settled)

    # -- memory ----------------------------------------------------------------------------------------------------

    @rule(handle=st.none() | HANDLES, by=st.sampled_from(["handle", "name"]), settle=SETTLE)
    def invalidate(self, handle, by, settle):
        """One query, one service, or everything expires."""
        harness = self.harness
        harness.backend.step += 1
        if handle is None:
            assert harness.model.invalidate() == harness.cloud_map.invalidate()
            meant = {handle.query for handle in harness.handles}
        elif by == "handle":
            query = harness.handles[handle].query
            harness.handles[handle].invalidate()
            harness.model.invalidate(query=query)
            meant = {query}
        else:
            name = harness.handles[handle].name
            assert harness.model.invalidate(service=name) == harness.cloud_map.invalidate(name)
            meant = {handle.query for handle in harness.handles if handle.name == name}
        harness.valid_from.update(dict.fromkeys(meant, harness.backend.step))
        harness.end_step(settle)

    @rule(settle=SETTLE)
    def clear(self, settle):
        """Everything is forgotten."""
        harness = self.harness
        harness.backend.step += 1
        assert harness.model.clear() == harness.cloud_map.clear()
        for handle in harness.handles:
            handle.peek()  # makes the handle drop its removed entry
        harness.valid_from = {handle.query: harness.backend.step for handle in harness.handles}
        harness.peeked.clear()
        harness.end_step(settle)

    # -- time ------------------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 9), off=st.sampled_from([0.0, 0.0, -EPSILON, EPSILON]), settle=SETTLE)
    def reach(self, which, off, settle):
        """Time passes to just before, at, or just after one of the next boundaries."""
        harness = self.harness
        if ahead := harness.model.boundaries():
            harness.tick(max(0.0, ahead[min(which, len(ahead) - 1)] + off - harness.model.now))
        harness.end_step(settle)

    @rule(seconds=st.sampled_from([0.125, 0.5, 1.0, 4.0, 30.0]), settle=SETTLE)
    def wait(self, seconds, settle):
        """Time passes at once, while the loops do not run."""
        harness = self.harness
        harness.tick(seconds)
        harness.end_step(settle)

    @rule(seconds=st.sampled_from([1.0, 1.0 + EPSILON, 3.0, 20.0, -7.0]), settle=SETTLE)
    def jump(self, seconds, settle):
        """Only the wall clock moves: a freeze, or a clock that is set back."""
        harness = self.harness
        if seconds > 0:
            harness.clock.freeze(seconds)
        else:
            harness.clock.set_back(-seconds)
        harness.model.skew += seconds
        harness.end_step(settle)

    @rule(random=st.sampled_from([0.0, 0.5, 1 - EPSILON]))
    def set_random(self, random):
        """Set the random number for jitter and backoff."""
        harness = self.harness
        harness.model.random = random
        harness.end_step(harness.settled)

    # -- event loops -----------------------------------------------------------------------------------------------

    @rule(which=LOOPS, callers_first=st.booleans())
    def end_loop(self, which, callers_first):
        """A loop ends as `asyncio.run` ends it, and another one replaces it."""
        harness = self.harness
        harness.settle()
        harness.end_loop(which, callers_first=callers_first)
        harness.end_step(True)

    @rule(which=LOOPS)
    def abandon_loop(self, which):
        """A loop is closed with everything under way, and another one replaces it."""
        harness = self.harness
        harness.settle()
        harness.abandon_loop(which)
        harness.end_step(True)
