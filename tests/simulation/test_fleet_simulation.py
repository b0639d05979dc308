"""Compares `aiocloudmap plan` with whole fleets that run in virtual time."""

from __future__ import annotations

import dataclasses
from statistics import fmean

import pytest
from simulation import simulated

from aiocloudmap import CachePolicy, ConnectionPolicy
from aiocloudmap.cli.plan.fleet import Fleet
from aiocloudmap.cli.plan.plan import plan_for
from aiocloudmap.local.quotas import Rate

SEEDS = 3


def fleet(*, ttl=30.0, jitter=0.1, rate=200.0, **settings):
    """Fifty processes. A local backend has no botocore around it, so max_attempts is 1."""
    cache = CachePolicy(ttl=ttl, jitter=jitter, refresh="background")
    connections = ConnectionPolicy(max_calls_per_second=rate, max_attempts=1)
    return Fleet(**{"processes": 50, "services": 4, "cache": cache, "connections": connections, **settings})


@pytest.mark.parametrize(
    "settings",
    [
        {"ttl": 5.0},
        {"ttl": 30.0},
        {"ttl": 30.0, "jitter": 1.0},
        {"ttl": 30.0, "empty": 2},
        {"ttl": 30.0, "requests_per_second": 0.5},
        {"ttl": 1.0, "call_duration": 0.2},
    ],
    ids=str,
)
def test_a_fleet_asks_as_often_as_planned(settings):
    """Calls per second are within a tenth, whatever sets the interval."""
    planned = fleet(**settings)
    outcome = simulated(planned, renewals=4)
    assert outcome.calls_per_second == pytest.approx(plan_for(planned).steady.calls_per_second, rel=0.1)
    assert outcome.throttled + outcome.throttled_later == 0


@pytest.mark.parametrize(
    ("settings", "luck", "seeds"),
    [
        ({"services": 10, "quota": Rate(200, 100)}, 0.1, SEEDS),
        # The last answer comes after 11.8 s, with a standard deviation of 2.2 s: its mean needs more runs.
        ({"services": 4, "quota": Rate(60, 20)}, 0.1, 10),
        ({"services": 40, "processes": 20, "rate": 10.0}, 0.1, SEEDS),
        # More than a process can ask in time: some callers are refused and ask again.
        ({"services": 20, "processes": 20, "rate": 2.0}, 0.1, SEEDS),
        # Calls that queued in a process when AWS throttled it come back late, and the last of them by chance.
        ({"services": 20, "quota": Rate(300, 150), "rate": 10.0, "processes": 40}, 0.3, SEEDS),
    ],
    ids=str,
)
def test_a_cold_start_goes_as_planned(settings, luck, seeds):
    """Calls and throttled calls are within a tenth, and the last answer within its luck."""
    planned = fleet(**settings)
    start = plan_for(planned).cold_start
    outcomes = [simulated(planned, seed=seed) for seed in range(1, seeds + 1)]
    for name, tolerance in (("calls", 0.1), ("throttled", 0.1), ("all_after", luck)):
        seen = fmean(getattr(outcome, name) for outcome in outcomes)
        assert seen == pytest.approx(getattr(start, name), rel=tolerance), name


def test_the_advised_ttl_is_just_enough():
    """After the start nothing is throttled with it, but with a fifth less."""
    planned = fleet(services=10, processes=20, quota=Rate(200, 10))
    advised = plan_for(planned).advice.ttl
    cache = planned.cache
    enough = dataclasses.replace(planned, cache=dataclasses.replace(cache, ttl=advised))
    assert simulated(enough, renewals=4).throttled_later == 0
    less = dataclasses.replace(planned, cache=dataclasses.replace(cache, ttl=0.8 * advised))
    assert simulated(less, renewals=4).throttled_later > 0


def test_renewals_after_the_advised_ttl_miss_a_throttled_start():
    """With a shorter ttl, the first renewals come during the start and are throttled with it."""
    planned = fleet(processes=20, services=10, quota=Rate(40, 20))
    advice = plan_for(planned).advice
    assert advice.ttl < advice.ttl_after_start
    late = dataclasses.replace(planned, cache=dataclasses.replace(planned.cache, ttl=1.1 * advice.ttl_after_start))
    assert simulated(late, renewals=3).throttled_later == 0
    soon = dataclasses.replace(planned, cache=dataclasses.replace(planned.cache, ttl=advice.ttl))
    assert simulated(soon, renewals=3).throttled_later > 0


def test_the_advised_start_over_is_enough():
    """With half of it, AWS throttles."""
    planned = fleet(services=10, quota=Rate(50, 50))
    advised = plan_for(planned).advice.start_over
    assert simulated(dataclasses.replace(planned, start_over=advised)).throttled == 0
    assert simulated(dataclasses.replace(planned, start_over=advised / 2)).throttled > 0
