"""All that can be said beforehand about a fleet, and which settings keep it within AWS's quota."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiocloudmap.cli.plan.cold_start import ColdStart, cold_start_of
from aiocloudmap.cli.plan.fleet import Fleet
from aiocloudmap.cli.plan.steady import Month, Steady, calls_for, month_of, steady_of

__all__ = ["ROOM", "Advice", "Plan", "plan_for"]

ROOM: Final = 0.9
"""Part of the quota that is to be used: calls come unevenly, and a bucket that is always empty throttles."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Settings that keep the fleet within AWS's quota, each by itself, everything else as it is. None: none does.

    Args:
        ttl: The least ttl for which renewals use no more than `ROOM` of the quota.
        ttl_after_start: The least ttl for which nothing is renewed before the last answer of the cold start is there;
            what comes together with the end of a throttled start is throttled, too. 0 where the start is not throttled.
        jitter: The least jitter for which answers that were written at one moment are renewed no faster than the quota
            refills, so that its burst is left to others.
        start_over: The least number of seconds over which to start the fleet, with `ROOM` of the quota.
        max_calls_per_second: The most that each process may ask, for a start of all at once.
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
    """The plan for the fleet. Asks nobody; takes about half a second."""
    steady, cold_start = steady_of(fleet), cold_start_of(fleet)
    advice = Advice(
        ttl=_ttl(fleet),
        ttl_after_start=_ttl_after_start(fleet, cold_start),
        jitter=_jitter(fleet),
        start_over=max(0.0, (fleet.questions - fleet.quota.burst) / (ROOM * fleet.quota.per_second)),
        max_calls_per_second=_ceiling(fleet, steady),
    )
    return Plan(fleet, steady, month_of(fleet, steady), cold_start, advice)


def _ttl(fleet: Fleet) -> float | None:
    left = ROOM * fleet.quota.per_second - fleet.processes * calls_for(fleet.empty, fleet.empty_interval)
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
    answers, ttl = fleet.processes * (fleet.services - fleet.empty), fleet.cache.ttl
    if ttl == 0 or answers > fleet.quota.per_second * ttl:
        return None
    jitter = answers / (fleet.quota.per_second * ttl)
    # The more jitter, the shorter the ttl on average.
    steady = answers / (ttl * (1 - jitter / 2) + fleet.pause)
    return jitter if steady <= fleet.quota.per_second else None


def _ceiling(fleet: Fleet, steady: Steady) -> float | None:
    ceiling = min(fleet.quota.per_second, fleet.quota.burst) / fleet.processes
    # A ceiling below 1 lets one call through at once all the same.
    at_once = fleet.processes * max(1.0, ceiling)
    enough = ceiling >= steady.calls_per_second_per_process
    return ceiling if at_once <= fleet.quota.burst and enough else None
