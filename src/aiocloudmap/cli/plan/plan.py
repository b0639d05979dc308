"""The plan of a fleet: its calls, what they cost, how it starts, and the settings that keep it within AWS's quota.

    calls a second = processes x (services with instances / (ttl x (1 - jitter / 2) + gap + call_duration)
                                  + empty services / (negative_ttl + gap + call_duration))

`jitter` x U[0, 1) shortens each ttl, so half of `jitter` on average. The next question renews an expired answer: after
`gap` seconds, or at once if the code asks all the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from aiocloudmap.cli.plan.cold_start import ColdStart, cold_start_of
from aiocloudmap.cli.plan.fleet import Fleet

__all__ = ["Advice", "Month", "Plan", "Steady", "month_of", "plan_for", "steady_of"]

# Source of both prices: https://aws.amazon.com/cloud-map/pricing/
_USD_A_MILLION_CALLS: Final = 1.00
_USD_AN_INSTANCE: Final = 0.10
_SECONDS_A_MONTH: Final = 30 * 86_400

_USABLE: Final = 0.9
"""Part of the quota to use: calls come unevenly, and a bucket that is always empty throttles."""


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
        usd: Dollars in all.
    """

    calls: float
    usd_for_calls: float
    usd_for_instances: float
    usd: float


@dataclass(frozen=True, slots=True)
class Advice:
    """Settings that keep the fleet within AWS's quota, each if the others stay the same. None: no value is enough.

    Args:
        ttl: The least ttl with which renewals use at most 0.9 of the quota.
        ttl_after_start: The least ttl with which no renewal comes before the last answer of a throttled cold start.
            0 if the start is not throttled.
        jitter: The least jitter with which answers written at one moment are renewed no faster than the quota
            refills, so that they do not use up its burst.
        start_over: The least seconds over which to start the fleet, with 0.9 of the quota.
        max_calls_per_second: The most calls of each process with which all may start at once.
    """

    ttl: float | None
    ttl_after_start: float | None
    jitter: float | None
    start_over: float
    max_calls_per_second: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a fleet asks of AWS."""

    fleet: Fleet
    steady: Steady
    month: Month
    cold_start: ColdStart
    advice: Advice


def plan_for(fleet: Fleet) -> Plan:
    """The plan for the fleet. Makes no AWS call, and takes a second or two."""
    steady, cold_start = steady_of(fleet), cold_start_of(fleet)
    advice = Advice(
        ttl=_ttl(fleet),
        ttl_after_start=_ttl_after_start(fleet, cold_start),
        jitter=_jitter(fleet),
        start_over=max(0.0, (fleet.questions - fleet.quota.burst) / (_USABLE * fleet.quota.per_second)),
        max_calls_per_second=_max_calls_per_second(fleet, steady),
    )
    return Plan(fleet, steady, month_of(fleet, steady), cold_start, advice)


def steady_of(fleet: Fleet) -> Steady:
    """The steady state of the fleet."""
    ceiling, quota = fleet.connections.max_calls_per_second, fleet.quota.per_second
    wanted = _calls_for(fleet.services - fleet.empty, fleet.interval) + _calls_for(fleet.empty, fleet.empty_interval)
    per_process = min(wanted, ceiling)
    calls = fleet.processes * per_process
    return Steady(fleet.interval, calls, per_process, wanted > ceiling, calls > quota, calls / quota, _waits(fleet))


def month_of(fleet: Fleet, steady: Steady) -> Month:
    """What AWS charges. Throttled calls are not counted."""
    calls = min(steady.calls_per_second, fleet.quota.per_second) * _SECONDS_A_MONTH
    for_calls, for_instances = calls / 1_000_000 * _USD_A_MILLION_CALLS, fleet.instances * _USD_AN_INSTANCE
    return Month(calls, for_calls, for_instances, for_calls + for_instances)


def _calls_for(services: int, interval: float) -> float:
    """Calls a second of one process. With an interval of 0, nothing but `max_calls_per_second` limits them."""
    if services == 0:
        return 0.0
    return math.inf if interval == 0 else services / interval


def _waits(fleet: Fleet) -> float:
    if fleet.cache.inline or fleet.cache.stale_while_revalidate == 0:
        return 1.0
    # The chance that no random question comes during the stale period.
    return math.exp(-fleet.cache.stale_while_revalidate / fleet.gap) if fleet.gap else 0.0


def _ttl(fleet: Fleet) -> float | None:
    left = _USABLE * fleet.quota.per_second - fleet.processes * _calls_for(fleet.empty, fleet.empty_interval)
    if left <= 0:
        return None
    interval = fleet.processes * (fleet.services - fleet.empty) / left
    return max(0.0, interval - fleet.pause) / (1 - fleet.cache.jitter / 2)


def _ttl_after_start(fleet: Fleet, start: ColdStart) -> float | None:
    if start.throttled == 0:
        return 0.0
    if start.all_after is None or fleet.cache.jitter == 1:
        return None
    return start.all_after / (1 - fleet.cache.jitter)


def _jitter(fleet: Fleet) -> float | None:
    answers, ttl, quota = fleet.processes * (fleet.services - fleet.empty), fleet.cache.ttl, fleet.quota.per_second
    if ttl == 0 or answers > quota * ttl:
        return None
    jitter = answers / (quota * ttl)
    # More jitter makes the ttl shorter on average.
    return jitter if answers / (ttl * (1 - jitter / 2) + fleet.pause) <= quota else None


def _max_calls_per_second(fleet: Fleet, steady: Steady) -> float | None:
    ceiling = min(fleet.quota.per_second, fleet.quota.burst) / fleet.processes
    # Below 1 it still lets one call through at once.
    at_once = fleet.processes * max(1.0, ceiling)
    enough = ceiling >= steady.calls_per_second_per_process
    return ceiling if at_once <= fleet.quota.burst and enough else None
