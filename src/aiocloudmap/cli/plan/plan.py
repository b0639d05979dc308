"""The whole plan of a fleet, with the settings that keep it within AWS's quota."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiocloudmap.cli.plan.cold_start import ColdStart, cold_start_of
from aiocloudmap.cli.plan.fleet import Fleet
from aiocloudmap.cli.plan.steady import Month, Steady, calls_for, month_of, steady_of

__all__ = ["Advice", "Plan", "plan_for"]

_USABLE: Final = 0.9
"""Part of the quota to use: calls come unevenly, and a bucket that is always empty throttles."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Settings that keep the fleet within AWS's quota, each with all others unchanged. None: no value does.

    Args:
        ttl: The least ttl with which renewals use at most 0.9 of the quota.
        ttl_after_start: The least ttl with which no renewal comes before the last answer of a throttled cold start.
            0 if the start is not throttled.
        jitter: The least jitter with which answers written at one moment are renewed no faster than the quota
            refills, so that its burst is left to others.
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


def _ttl(fleet: Fleet) -> float | None:
    left = _USABLE * fleet.quota.per_second - fleet.processes * calls_for(fleet.empty, fleet.empty_interval)
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
