"""The read side: what a caller gets if a hit cannot answer. Synchronous, under the resolver's lock.

| the answer is | the caller gets | what else happens |
|---|---|---|
| fresh | the answer | |
| stale | the answer | one refresh in the background |
| fallback | the new answer; the old one if the call fails or exceeds soft_timeout | the call goes on, unless inline |
| absent | the new answer, or the error | the error is repeated for negative_ttl, or until the backoff ends |

A caller with a max_age gets nothing older, and does not join a call that began before it asked.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from aiocloudmap.cache.entry import LONG_AGO, Entry
from aiocloudmap.cache.freshness import stale_until, state
from aiocloudmap.cache.rate_limiter import RateLimiter
from aiocloudmap.cache.singleflight import Call, SingleFlight, Waiter
from aiocloudmap.errors import CloudMapError, ConfigurationError, NotFoundError, UnavailableError
from aiocloudmap.model.answer import Answer
from aiocloudmap.model.query import Query
from aiocloudmap.model.stats import Counts, Explanation, Freshness

__all__ = ["Decision", "Lookup", "error_for_caller", "explain"]

_SERVED_AT_ONCE: Final = (Freshness.FRESH, Freshness.STALE)


class Decision(NamedTuple):
    """What to do for a caller: start `call`, then return `answer` or await `waiter`."""

    answer: Answer | None = None
    call: Call | None = None
    waiter: Waiter | None = None


class Lookup:
    """Decides what each caller gets, and joins those who have to wait to a call.

    Args:
        calls: The calls in flight.
        counts: Counts callers.
        timeout: Seconds that one call may take.
    """

    def __init__(self, calls: SingleFlight, counts: Counts, timeout: float) -> None:
        self._calls: Final = calls
        self._counts: Final = counts
        self._timeout: Final = timeout

    def decide(  # noqa: PLR0911 - one return per row of the table
        self, entry: Entry, max_age: float | None, now: float, limiter: RateLimiter
    ) -> Decision:
        """What to do for a caller of a listed entry.

        Raises:
            CloudMapError: There is no answer to serve, and no call is to be made now.
        """
        freshness, blocked_until = state(entry, now), limiter.blocked_until
        if max_age is not None and not (entry.is_young(max_age, now) and freshness in _SERVED_AT_ONCE):
            if now < blocked_until:
                return self._refuse(entry, max_age, now, limiter)
            return self._await_call(entry, max_age)
        answer = None if freshness is Freshness.ABSENT else entry.answer
        blocked_until = max(entry.failures.retry_at, blocked_until)
        if answer is None:
            if now < blocked_until:
                return self._refuse(entry, max_age, now, limiter)
            return self._await_call(entry)
        if freshness is Freshness.FRESH and entry.failures.empty_since == LONG_AGO:
            entry.serve_while_fresh()
            return Decision(answer)
        if now < blocked_until:
            retry_at = max(entry.failures.retry_at, limiter.retry_at(now))
            return self._serve_old(entry, answer, until=min(retry_at, entry.hard))
        if isinstance(entry.failures.error, ConfigurationError) or (max_age is not None and entry.inline):
            # No old answer hides a wrong setting. And inline, where the caller would wait for the refresh, an answer
            # that is young enough now may be too old by the end of the wait.
            return self._await_call(entry, max_age)
        if freshness is Freshness.FALLBACK or entry.inline:
            return self._await_call_or_serve_old(entry, answer, now)
        call = self._calls.join(entry, keep=True)
        return self._serve_old(entry, answer, until=min(now + self._timeout, stale_until(entry)), call=call)

    def _refuse(self, entry: Entry, max_age: float | None, now: float, limiter: RateLimiter) -> Decision:
        """No call is made now: return the answer if it is young enough for the caller, else raise the current error."""
        answer = entry.usable(now)
        if answer is not None and max_age is not None and entry.is_young(max_age, now):
            return Decision(answer)
        error = entry.failures.error if now < entry.failures.retry_at else None
        if max_age is not None and isinstance(error, NotFoundError):
            error = None  # this answer of AWS is older than the caller accepts
        raise error_for_caller(error or limiter.refusal(), entry, now, limiter)

    def _serve_old(self, entry: Entry, answer: Answer, *, until: float, call: Call | None = None) -> Decision:
        """Return the old answer at once, and let hits do the same until then."""
        self._counts.stale_served += 1
        entry.serve_until = until
        return Decision(answer, call)

    def _await_call(self, entry: Entry, max_age: float | None = None) -> Decision:
        waiter = self._calls.join_and_wait(entry, max_age, keep=not entry.inline)
        return Decision(None, waiter.call, waiter)

    def _await_call_or_serve_old(self, entry: Entry, answer: Answer, now: float) -> Decision:
        if entry.inline and entry.policy.soft_timeout == 0:
            # No caller would wait for the call, and it may not outlive them. So no call is made before the hard end.
            return self._serve_old(entry, answer, until=entry.hard)
        call = self._calls.join(entry, keep=not entry.inline)
        started = call.started if call.task is not None else now
        # At most a call's time-out: soft_timeout may be longer, and the call may have to wait for another one first.
        timeout = min(started + entry.policy.soft_timeout - now, self._timeout)
        if timeout > 0:
            return Decision(None, call, self._calls.wait(call, entry, None, timeout))
        return self._serve_old(entry, answer, until=min(started + self._timeout, entry.hard), call=call)


def error_for_caller(error: CloudMapError, entry: Entry, now: float, limiter: RateLimiter) -> CloudMapError:
    """A fresh exception for one caller, with the age of the last good answer and the time of the next attempt."""
    changes: dict[str, object] = {"last_good_age": entry.age(now), "service": str(entry.query.service)}
    if isinstance(error, UnavailableError):
        wait = max(entry.failures.retry_at, limiter.blocked_until) - now
        changes["retry_after"] = wait if wait > 0 else None
    return error.again(**changes)


def explain(entry: Entry, now: float, limiter: RateLimiter, *, in_flight: bool) -> Explanation:
    """The state of the entry's answer at this moment."""
    assert isinstance(entry.query, Query)
    answer, failures = entry.usable(now), entry.failures
    next_call = max(entry.serve_until, failures.retry_at, limiter.blocked_until)
    return Explanation(
        query=entry.query,
        state=state(entry, now),
        instances=None if answer is None else len(answer),
        age=None if answer is None else now - entry.written,
        expires_in=None if answer is None else entry.hard - now,
        refresh_in=max(0.0, next_call - now),
        failures=failures.in_a_row,
        last_error=failures.error,
        held_empty=failures.empty_since > LONG_AGO,
        in_flight=in_flight,
    )
