"""How a question is answered if a hit cannot: look up, join or start a call, await it, write, report.

One resolver per engine serves both questions: for the instances of a service, and for a service's own attributes. AWS
limits the rates of its data plane and of its control plane separately, so each has its rate limiter.

Decisions (`aiocloudmap.cache.lookup`) and writes (`aiocloudmap.cache.update`) are synchronous, under the lock held
here. Awaiting and reporting happen outside of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator
from math import inf
from typing import Final

from aiocloudmap.cache.entry import Entry
from aiocloudmap.cache.lookup import Lookup, error_for_caller, explain
from aiocloudmap.cache.memory_store import MemoryStore
from aiocloudmap.cache.rate_limiter import Rate, RateLimiter
from aiocloudmap.cache.singleflight import Call, Outcome, SingleFlight, Waiter
from aiocloudmap.cache.update import Update, may_write, outcome_for_max_age, result_or_old
from aiocloudmap.errors import CloudMapError, ConfigurationError, DeadlineError, ThrottledError, UnavailableError
from aiocloudmap.model.answer import Answer, Question, ServiceAttributes, Snapshot
from aiocloudmap.model.events import ClockJumped, Event
from aiocloudmap.model.instance import Discovery
from aiocloudmap.model.interfaces import (
    FREEZE_THRESHOLD,
    AttributesBackend,
    Backend,
    Clock,
    Deadline,
    pause,
    running_loop,
)
from aiocloudmap.model.policy import CachePolicy
from aiocloudmap.model.query import AttributesQuery, Query
from aiocloudmap.model.stats import Counts, Explanation
from aiocloudmap.model.validation import check_max_age, safe_repr

__all__ = ["Resolver"]


class Resolver:
    """Answers from memory if it can, and from the backend if it must.

    Args:
        make_backend: Returns the backend. Awaited on the first miss, since making it may be expensive.
        backend: The backend, if it has been made.
        clock: The source of time.
        timeout: Seconds that one call may take.
        data_plane: The rate of questions for instances.
        control_plane: The rate of questions for the attributes of services.
        emit: Called with each event, outside of the lock.
        listeners: While there are none, and debug messages are off, a success makes no event.
    """

    def __init__(
        self,
        make_backend: Callable[[], Awaitable[Backend]],
        *,
        backend: Backend | None = None,
        clock: Clock,
        timeout: float,
        data_plane: Rate,
        control_plane: Rate,
        emit: Callable[[Event], None],
        listeners: Collection[object] = (),
    ) -> None:
        self.clock: Final = clock
        self.counts: Final = Counts()
        self._make_backend = make_backend
        self._backend = backend
        self._timeout: Final = timeout
        self._emit = emit
        self._clock_difference = clock.time() - clock.monotonic()
        # A call that has queued for half of its time has the other half left.
        self._limiters: Final = tuple(
            RateLimiter(rate, max_queue_time=timeout / 2) for rate in (data_plane, control_plane)
        )
        self._store = MemoryStore()
        self._calls = SingleFlight(self.counts, timeout)
        self._cancelled: set[asyncio.Task[None]] = set()
        self._is_shut_down = False
        self._lookup = Lookup(self._calls, self.counts, timeout)
        self._update = Update(self._store, self.counts, listeners)
        # Reentrant, because a signal handler may call anything in the middle of a change on the same thread.
        self._lock = threading.RLock()
        self._changes = 0
        self._deferred: list[Callable[[], None]] = []

    # --- entries ---

    def find(self, query: Question, policy: CachePolicy) -> Entry:
        """The listed entry, or an empty one that the next miss will list."""
        with self._lock:
            return self._store.find(query, policy) or Entry(query, policy)

    def list_entry(self, entry: Entry) -> Entry:
        """List the entry, and return it; or return the one that is listed for the same question and policy."""
        with self._change():
            # After shut_down, another thread's caller may still come. Nothing would end an answer written for it.
            return entry if self._is_shut_down else self._store.list_entry(entry)

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        """Surrounds every change. A change that a signal handler asks for in the middle of it waits in `_deferred`."""
        with self._lock:
            self._changes += 1
            try:
                yield
            finally:
                while True:
                    while self._changes == 1 and self._deferred:
                        self._deferred.pop(0)()
                    self._changes -= 1
                    if self._changes or not self._deferred:
                        break
                    self._changes += 1  # a signal arrived after the last look

    def _change_all(self, change: Callable[[], None]) -> None:
        """Make a change now, or after the one that this thread is in the middle of."""
        with self._lock:
            if self._changes:
                self._deferred.append(change)
            else:
                with self._change():
                    change()

    # --- a miss, from top to bottom ---

    async def resolve(self, entry: Entry, max_age: float | None = None) -> Answer:
        """The answer, by the table of `aiocloudmap.cache.lookup`.

        Args:
            entry: Listed by `list_entry`.
            max_age: Seconds. Nothing older is returned; 0 forces a call.

        Raises:
            CloudMapError: There is no answer to return.
            ConfigurationError: No asyncio event loop is running, or the backend cannot be made.
        """
        if max_age is not None:
            check_max_age(max_age)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            running_loop(entry.query.service)
        if self._backend is None:
            # Before any deadline starts: importing the AWS libraries takes seconds in a small sandbox.
            self._backend = await self._make_backend()
            entry = self.list_entry(entry)  # another caller may have evicted it
        self.check_clock()
        limiter = self._limiter(entry.query)
        with self._change():
            answer, call, waiter = self._lookup.decide(entry, max_age, self.clock.monotonic(), limiter)
        if call is not None:
            self._start(call)
        if waiter is None:
            assert answer is not None
            return answer
        try:
            # Without a time-out there is no coroutine in between: thousands of callers may wait here.
            outcome = await (waiter.future if waiter.timeout is None else waiter.outcome_in_time(self.clock))
        except asyncio.CancelledError:
            if (task := self._leave(waiter)) is not None:
                await asyncio.wait({task})
            raise
        if outcome is None:
            outcome = await self._time_out(waiter)
        if isinstance(outcome, CloudMapError):
            raise error_for_caller(outcome, entry, self.clock.monotonic(), limiter)
        return outcome

    def _start(self, call: Call) -> None:
        """Start the call, unless it has started or has to wait for another one to end."""
        if call.task is not None or call.done or not call.is_current:
            return
        call.started = call.turn_at = now = self.clock.monotonic()
        limiter = self._limiter(call.query)
        with self._lock:
            if now >= limiter.throttled_until:
                call.turn_at += limiter.reserve(now)
        call.timer = Deadline(self.clock, self._timeout, lambda: self._expire(call))
        service = call.query.service
        name = f"aiocloudmap {service.namespace}/{service.service}"
        # An empty context, since the call is shared and must not inherit the request that happened to cause it.
        context = contextvars.Context()
        # A plain Task, whatever task factory the program has set.
        call.task = asyncio.Task(self._run(call), loop=call.loop, name=name, context=context)
        # A task that is cancelled before its first step never enters `_run`.
        call.task.add_done_callback(lambda _: self._complete(call, None, loop_is_ending=True), context=context)

    async def _run(self, call: Call) -> None:
        """The call, in a task of its own."""
        outcome: Outcome = None
        try:
            await self._await_turn(call)
            call.began = True
            outcome = await self._ask_backend(call)
        except CloudMapError as error:
            # It may be remembered, and its traceback would keep this frame, the call and its waiters.
            outcome = error.with_traceback(None)
        except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a backend raises, no caller may wait for ever
            outcome = UnavailableError(f"the backend failed with {type(error).__name__}")
            outcome.__cause__ = error
        finally:
            self._complete(call, outcome, loop_is_ending=outcome is None)
            call.task = None  # a cancelled task keeps this frame, and so the call

    async def _await_turn(self, call: Call) -> None:
        limiter, now = self._limiter(call.query), self.clock.monotonic()
        if call.turn_at > now:
            await pause(self.clock, call.turn_at - now)
            call.started = now = self.clock.monotonic()
        if now < limiter.throttled_until:
            raise limiter.refusal()

    async def _ask_backend(self, call: Call) -> Answer:
        with self._lock:
            self.counts.refreshes += 1
        query, backend, clock = call.query, self._backend, self.clock
        assert backend is not None
        if isinstance(query, Query):
            found = await backend.discover(query)
            self.check_clock()
            if not isinstance(found, Discovery) or not 0 <= found.age < inf:
                raise UnavailableError(f"invalid answer of the backend: expected a Discovery, not {safe_repr(found)}")
            call.age += found.age
            instances, revision = found.instances, found.revision
            return Snapshot(query.service, instances, revision=revision, clock=clock, elapsed=call.age)
        if not isinstance(backend, AttributesBackend):
            raise ConfigurationError(
                f"a backend of type {type(backend).__name__} has no attributes of services",
                advice="Give it a service_attributes method, as described in aiocloudmap.AttributesBackend.",
            )
        attributes = await backend.service_attributes(query)
        self.check_clock()
        return ServiceAttributes(query.service, attributes, clock=clock, elapsed=call.age)

    def _complete(self, call: Call, outcome: Outcome, *, loop_is_ending: bool = False) -> None:
        """Write the outcome, wake the waiters, start the successor, and report."""
        if call.done:
            return
        call.done = True
        if call.timer is not None:
            call.timer.cancel()
        outcomes: dict[Waiter, Outcome] = {}
        events: list[Event] = []
        try:
            outcomes, events = self._write(call, outcome)
        finally:
            successor = self._calls.complete(call, outcomes)
            if successor is not None and loop_is_ending:
                # The loop may be cancelling its tasks: a new one would be destroyed while it is pending.
                self._complete(successor, None)
            elif successor is not None:
                self._start(successor)
        self._report(events)

    def _write(self, call: Call, outcome: Outcome) -> tuple[dict[Waiter, Outcome], list[Event]]:
        """Write the outcome. Returns what each waiter gets, and the events to report."""
        jumps: list[Event] = []
        # For an answer, `_ask_backend` has checked the clock.
        if isinstance(outcome, CloudMapError | None) and (jump := self._notice_clock_jump()) is not None:
            jumps.append(jump)
        with self._change():
            now = self.clock.monotonic()
            result = UnavailableError("the call was cancelled before it was answered") if outcome is None else outcome
            if isinstance(result, CloudMapError) and result.service is None:
                result = result.again(service=str(call.query.service))
            events: list[Event] = []
            # A call that gave up its turn under a throttle has not asked AWS, so it says nothing about the question.
            if outcome is None or (isinstance(result, ThrottledError) and not call.began):
                results = {entry: result_or_old(result, entry, now) for entry in call.entries}
                for entry in call.entries:
                    entry.serve_while_fresh()
            else:
                results, events = self._update.apply(call, result, now, self._limiter(call.query))
            outcomes: dict[Waiter, Outcome] = {}
            for waiter in call.waiters:
                is_bounded = waiter.max_age is not None
                outcomes[waiter] = outcome_for_max_age(result, waiter, now) if is_bounded else results[waiter.entry]
        return outcomes, jumps + events

    # --- waits and calls that end early ---

    def _leave(self, waiter: Waiter) -> asyncio.Task[None] | None:
        """A caller stops waiting. Returns the task of a call that is no longer needed: it is cancelled, await it."""
        call = self._calls.leave(waiter)
        if call is None or call.task is None:
            return None
        task = call.task
        self._complete(call, None)
        self._cancel(task)
        return task

    def _cancel(self, task: asyncio.Task[None]) -> None:
        """Cancel the task, and keep it until it has ended: an event loop refers to it only weakly."""
        self._cancelled.add(task)
        task.add_done_callback(self._cancelled.discard)
        task.cancel()

    def _expire(self, call: Call) -> None:
        """The call has reached its deadline: wake its waiters now, however long the call takes to end."""
        if call.done:
            return
        task = call.task
        self._complete(call, self._deadline_error(call, self._timeout, "raise ConnectionPolicy(discovery_timeout=...)"))
        if task is not None:
            self._cancel(task)

    def _deadline_error(self, call: Call, timeout: float, alternative: str) -> DeadlineError:
        """The error for a call that takes too long, with what its backend is waiting for, if it says so."""
        waiting_for = getattr(self._backend, "waiting_for", None) if call.began else None
        reason = waiting_for(keep=call.keep) if waiting_for is not None else ""
        what, check = f"no answer within {timeout:g} s", "what it waits for" if reason else "the network path to AWS"
        return DeadlineError(f"{what}: {reason}" if reason else what, advice=f"Check {check}, or {alternative}.")

    async def _time_out(self, waiter: Waiter) -> Answer | CloudMapError:
        """The caller has waited long enough: the old answer if it may be served, else a DeadlineError."""
        events: list[Event] = []
        entry, call, max_age = waiter.entry, waiter.call, waiter.max_age
        error = self._deadline_error(call, waiter.timeout or 0.0, "ask again later")
        outcome: Answer | CloudMapError = error
        task = self._leave(waiter)
        with self._change():
            now = self.clock.monotonic()
            answer = entry.usable(now)
            if answer is not None and (max_age is None or entry.is_young(max_age, now)):
                outcome = answer
            is_newest = may_write(call, entry)
            if task is not None:  # inline, and no other caller waits: the call is cancelled, and counts as failed
                self.counts.failures += 1
                if is_newest:
                    self._update.write_failure(entry, error, now, self._limiter(entry.query), events)
            elif outcome is not error:
                self.counts.stale_served += 1
                if is_newest and max_age is None and not call.done:
                    started = call.started if call.task is not None else now
                    entry.serve_until = min(started + self._timeout, entry.hard)
        self._report(events)
        if task is not None:
            await asyncio.wait({task})
        return outcome

    # --- all entries at once ---

    def invalidate(self, matches: Callable[[Question], bool]) -> int:
        """Expire the answers to these questions. Returns how many could have been served."""

        def expire() -> None:
            for entry in self._store.entries():
                if matches(entry.query):
                    entry.expire()
            self._calls.invalidate(matches)

        with self._lock:
            usable = self._store.count_usable(self.clock.monotonic(), matches)
            self._change_all(expire)
            return usable

    def clear(self) -> int:
        """Forget every answer. Returns how many could have been served."""

        def forget() -> None:
            self._store.clear()
            self._calls.invalidate(lambda _: True)

        with self._lock:
            usable = self.usable_entries
            self._change_all(forget)
            return usable

    async def wait_for_calls(self) -> bool:
        """Wait for the calls in flight on the running loop. Returns whether there were any."""
        loop, waited = asyncio.get_running_loop(), False
        while tasks := [call.task for call in self._calls.calls() if call.loop is loop and call.task is not None]:
            await asyncio.wait(tasks)
            waited = True
        return waited

    def shut_down(self) -> None:
        """Before another resolver takes over: forget every answer, and cancel each call in flight, on its own loop."""
        with self._lock:
            self._is_shut_down = True
            self.clear()
        for call in self._calls.calls():
            # Read once: on another thread, the call may end at any moment.
            if (task := call.task) is not None:
                # A closed loop has nothing in flight.
                with contextlib.suppress(RuntimeError):
                    call.loop.call_soon_threadsafe(task.cancel)

    def check_clock(self) -> None:
        """Notice time that the clock did not count: the process was frozen, or the wall clock was set forward.

        Every answer then counts as that much older.
        """
        if (jump := self._notice_clock_jump()) is not None:
            self._emit(jump)

    def _notice_clock_jump(self) -> ClockJumped | None:
        with self._lock:
            difference = self.clock.time() - self.clock.monotonic()
            unseen, self._clock_difference = difference - self._clock_difference, difference
            if unseen <= FREEZE_THRESHOLD:
                return None
            self._change_all(lambda: self._add_age(unseen))
        return ClockJumped(unseen)

    def _add_age(self, seconds: float) -> None:
        for entry in self._store.entries():
            entry.add_age(seconds)
        for limiter in self._limiters:
            limiter.add_age(seconds)
        for call in self._calls.calls():
            call.age += seconds

    def forget_after_fork(self) -> None:
        """In the child: the calls in flight are the parent's, and its lock may be held."""
        self._lock = threading.RLock()
        self._changes, self._deferred = 0, []
        self._calls.forget()
        self._cancelled.clear()
        for entry in self._store.entries():
            entry.serve_while_fresh()

    @property
    def usable_entries(self) -> int:
        """How many answers could be served now."""
        with self._lock:
            return self._store.count_usable(self.clock.monotonic())

    def explain(self, entry: Entry) -> Explanation:
        """The state of the entry's answer at this moment."""
        with self._lock:
            in_flight = self._calls.in_flight(entry.query)
            return explain(entry, self.clock.monotonic(), self._limiter(entry.query), in_flight=in_flight)

    def _limiter(self, query: Question) -> RateLimiter:
        return self._limiters[isinstance(query, AttributesQuery)]

    def _report(self, events: list[Event]) -> None:
        for event in events:
            self._emit(event)
