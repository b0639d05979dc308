"""What `aiocloudmap plan` says, beside what whole fleets of the library itself do in virtual time."""

from __future__ import annotations

import dataclasses
from statistics import fmean

import pytest
from simulation import simulated

from aiocloudmap import CachePolicy, ConnectionPolicy
from aiocloudmap.cli.plan.fleet import Fleet
from aiocloudmap.cli.plan.plan import plan_for
from aiocloudmap.local.quotas import Rate

SEEDS = (1, 2, 3)


def fleet(*, ttl=30.0, jitter=0.1, rate=200.0, **settings):
    """Fifty processes. A backend in the process has no botocore around it, which would try again."""
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
def test_a_fleet_asks_as_often_as_the_plan_says(settings):
    """Within a tenth, for all ways to come to a time between two calls."""
    planned = fleet(**settings)
    outcome = simulated(planned, renewals=4)
    assert outcome.calls_per_second == pytest.approx(plan_for(planned).steady.calls_per_second, rel=0.1)
    assert outcome.throttled + outcome.throttled_later == 0


@pytest.mark.parametrize(
    ("settings", "luck"),
    [
        ({"services": 10, "quota": Rate(200, 100)}, 0.1),
        ({"services": 4, "quota": Rate(60, 20)}, 0.1),
        ({"services": 40, "processes": 20, "rate": 10.0}, 0.1),
        # More at once than can be asked in time: the last of them are told so, and come again.
        ({"services": 20, "processes": 20, "rate": 2.0}, 0.1),
        # Questions that queued in a process when it was throttled come back late, and the last of them by chance.
        ({"services": 20, "quota": Rate(300, 150), "rate": 10.0, "processes": 40}, 0.3),
    ],
    ids=str,
)
def test_a_cold_start_goes_as_the_plan_says(settings, luck):
    """Calls and those that are throttled within a tenth, over some rolls of the dice; the last answer by its luck."""
    planned = fleet(**settings)
    start = plan_for(planned).cold_start
    outcomes = [simulated(planned, seed=seed) for seed in SEEDS]
    for name, tolerance in (("calls", 0.1), ("throttled", 0.1), ("all_after", luck)):
        seen = fmean(getattr(outcome, name) for outcome in outcomes)
        assert seen == pytest.approx(getattr(start, name), rel=tolerance), name


def test_the_ttl_that_is_advised_is_enough_and_less_is_not():
    """Nothing is throttled once all is there; with a fifth less there is."""
    planned = fleet(services=10, processes=20, quota=Rate(200, 10))
    advised = plan_for(planned).advice.ttl
    cache = planned.cache
    enough = dataclasses.replace(planned, cache=dataclasses.replace(cache, ttl=advised))
    assert simulated(enough, renewals=4).throttled_later == 0
    less = dataclasses.replace(planned, cache=dataclasses.replace(cache, ttl=0.8 * advised))
    assert simulated(less, renewals=4).throttled_later > 0


def test_renewals_meet_no_throttled_start_after_the_ttl_that_is_advised():
    """Within it, the first renewals come while the start's last calls do, and are throttled with them."""
    planned = fleet(processes=20, services=10, quota=Rate(40, 20))
    advice = plan_for(planned).advice
    assert advice.ttl < advice.ttl_after_start
    late = dataclasses.replace(planned, cache=dataclasses.replace(planned.cache, ttl=1.1 * advice.ttl_after_start))
    assert simulated(late, renewals=3).throttled_later == 0
    soon = dataclasses.replace(planned, cache=dataclasses.replace(planned.cache, ttl=advice.ttl))
    assert simulated(soon, renewals=3).throttled_later > 0


def test_the_start_over_that_is_advised_is_enough():
    """With half of it there is throttling."""
    planned = fleet(services=10, quota=Rate(50, 50))
    advised = plan_for(planned).advice.start_over
    assert simulated(dataclasses.replace(planned, start_over=advised)).throttled == 0
    assert simulated(dataclasses.replace(planned, start_over=advised / 2)).throttled > 0
