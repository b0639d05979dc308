"""What a fleet asks when nothing happens but the renewal of answers, and what that costs.

    calls a second = processes x (services with instances / (ttl x (1 - jitter / 2) + gap + call_duration)
                                  + empty services / (negative_ttl + gap + call_duration))

A ttl is shortened by `jitter` x U[0, 1), so by half of that on average. An answer is renewed when it is next asked for:
`gap` seconds after its end, which is 0 where the code asks all the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from aiocloudmap.cli.plan.fleet import Fleet

__all__ = [
    "SECONDS_A_MONTH",
    "USD_AN_INSTANCE",
    "USD_A_MILLION_CALLS",
    "Month",
    "Steady",
    "calls_for",
    "month_of",
    "steady_of",
]

USD_A_MILLION_CALLS: Final = 1.00
"""For discovery calls. Source: https://aws.amazon.com/cloud-map/pricing/"""

USD_AN_INSTANCE: Final = 0.10
"""For each registered instance and month, where AWS does not waive it. Source: as above."""

SECONDS_A_MONTH: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Steady:
    """The calls of a fleet whose answers are all there.

    Args:
        interval: Seconds between two calls about a service that has instances, on average.
        calls_per_second: Of the whole fleet. More than AWS allows is throttled.
        calls_per_second_per_process: Its own ceiling, `max_calls_per_second`, is kept.
        held_back: Whether that ceiling lets answers grow older than their ttl.
        throttled: Whether AWS allows fewer calls than that.
        quota_used: Calls a second, as a part of what AWS allows.
        waits: Part of the renewals for which a caller waits, as no old answer may be given at once.
    """

    interval: float
    calls_per_second: float
    calls_per_second_per_process: float
    held_back: bool
    throttled: bool
    quota_used: float
    waits: float


@dataclass(frozen=True, slots=True)
class Month:
    """Thirty days of it.

    Args:
        calls: That AWS answers.
        usd_for_calls: Dollars for them.
        usd_for_instances: Dollars for the registered instances.
    """

    calls: float
    usd_for_calls: float
    usd_for_instances: float

    @property
    def usd(self) -> float:
        """Dollars, in all."""
        return self.usd_for_calls + self.usd_for_instances


def steady_of(fleet: Fleet) -> Steady:
    """The steady state of the fleet."""
    ceiling = fleet.connections.max_calls_per_second
    wanted = calls_for(fleet.services - fleet.empty, fleet.interval) + calls_for(fleet.empty, fleet.empty_interval)
    per_process = min(wanted, ceiling)
    calls = fleet.processes * per_process
    return Steady(
        interval=fleet.interval,
        calls_per_second=calls,
        calls_per_second_per_process=per_process,
        held_back=wanted > ceiling,
        throttled=calls > fleet.quota.per_second,
        quota_used=calls / fleet.quota.per_second,
        waits=_waits(fleet),
    )


def month_of(fleet: Fleet, steady: Steady) -> Month:
    """What AWS charges for it. Calls that AWS throttles are not counted."""
    calls = min(steady.calls_per_second, fleet.quota.per_second) * SECONDS_A_MONTH
    return Month(calls, calls / 1_000_000 * USD_A_MILLION_CALLS, fleet.instances * USD_AN_INSTANCE)


def calls_for(services: int, interval: float) -> float:
    """Calls a second for so many services; a ttl of 0 asks as often as there are questions."""
    if services == 0:
        return 0.0
    return math.inf if interval == 0 else services / interval


def _waits(fleet: Fleet) -> float:
    if fleet.cache.inline or fleet.cache.stale_while_revalidate == 0:
        return 1.0
    if fleet.gap == 0:
        return 0.0
    # Questions that come at random leave out so long a time with this chance.
    return math.exp(-fleet.cache.stale_while_revalidate / fleet.gap)
