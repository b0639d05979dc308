"""When calls may be made: no more a second than a ceiling, and slowly at first after AWS has throttled one.

| the engine | calls |
|---|---|
| as usual | `burst` of them at once after a pause, then `rate` a second |
| was throttled, until `floor` | none |
| then | five at once, then two a second; each that AWS answers lets one more a second through, up to `rate` |

A call that has to wait for its turn queues; one that would queue for too long is not to be made (`until`). The bucket
is kept as the moment at which it will be full again (the generic cell rate algorithm).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiocloudmap.balancing.rotation import draw
from aiocloudmap.cache.entry import NEVER
from aiocloudmap.cache.freshness import backoff
from aiocloudmap.errors import ThrottledError

__all__ = ["Pace"]

_SLOW_RATE: Final = 2.0
_SLOW_BURST: Final = 5.0
_MOMENT: Final = 0.001
"""Seconds that are not worth a timer: less than that, sums of fractions may be off, and event loops come late."""


class Pace:
    """Gives each call its turn. Its caller holds a lock.

    Args:
        rate: Calls a second, more than 0.
        burst: Calls that may be made at once after a pause, 1 or more; without end, there is no ceiling as usual.
        queue: Seconds that a call may wait for its turn.
        draw: Gives numbers from 0 up to 1, which spread what is asked again.
    """

    __slots__ = ("_ahead", "_burst", "_ceiling", "_draw", "_full", "_hits", "_queue", "_rate", "floor")

    def __init__(self, rate: float, *, burst: float, queue: float, draw: Callable[[], float] = draw) -> None:
        self._draw = draw
        self._ceiling = self._rate = rate
        self._burst = burst
        self._queue = queue
        self._full = NEVER
        self._hits = 0
        self.floor = NEVER
        """AWS has throttled a call: nobody asks before then."""
        self._tune()

    def _tune(self) -> None:
        """Rate or burst have changed: how long before the bucket is full the next call may be made."""
        burst = min(_SLOW_BURST, self._burst) if self.is_slow else self._burst
        self._ahead = (burst - 1) / self._rate

    @property
    def is_slow(self) -> bool:
        """Whether AWS has throttled a call, and has not answered enough since."""
        return self._hits > 0 or self._rate < self._ceiling

    @property
    def until(self) -> float:
        """Nobody asks before then: it is the floor, or as many wait as may."""
        return max(self.floor, self._full - self._ahead - self._queue)

    def reserve(self, now: float) -> float:
        """Take the next turn; gives the seconds until it comes."""
        wait = self._full - self._ahead - now
        self._full = max(now, self._full) + 1 / self._rate
        return wait if wait > _MOMENT else 0.0

    def again(self, now: float) -> float:
        """When somebody who was turned away is to come again; not all of them together."""
        if now >= self.until:
            return NEVER
        return self.until if now < self.floor else self.until + self._queue * self._draw()

    def hit(self, now: float) -> float | None:
        """AWS throttled a call. Returns the seconds to wait, None where that was known already."""
        if now < self.floor:  # calls that were under way when the floor was set do not raise it further
            return None
        self._hits += 1
        wait = backoff(self._hits, self._draw())
        # Those that have a turn find the floor there, and give it up.
        self.floor = self._full = now + wait
        self._rate = min(_SLOW_RATE, self._ceiling)
        self._tune()
        return wait

    def answered(self, started: float, now: float) -> None:
        """AWS answered a call that began then; one that began before the floor was set proves nothing."""
        if started < self.floor or not self.is_slow:
            return
        self._hits, self.floor = 0, NEVER
        rate = min(self._ceiling, self._rate + 1)
        if rate != self._rate:
            # As many calls as before have been made ahead of time.
            self._full = now + (self._full - now) * self._rate / rate
            self._rate = rate
        self._tune()

    def shift(self, seconds: float) -> None:
        """So many seconds passed unseen."""
        self.floor -= seconds
        self._full -= seconds

    def refusal(self) -> ThrottledError:
        """Why nobody asks before `until`."""
        if self.is_slow:
            return ThrottledError("AWS throttles this account", advice="Ask less often: raise CachePolicy(ttl=...).")
        return ThrottledError(
            f"more than {self._rate:g} questions a second, and as many wait as can be asked in time",
            advice="Ask for fewer services at once, or raise ConnectionPolicy(max_calls_per_second=...).",
        )

    def __repr__(self) -> str:
        return f"<Pace of {self._rate:g} of {self._ceiling:g} calls a second>"
