"""A reference model of the pace: so many questions a second; none for a while after a throttle, then slowly more."""

from __future__ import annotations

from dataclasses import dataclass

from tests.properties.freshness_words import NEVER, TIMEOUT


def backoff(failures: int, dice: float) -> float:
    """Seconds before the next try."""
    return min(30.0, 0.5 * 2 ** (failures - 1)) * (0.5 + dice / 2)


@dataclass
class Pace:
    """When calls may be made.

    Args:
        ceiling: Calls a second, and calls at once, while AWS throttles none.
    """

    ceiling: float
    rate: float = 0.0
    full: float = NEVER
    """When as many calls could be made at once as ever."""
    floor: float = NEVER
    throttles: int = 0

    def __post_init__(self) -> None:
        self.rate = self.ceiling

    @property
    def next(self) -> float:
        """When the next call may be made."""
        burst = max(1.0, self.ceiling)
        if self.throttles or self.rate < self.ceiling:
            burst = min(5.0, burst)
        return self.full - (burst - 1) / self.rate

    @property
    def closed_until(self) -> float:
        """Nobody may even queue before then."""
        return max(self.floor, self.next - TIMEOUT / 2)

    def again(self, now: float, dice: float) -> float:
        """When one who may not queue comes again."""
        if now >= self.closed_until:
            return NEVER
        return self.closed_until + (0.0 if now < self.floor else TIMEOUT / 2 * dice)

    def take(self, now: float) -> float:
        """One more call is to be made; gives how long it has to wait."""
        wait = self.next - now
        self.full = max(now, self.full) + 1 / self.rate
        return wait if wait > 0.001 else 0.0

    def throttle(self, now: float, dice: float) -> float | None:
        """AWS throttled a call; gives how long nobody asks, where that is news."""
        if now < self.floor:
            return None
        self.throttles += 1
        wait = backoff(self.throttles, dice)
        self.floor = self.full = now + wait
        self.rate = min(2.0, self.ceiling)
        return wait

    def succeed(self, started: float, now: float) -> None:
        """AWS answered a call that began then."""
        if started < self.floor:
            return
        self.floor, self.throttles = NEVER, 0
        before, self.rate = self.rate, min(self.ceiling, self.rate + 1)
        if before != self.rate:
            self.full = now + (self.full - now) * before / self.rate

    def shift(self, seconds: float) -> None:
        """So many seconds passed unseen."""
        self.floor -= seconds
        self.full -= seconds
