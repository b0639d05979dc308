"""A reference model of freshness: what each caller gets and which calls are made.

| the answer is | the caller gets | what else happens |
|---|---|---|
| fresh | it, at once | nothing |
| stale | it, at once | one refresh in the background |
| fallback | the new one, or the old one if that fails or takes over soft_timeout | the refresh goes on |
| absent | the new one, or the error | the error stays for negative_ttl, or for the backoff |

No call is made before the backoff ends, or faster than the rate limit (`rate_limiter_model`). The model has no tasks,
locks or clock: time, random numbers and the order of steps come from outside. A loop is a number, and its queue holds
what the event loop runs next.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from typing import Any

from tests.properties.model_values import (
    LONG_AGO,
    TIMEOUT,
    Answer,
    Caller,
    Entry,
    Error,
    Flight,
    RateLimitWait,
    Result,
    Timer,
    round_up,
)
from tests.properties.rate_limiter_model import RateLimiter, backoff

from aiocloudmap import (
    CachePolicy,
    ConfigurationError,
    DeadlineError,
    Freshness,
    NotFoundError,
    Query,
    ThrottledError,
    UnavailableError,
)


def is_error(result: Result, *kinds: Error) -> bool:
    """Whether a call ended in one of these errors."""
    return isinstance(result, type) and issubclass(result, kinds)


class Model:
    """All entries, flights and callers of one engine."""

    def __init__(self, now: float, ceiling: float) -> None:
        self.now = now
        self.rate_limiter = RateLimiter(ceiling)
        self.random = 0.0
        self.skew = self.noticed_skew = 0.0
        """How far the wall clock is ahead, and how much of that the engine has noticed."""
        self.entries: dict[tuple[Query, CachePolicy], Entry] = {}
        self.flights: dict[tuple[int, Query], Flight] = {}
        self.queues: defaultdict[int, deque[tuple[Any, ...]]] = defaultdict(deque)
        self.timers: list[Timer] = []
        self.events: list[tuple[Any, ...]] = []
        self.misses = self.coalesced = self.failures = self.throttled = 0
        self._order = itertools.count()

    # -- actions ---------------------------------------------------------------------------------------------------

    def ask(self, caller: Caller) -> None:
        """Add a caller."""
        self.queues[caller.loop].append((self._arrive, caller))

    def cancel(self, caller: Caller) -> None:
        """Cancel a caller. It gets no result any longer, and leaves when its loop runs."""
        caller.cancelled = True
        if caller.outcome is not None:  # resolved, but its task has not run yet
            caller.outcome = "cancelled"
        elif not caller.resolved and caller.asked > LONG_AGO:
            self.queues[caller.loop].append((self._leave_cancelled, caller))
        caller.resolved = True

    def answer(self, flight: Flight, result: Result) -> None:
        """Let the backend answer a call."""
        self.queues[flight.loop].append((self._complete, flight, result))

    def run(self, loop: int) -> None:
        """Run everything that the loop has queued."""
        while queue := self.queues.pop(loop, None):  # one turn; steps queued meanwhile run in the next one
            for step, *arguments in queue:
                step(*arguments)

    def pass_time(self, seconds: float) -> None:
        """Let time pass. Timers fire in order, each at its own time."""
        end = self.now + seconds
        while due := sorted((t for t in self.timers if t.live and t.due <= end), key=lambda t: (t.due, t.order)):
            timer = due[0]
            self.timers = [t for t in self.timers if t.live and t is not timer]
            self.now = max(self.now, timer.due)
            if isinstance(timer.of, Flight):
                self._complete(timer.of, DeadlineError)
            elif isinstance(timer.of, RateLimitWait):
                self.queues[timer.of.loop].append((self._end_wait, timer.of.flight))
            else:
                timer.of.resolved = True
                self.queues[timer.of.loop].append((self._time_out, timer.of))
        self.now = end

    def invalidate(self, *, query: Query | None = None, service: object = None) -> int:
        """Expire answers, and stop calls under way from writing."""

        def meant(other: Query) -> bool:
            return (query is None or other == query) and (service is None or other.service == service)

        entries = [entry for entry in self.entries.values() if meant(entry.query)]
        known = sum(entry.usable(self.now) is not None for entry in entries)
        for entry in entries:
            entry.expire()
        for flight in self.flights.values():
            flight.invalidated |= meant(flight.query)
        return known

    def clear(self) -> int:
        """Forget everything."""
        known = self.entry_count
        for entry in self.entries.values():
            entry.expire()
            entry.stored, entry.hard, entry.written = False, LONG_AGO, LONG_AGO
        self.entries.clear()
        for flight in self.flights.values():
            flight.invalidated = True
        return known

    def abandon_loop(self, loop: int) -> None:
        """Close a loop with everything under way: its callers get no result, and its calls do not count."""
        self.queues.pop(loop, None)
        self.flights = {key: flight for key, flight in self.flights.items() if key[0] != loop}
        self.timers = [timer for timer in self.timers if timer.of.loop != loop]

    def end_loop(self, loop: int, callers: list[Caller], *, callers_first: bool) -> None:
        """Cancel all tasks of a loop, and close it."""
        flights = [flight for key, flight in self.flights.items() if key[0] == loop]
        for caller in callers:
            caller.resolved = caller.cancelled = True
        steps: list[tuple[Any, ...]] = [(self._leave_cancelled, caller) for caller in callers]
        aborts: list[tuple[Any, ...]] = [(self._abort, flight) for flight in flights]
        self.queues[loop].extend(steps + aborts if callers_first else aborts + steps)
        self.run(loop)
        for flight in [flight for key, flight in self.flights.items() if key[0] == loop]:
            self._abort(flight)

    # -- callers ---------------------------------------------------------------------------------------------------

    def _arrive(self, caller: Caller) -> None:
        if caller.cancelled:
            caller.outcome = "cancelled"
            return
        caller.asked = self.now
        key = (caller.query, caller.policy)
        stored = self.entries.get(key)
        if caller.max_age is None and stored is not None and self.now < stored.serve_until:
            self._resolve(caller, stored.answer)
            return
        entry = caller.entry = self.entries.setdefault(key, caller.handle_entry or Entry(*key))
        entry.stored = True
        self._notice_jump()
        self._decide(caller, entry, entry.usable(self.now))

    def _decide(self, caller: Caller, entry: Entry, usable: Answer | None) -> None:
        now, state = self.now, entry.state(self.now)
        may_ask_at = max(entry.retry_at, self.rate_limiter.closed_until)
        at_once = state in (Freshness.FRESH, Freshness.STALE)
        strict = caller.max_age is not None and not (at_once and entry.is_young_enough(caller.max_age, now))
        if strict or usable is None:
            if now < (self.rate_limiter.closed_until if strict else may_ask_at):
                self._refuse(caller, entry)
            else:
                self._join(caller, entry)
        elif state is Freshness.FRESH and entry.empty_since == LONG_AGO:
            entry.serve_until = entry.soft
            self._resolve(caller, usable)
        elif now < may_ask_at:
            entry.serve_until = min(max(entry.retry_at, self.rate_limiter.retry_at(self.now, self.random)), entry.hard)
            self._resolve(caller, usable)
        elif entry.error is ConfigurationError or (entry.policy.inline and caller.max_age is not None):
            self._join(caller, entry)
        elif state is Freshness.FALLBACK or entry.policy.inline:
            self._join_until_soft_timeout(caller, entry, usable)
        else:
            flight = self._flight(caller.loop, entry, keep=True)
            entry.serve_until = min(now + TIMEOUT, max(entry.stale, entry.soft))
            self._resolve(caller, usable)
            self._start(flight)

    def _refuse(self, caller: Caller, entry: Entry) -> None:
        """Answer without a call while none may be made."""
        if caller.max_age is not None and entry.is_young_enough(caller.max_age, self.now):
            self._resolve(caller, entry.usable(self.now))
            return
        error = entry.error if self.now < entry.retry_at else None
        if caller.max_age is not None and is_error(error, NotFoundError):
            error = None  # the not-found is older than max_age allows
        self._resolve(caller, error or ThrottledError)

    def _join(self, caller: Caller, entry: Entry) -> None:
        flight = self._flight(caller.loop, entry, keep=not entry.policy.inline, fresh=caller.max_age is not None)
        flight.forced |= caller.max_age == 0
        self._wait(caller, flight, None if self._is_current(flight) else TIMEOUT)

    def _join_until_soft_timeout(self, caller: Caller, entry: Entry, usable: Answer) -> None:
        if entry.policy.inline and entry.policy.soft_timeout == 0:
            entry.serve_until = entry.hard
            self._resolve(caller, usable)
            return
        flight = self._flight(caller.loop, entry, keep=not entry.policy.inline)
        started_at = flight.started if flight.is_started else self.now
        max_wait = min(started_at + entry.policy.soft_timeout - self.now, TIMEOUT)
        if max_wait > 0:
            self._wait(caller, flight, max_wait)
        else:
            entry.serve_until = min(started_at + TIMEOUT, entry.hard)
            self._resolve(caller, usable)
            self._start(flight)

    def _wait(self, caller: Caller, flight: Flight, max_wait: float | None) -> None:
        self.misses += 1
        self.coalesced += flight.is_started or bool(flight.callers)
        flight.callers.append(caller)
        caller.flight = flight
        self._start(flight)
        if max_wait is not None:
            self.timers.append(Timer(self.now + max_wait, next(self._order), caller))

    def _time_out(self, caller: Caller) -> None:
        """End a caller's wait."""
        if caller.cancelled:
            self._leave_cancelled(caller)
            return
        flight, entry = caller.flight, caller.entry
        assert flight is not None
        assert entry is not None
        abandoned = self._leave(caller)
        usable = entry.usable(self.now) if entry.is_young_enough(caller.max_age, self.now) else None
        if abandoned:
            self.failures += 1
            if flight.may_write(entry):
                self._fail(entry, DeadlineError)
        elif usable is not None and caller.max_age is None and flight.may_write(entry) and not flight.completed:
            started_at = flight.started if flight.is_started else self.now
            entry.serve_until = min(started_at + TIMEOUT, entry.hard)
        self._resolve(caller, DeadlineError if usable is None else usable)

    def _leave_cancelled(self, caller: Caller) -> None:
        if caller.flight is not None:
            self._leave(caller)
        caller.outcome = "cancelled"

    def _resolve(self, caller: Caller, outcome: Answer | Error | None) -> None:
        assert outcome is not None
        caller.resolved, caller.outcome, caller.resolved_at = True, outcome, self.now
        caller.waits = frozenset({self.retry_after(caller)})

    def retry_after(self, caller: Caller) -> float | None:
        """Return the `retry_after` of an error raised now."""
        wait = max(caller.entry.retry_at if caller.entry else LONG_AGO, self.rate_limiter.closed_until) - self.now
        return wait if wait > 0 else None

    # -- rate limit ------------------------------------------------------------------------------------------------

    def _begin(self, flight: Flight) -> None:
        if flight.completed:
            return
        if (wait := flight.may_call_at - self.now) > 0:
            self.timers.append(Timer(self.now + round_up(wait), next(self._order), RateLimitWait(flight)))
        else:
            self._call(flight)

    def _end_wait(self, flight: Flight) -> None:
        if not flight.completed:
            flight.started = self.now
            self._call(flight)

    def _call(self, flight: Flight) -> None:
        if self.now < self.rate_limiter.throttled_until:
            self._complete(flight, ThrottledError)
        else:
            flight.called = True

    # -- flights ---------------------------------------------------------------------------------------------------

    def _is_current(self, flight: Flight) -> bool:
        return self.flights.get((flight.loop, flight.query)) is flight

    def _flight(self, loop: int, entry: Entry, *, keep: bool, fresh: bool = False) -> Flight:
        key = (loop, entry.query)
        flight = self.flights.get(key)
        if flight is None:
            flight = self.flights[key] = Flight(*key)
        elif flight.invalidated or (fresh and flight.called):
            flight.successor = flight = flight.successor or Flight(*key)
        if entry not in flight.entries:
            flight.entries.append(entry)
        flight.keep |= keep
        return flight

    def _start(self, flight: Flight) -> None:
        if not flight.is_started and not flight.completed and self._is_current(flight):
            flight.is_started, flight.started = True, self.now
            flight.may_call_at = self.now + (
                0.0 if self.now < self.rate_limiter.throttled_until else self.rate_limiter.take(self.now)
            )
            self.timers.append(Timer(self.now + TIMEOUT, next(self._order), flight))
            self.queues[flight.loop].append((self._begin, flight))

    def _leave(self, caller: Caller) -> bool:
        """Return whether the call ends with its last caller."""
        flight = caller.flight
        assert flight is not None
        flight.callers.remove(caller)
        if flight.callers or flight.keep or flight.completed:
            return False
        if not flight.is_started:
            current = self.flights[flight.loop, flight.query]
            current.successor = None
            return False
        self._complete(flight, None)
        return True

    def _abort(self, flight: Flight) -> None:
        self._complete(flight, None, aborted=True)

    def _remove(self, flight: Flight, *, aborted: bool) -> None:
        key = (flight.loop, flight.query)
        if self.flights.get(key) is not flight:
            return
        del self.flights[key]
        successor = flight.successor
        if successor is not None and aborted:
            self._complete(successor, None)
        elif successor is not None:
            self.flights[key] = successor
            self._start(successor)

    # -- results ---------------------------------------------------------------------------------------------------

    def _complete(self, flight: Flight, result: Result, *, aborted: bool = False) -> None:
        if flight.completed:
            return
        flight.completed = True
        self._notice_jump()
        if result is None or (is_error(result, ThrottledError) and not flight.called):  # no call was made
            result = result or UnavailableError
            results = {entry: entry.usable(self.now) or result for entry in flight.entries}
            for entry in flight.entries:
                entry.serve_until = entry.soft
        else:
            self._count(flight, result)
            results = {entry: self._settle(entry, flight, result) for entry in flight.entries}
        for caller in [caller for caller in flight.callers if not caller.resolved]:
            entry = caller.entry
            assert entry is not None
            if caller.max_age is None:
                self._resolve(caller, results[entry])
            elif not isinstance(result, Answer) and not is_error(result, NotFoundError, ConfigurationError):
                self._resolve(caller, entry.answer if entry.is_young_enough(caller.max_age, self.now) else result)
            else:
                self._resolve(caller, result)
        self._remove(flight, aborted=aborted)

    def _count(self, flight: Flight, result: Answer | Error) -> None:
        if isinstance(result, Answer):
            self.events.append(("Refreshed", flight.query, result.count, self.now - flight.started))
            if result.count >= 1000:
                self.events.append(("AnswerTruncated", flight.query, result.count))
        if isinstance(result, Answer) or is_error(result, NotFoundError):
            self.rate_limiter.succeed(flight.started, self.now)
            return
        self.failures += 1
        if is_error(result, ThrottledError):
            self.throttled += 1
            if (wait := self.rate_limiter.on_throttled(self.now, self.random)) is not None:
                self.events.append(("Throttled", wait))

    def _settle(self, entry: Entry, flight: Flight, result: Answer | Error) -> Answer | Error:
        """Write the result, and return what the waiters of this entry get."""
        nothing = is_error(result, NotFoundError) or (isinstance(result, Answer) and result.count == 0)
        if not flight.may_write(entry):
            final = isinstance(result, Answer) or is_error(result, NotFoundError, ConfigurationError)
            return result if final else entry.usable(self.now) or result
        if nothing and not flight.forced and entry.usable(self.now) and self.now < entry.hold_ends(self.now):
            return self._hold_empty(entry)
        if isinstance(result, Answer):
            entry.write(result, self.now - flight.frozen_time, flight.started, self.random)
        elif is_error(result, NotFoundError):
            entry.expire()
            entry.hard = LONG_AGO
            entry.error, entry.retry_at, entry.began = result, self.now + entry.policy.negative_ttl, flight.started
        elif is_error(result, ConfigurationError):
            entry.error, entry.retry_at, entry.serve_until = result, LONG_AGO, entry.soft
        else:
            self._fail(entry, result)
            return entry.usable(self.now) or result
        return result

    def _hold_empty(self, entry: Entry) -> Answer:
        usable, end = entry.usable(self.now), entry.hold_ends(self.now)
        assert usable is not None
        if entry.empty_since == LONG_AGO:
            entry.empty_since = self.now
        entry.error, entry.failures, entry.retry_at = None, 0, LONG_AGO
        entry.serve_until = min(end, self.now + entry.policy.negative_ttl)
        self.events.append(("EmptyAnswerHeld", entry.query, usable.count, end - self.now))
        return usable

    def _fail(self, entry: Entry, error: Error) -> None:
        entry.failures += 1
        wait = max(backoff(entry.failures, self.random), self.rate_limiter.throttled_until - self.now)
        entry.error, entry.retry_at = error, self.now + wait
        entry.serve_until = min(max(entry.retry_at, entry.soft), entry.hard)
        age = self.now - entry.written if entry.usable(self.now) else None
        self.events.append(("RefreshFailed", entry.query, error, entry.failures, age, wait))

    # -- clocks ----------------------------------------------------------------------------------------------------

    def _notice_jump(self) -> None:
        jump, self.noticed_skew = self.skew - self.noticed_skew, self.skew
        if jump <= 1:
            return
        for entry in self.entries.values():
            entry.shift(jump)
        self.rate_limiter.shift(jump)
        for flight in self.flights.values():
            flight.frozen_time += jump
        self.events.append(("ClockJumped", jump))

    # -- figures ---------------------------------------------------------------------------------------------------

    @property
    def entry_count(self) -> int:
        """The number of usable answers."""
        return sum(entry.usable(self.now) is not None for entry in self.entries.values())

    def boundaries(self) -> list[float]:
        """The future times at which something changes."""
        moments = {timer.due for timer in self.timers if timer.live}
        moments |= {self.rate_limiter.throttled_until, self.rate_limiter.closed_until, self.rate_limiter.next}
        for entry in self.entries.values():
            moments |= {entry.soft, entry.stale, entry.hard, entry.retry_at, entry.serve_until}
            moments.add(entry.empty_since + entry.policy.empty_hold_time)
        return sorted(moment for moment in moments if moment > self.now)
