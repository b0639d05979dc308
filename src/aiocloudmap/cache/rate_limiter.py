"""When calls may be made: at most so many a second, and slowly at first after AWS has throttled one.

| when | calls |
|---|---|
| usually | `burst` of them at once after a pause, then `rate` a second |
| after a throttle, until `throttled_until` | none |
| after that | five at once, then two a second; each answer from AWS allows one more a second, up to `rate` |

A call that has to wait for its turn queues. One that would queue for too long is not made (`blocked_until`). The token
bucket is stored as the moment at which it will be full again (the generic cell rate algorithm).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from aiocloudmap.balancing.rotation import draw
from aiocloudmap.cache.entry import LONG_AGO
from aiocloudmap.cache.freshness import backoff
from aiocloudmap.errors import ThrottledError

__all__ = ["Rate", "RateLimiter"]

_SLOW_RATE: Final = 2.0
_SLOW_BURST: Final = 5.0
_MIN_WAIT: Final = 0.001
"""Seconds below which a wait is not worth a timer: sums of floats are off by less, and event loops by more."""


class Rate(NamedTuple):
    """Calls a second to one of AWS's planes.

    Args:
        per_second: More than 0.
        burst: Calls that may be made at once after a pause, 1 or more.
        advice: What to do if the queue is full.
    """

    per_second: float
    burst: float
    advice: str = "Ask for fewer services at once, or raise ConnectionPolicy(max_calls_per_second=...)."


class RateLimiter:
    """Assigns each call its turn. Callers hold a lock.

    Args:
        rate: The usual rate. An infinite burst sets no limit while AWS does not throttle.
        max_queue_time: Seconds that a call may wait for its turn.
        draw: Returns random numbers from 0 up to 1, which spread retries.
    """

    __slots__ = (
        "_advice",
        "_ahead",
        "_burst",
        "_draw",
        "_full_at",
        "_max_queue_time",
        "_max_rate",
        "_rate",
        "_throttles",
        "is_slow",
        "throttled_until",
    )

    def __init__(self, rate: Rate, *, max_queue_time: float, draw: Callable[[], float] = draw) -> None:
        self._draw = draw
        self._max_rate, self._burst, self._advice = rate
        self._rate = rate.per_second
        self._max_queue_time = max_queue_time
        self._full_at = LONG_AGO
        self._throttles = 0
        self.throttled_until = LONG_AGO
        """AWS has throttled a call: none is made before then."""
        self._update_burst()

    def _update_burst(self) -> None:
        """After a change of rate or throttles."""
        self.is_slow = self._throttles > 0 or self._rate < self._max_rate
        """Whether AWS has throttled a call, and has not answered enough of them since."""
        burst = min(_SLOW_BURST, self._burst) if self.is_slow else self._burst
        # The bucket need not be full: a call may be made this many seconds before it would be.
        self._ahead = (burst - 1) / self._rate

    @property
    def blocked_until(self) -> float:
        """No call is made before then: AWS throttles, or the queue is full."""
        return max(self.throttled_until, self._full_at - self._ahead - self._max_queue_time)

    def reserve(self, now: float) -> float:
        """Take the next turn. Returns the seconds until it comes."""
        wait = self._full_at - self._ahead - now
        self._full_at = max(now, self._full_at) + 1 / self._rate
        return wait if wait > _MIN_WAIT else 0.0

    def retry_at(self, now: float) -> float:
        """When a caller that was turned away should come back. Spread, so that they do not all come together."""
        blocked_until = self.blocked_until
        if now >= blocked_until:
            return LONG_AGO
        return blocked_until if now < self.throttled_until else blocked_until + self._max_queue_time * self._draw()

    def on_throttled(self, now: float) -> float | None:
        """AWS throttled a call. Returns the seconds to wait; None if that was known."""
        if now < self.throttled_until:  # calls that were in flight at the first throttle do not extend the wait
            return None
        self._throttles += 1
        wait = backoff(self._throttles, self._draw())
        # Calls that have reserved a turn see this and give it up.
        self.throttled_until = self._full_at = now + wait
        self._rate = min(_SLOW_RATE, self._max_rate)
        self._update_burst()
        return wait

    def on_answer(self, started: float, now: float) -> None:
        """AWS answered a call that began at `started`. One that began before the throttle ended proves nothing."""
        if started < self.throttled_until or not self.is_slow:
            return
        self._throttles, self.throttled_until = 0, LONG_AGO
        rate = min(self._max_rate, self._rate + 1)
        if rate != self._rate:
            # The bucket lacks as many calls as before.
            self._full_at = now + (self._full_at - now) * self._rate / rate
            self._rate = rate
        self._update_burst()

    def add_age(self, seconds: float) -> None:
        """The clock did not count this time."""
        self.throttled_until -= seconds
        self._full_at -= seconds

    def refusal(self) -> ThrottledError:
        """Why no call is made before `blocked_until`."""
        if self.is_slow:
            return ThrottledError("AWS throttles this account", advice="Ask less often: raise CachePolicy(ttl=...).")
        return ThrottledError(
            f"more than {self._rate:g} questions a second, and the queue is full",
            advice=self._advice,
        )

    def __repr__(self) -> str:
        return f"<RateLimiter at {self._rate:g} of {self._max_rate:g} calls a second>"
