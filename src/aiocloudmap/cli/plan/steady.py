"""The calls of a fleet that only renews its answers, and what they cost.

    calls a second = processes x (services with instances / (ttl x (1 - jitter / 2) + gap + call_duration)
                                  + empty services / (negative_ttl + gap + call_duration))

`jitter` x U[0, 1) shortens each ttl, so half of `jitter` on average. An answer is renewed when it is next asked for:
`gap` seconds after its end, or at once if the code asks all the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from aiocloudmap.cli.plan.fleet import Fleet

__all__ = ["Month", "Steady", "calls_for", "month_of", "steady_of"]

# Source of both prices: https://aws.amazon.com/cloud-map/pricing/
_USD_A_MILLION_CALLS: Final = 1.00
_USD_AN_INSTANCE: Final = 0.10
_SECONDS_A_MONTH: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Steady:
    """The calls of a fleet that has all its answers.

    Args:
        interval: Average seconds between two calls about a service that has instances.
        calls_per_second: Calls of the whole fleet, some of which AWS may throttle.
        calls_per_second_per_process: Calls of one process, up to `max_calls_per_second`.
        held_back: Whether `max_calls_per_second` lets answers grow older than their ttl.
        throttled: Whether AWS allows fewer calls.
        quota_used: Calls a second, as a part of the quota.
        waits: Part of the renewals for which a caller waits, because no old answer may be served.
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
    """The cost of thirty days.

    Args:
        calls: Calls that AWS answers.
        usd_for_calls: Dollars for calls.
        usd_for_instances: Dollars for registered instances, if AWS does not waive them.
    """

    calls: float
    usd_for_calls: float
    usd_for_instances: float

    @property
    def usd(self) -> float:
        """Dollars in all."""
        return self.usd_for_calls + self.usd_for_instances


def steady_of(fleet: Fleet) -> Steady:
    """The steady state of the fleet."""
    ceiling, quota = fleet.connections.max_calls_per_second, fleet.quota.per_second
    wanted = calls_for(fleet.services - fleet.empty, fleet.interval) + calls_for(fleet.empty, fleet.empty_interval)
    per_process = min(wanted, ceiling)
    calls = fleet.processes * per_process
    return Steady(fleet.interval, calls, per_process, wanted > ceiling, calls > quota, calls / quota, _waits(fleet))


def month_of(fleet: Fleet, steady: Steady) -> Month:
    """What AWS charges. Throttled calls are not counted."""
    calls = min(steady.calls_per_second, fleet.quota.per_second) * _SECONDS_A_MONTH
    return Month(calls, calls / 1_000_000 * _USD_A_MILLION_CALLS, fleet.instances * _USD_AN_INSTANCE)


def calls_for(services: int, interval: float) -> float:
    """Calls a second of one process; without an interval, as many as there are questions."""
    if services == 0:
        return 0.0
    return math.inf if interval == 0 else services / interval


def _waits(fleet: Fleet) -> float:
    if fleet.cache.inline or fleet.cache.stale_while_revalidate == 0:
        return 1.0
    # The chance that no random question comes during the stale period.
    return math.exp(-fleet.cache.stale_while_revalidate / fleet.gap) if fleet.gap else 0.0
