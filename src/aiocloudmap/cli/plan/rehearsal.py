"""A cold start, played through in memory: the pace of every process against one token bucket, in virtual time.

How throttled calls come back is no formula: each depends on the luck of those before. So the very `Pace` that holds
back the library and the very token bucket of the local world are stepped here, call by call.

Every caller asks again as soon as its error's `retry_after` is over. Around each question are botocore's own attempts.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Generator, Iterator
from typing import Final, NamedTuple

from aiocloudmap.cache.entry import NEVER
from aiocloudmap.cache.freshness import backoff
from aiocloudmap.cache.rate_limiter import Pace
from aiocloudmap.cli.plan.fleet import Fleet
from aiocloudmap.local.errors import RefusedError
from aiocloudmap.local.quotas import Quotas, RateLimiter

__all__ = ["Rehearsal", "rehearse"]

# botocore's standard retry mode (botocore/retries/standard.py): it waits U[0, 1) * 2 ** n seconds, and a client has
# 500 tokens, of which a retry takes 5. A success gives the last 5 back, or 1 where there was no retry.
_RETRY_TOKENS: Final = 500
_RETRY_COST: Final = 5
_RETRY_REWARD: Final = 1


class Rehearsal(NamedTuple):
    """How a cold start went.

    Args:
        calls: Calls that reached AWS, throttled ones and botocore's retries included.
        throttled: Those of them that AWS throttled.
        first_throttled: Seconds until the first of those; None where there is none.
        most: Seconds until nineteen of twenty answers were there.
        last: Seconds until all of them were.
    """

    calls: int
    throttled: int
    first_throttled: float | None
    most: float
    last: float


class _Process:
    """What the callers of one process share."""

    __slots__ = ("pace", "retry_tokens")

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.retry_tokens = _RETRY_TOKENS

    def takes_retry(self) -> bool:
        """Whether botocore tries once more."""
        if self.retry_tokens < _RETRY_COST:
            return False
        self.retry_tokens -= _RETRY_COST
        return True

    def succeeds(self, *, retried: bool) -> None:
        """AWS answered."""
        reward = _RETRY_COST if retried else _RETRY_REWARD
        self.retry_tokens = min(_RETRY_TOKENS, self.retry_tokens + reward)


class _Answer:
    """What one process knows of one service."""

    __slots__ = ("failures", "retry_at", "there")

    def __init__(self) -> None:
        self.failures = 0
        self.retry_at = NEVER
        self.there = False


class _Stage:
    """The fleet and AWS. A caller is an iterator of the moments at which it goes on."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self._connections, self._call_duration = fleet.connections, fleet.call_duration
        self._draw = random.Random(seed).random  # noqa: S311 - the same question is to have the same answer
        self._limiter = RateLimiter(Quotas(discover_instances=fleet.quota))
        self._now = 0.0
        self._calls = self._throttled = 0
        self._first_throttled: float | None = None
        self._answered: list[float] = []
        self._callers = list(self._cast(fleet))

    def _cast(self, fleet: Fleet) -> Iterator[tuple[float, float, Iterator[float]]]:
        """Every caller, with the moment it comes and its place among those who come at the same one."""
        for number in range(1, fleet.processes + 1):
            process = _Process(
                Pace(
                    self._connections.max_calls_per_second,
                    burst=fleet.burst,
                    # As the resolver has it.
                    queue=self._connections.discovery_timeout / 2,
                    draw=self._draw,
                )
            )
            start = fleet.start_over * number / fleet.processes
            for _ in range(fleet.services):
                answer = _Answer()
                for _ in range(fleet.loops):
                    yield start, self._draw(), self._ask(process, answer)

    def play(self) -> Rehearsal:
        """To the end, when every answer is there."""
        heapq.heapify(self._callers)
        later = itertools.count(1)
        while self._callers:
            self._now, _, caller = self._callers[0]
            due = next(caller, None)
            if due is None:
                heapq.heappop(self._callers)
            else:
                heapq.heapreplace(self._callers, (due, next(later), caller))
        answered = self._answered
        most = answered[(len(answered) - 1) * 19 // 20]
        return Rehearsal(self._calls, self._throttled, self._first_throttled, most, answered[-1])

    def _ask(self, process: _Process, answer: _Answer) -> Iterator[float]:
        while not answer.there:
            barrier = max(answer.retry_at, process.pace.until)
            if self._now < barrier:
                yield barrier
                continue
            answered = yield from self._question(process)
            if answered is None:
                continue
            if not answered:
                answer.failures += 1
                wait = backoff(answer.failures, self._draw())
                answer.retry_at = max(self._now + wait, process.pace.floor)
            elif not answer.there:
                answer.there = True
                self._answered.append(self._now)

    def _question(self, process: _Process) -> Generator[float, None, bool | None]:
        """One question; gives whether it was answered, None where it gave up its turn under a throttle."""
        pace, deadline = process.pace, self._now + self._connections.discovery_timeout
        wait = pace.reserve(self._now)
        if wait and not (yield from self._wait(wait, deadline)):
            return False
        started = self._now
        if started < pace.floor:
            return None
        for attempt in range(self._connections.max_attempts):
            if attempt > 0:
                if not process.takes_retry():
                    break
                if not (yield from self._wait(self._draw() * 2 ** (attempt - 1), deadline)):
                    return False
            if not (yield from self._wait(self._call_duration, deadline)):
                return False
            if self._reaches_aws():
                process.succeeds(retried=attempt > 0)
                pace.answered(started, self._now)
                return True
        pace.hit(self._now)
        return False

    def _wait(self, seconds: float, deadline: float) -> Generator[float, None, bool]:
        """Let so much time pass, up to the deadline; gives whether it was not reached before."""
        due = self._now + seconds
        yield min(due, deadline)
        return due <= deadline

    def _reaches_aws(self) -> bool:
        self._calls += 1
        try:
            self._limiter.take("DiscoverInstances", self._now)
        except RefusedError:
            self._throttled += 1
            if self._first_throttled is None:
                self._first_throttled = self._now
            return False
        return True


def rehearse(fleet: Fleet, seed: int) -> Rehearsal:
    """The cold start of the fleet, one of the ways it may go.

    Args:
        fleet: Takes a second for some ten thousand answers.
        seed: The same one gives the same cold start.
    """
    return _Stage(fleet, seed).play()
