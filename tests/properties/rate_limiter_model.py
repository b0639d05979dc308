"""A reference model of the rate limit: a number of calls a second, fewer for a while after throttling."""

from __future__ import annotations

from dataclasses import dataclass

from tests.properties.model_values import LONG_AGO, TIMEOUT


def backoff(failures: int, random: float) -> float:
    """Return the seconds before the next attempt."""
    return min(30.0, 0.5 * 2 ** (failures - 1)) * (0.5 + random / 2)


@dataclass
class RateLimiter:
    """When calls may be made.

    Args:
        ceiling: Calls a second, and the burst, while AWS does not throttle.
    """

    ceiling: float
    rate: float = 0.0
    burst_restored_at: float = LONG_AGO
    """When the whole burst is available again."""
    throttled_until: float = LONG_AGO
    throttles: int = 0

    def __post_init__(self) -> None:
        self.rate = self.ceiling

    @property
    def next(self) -> float:
        """When the next call may be made."""
        burst = max(1.0, self.ceiling)
        if self.throttles or self.rate < self.ceiling:
            burst = min(5.0, burst)
        return self.burst_restored_at - (burst - 1) / self.rate

    @property
    def closed_until(self) -> float:
        """No call may even wait before then."""
        return max(self.throttled_until, self.next - TIMEOUT / 2)

    def retry_at(self, now: float, random: float) -> float:
        """When a refused caller tries again."""
        if now >= self.closed_until:
            return LONG_AGO
        return self.closed_until + (0.0 if now < self.throttled_until else TIMEOUT / 2 * random)

    def take(self, now: float) -> float:
        """Reserve a call, and return how long it has to wait."""
        wait = self.next - now
        self.burst_restored_at = max(now, self.burst_restored_at) + 1 / self.rate
        return wait if wait > 0.001 else 0.0

    def on_throttled(self, now: float, random: float) -> float | None:
        """Back off, and return for how long, or None if a backoff is already active."""
        if now < self.throttled_until:
            return None
        self.throttles += 1
        wait = backoff(self.throttles, random)
        self.throttled_until = self.burst_restored_at = now + wait
        self.rate = min(2.0, self.ceiling)
        return wait

    def succeed(self, started: float, now: float) -> None:
        """Record that AWS answered a call that began at `started`."""
        if started < self.throttled_until:
            return
        self.throttled_until, self.throttles = LONG_AGO, 0
        before, self.rate = self.rate, min(self.ceiling, self.rate + 1)
        if before != self.rate:
            self.burst_restored_at = now + (self.burst_restored_at - now) * before / self.rate

    def shift(self, seconds: float) -> None:
        """Count seconds that passed unnoticed."""
        self.throttled_until -= seconds
        self.burst_restored_at -= seconds
