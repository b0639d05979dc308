from __future__ import annotations

import math

import pytest

from aiocloudmap import CachePolicy, ConfigurationError, ConnectionPolicy
from aiocloudmap.cli.plan.fleet import AWS_QUOTA, Fleet
from aiocloudmap.cli.plan.steady import month_of, steady_of
from aiocloudmap.local.quotas import Rate


def fleet(*, ttl=30.0, jitter=0.1, negative_ttl=5.0, stale_while_revalidate=30.0, refresh="background", **settings):
    """A fleet whose calls take no time, so that figures can be worked out by hand."""
    cache = CachePolicy(
        ttl=ttl,
        jitter=jitter,
        negative_ttl=negative_ttl,
        stale_while_revalidate=stale_while_revalidate,
        refresh=refresh,
    )
    return Fleet(**{"processes": 100, "call_duration": 0.0, "cache": cache, **settings})


def test_the_quota_is_the_one_that_the_local_world_enforces():
    """2,000 at once and 1,000 a second, as AWS's quotas page says."""
    assert Rate(burst=2000, per_second=1000) == AWS_QUOTA


@pytest.mark.parametrize(
    ("settings", "calls"),
    [
        ({"services": 10, "jitter": 0.0}, 100 * 10 / 30),
        ({"services": 10}, 100 * 10 / 28.5),
        ({"services": 10, "jitter": 1.0}, 100 * 10 / 15),
        ({"services": 10, "requests_per_second": 2.0, "jitter": 0.0}, 100 * 10 / 35),
        ({"services": 10, "jitter": 0.0, "call_duration": 0.5}, 100 * 10 / 30.5),
        ({"services": 10, "empty": 4, "jitter": 0.0}, 100 * (6 / 30 + 4 / 5)),
        ({"services": 10, "empty": 10, "jitter": 0.0, "negative_ttl": 2.0}, 100 * 10 / 2),
        ({"services": 10, "loops": 4, "jitter": 0.0}, 100 * 10 / 30),
        ({"services": 10, "refresh": "inline", "jitter": 0.0}, 100 * 10 / 30),
    ],
)
def test_calls_a_second_are_answers_over_the_time_between_two_calls(settings, calls):
    """Worked out by hand: a ttl less half of its jitter, the gap until somebody asks, and the call itself."""
    assert steady_of(fleet(**settings)).calls_per_second == pytest.approx(calls)


def test_a_process_that_would_ask_faster_than_its_ceiling_is_held_back_by_it():
    """Its answers grow older than their ttl."""
    steady = steady_of(fleet(services=100, ttl=1.0, jitter=0.0, connections=ConnectionPolicy(max_calls_per_second=20)))
    assert (steady.calls_per_second_per_process, steady.calls_per_second) == (20, 2000)
    assert steady.held_back
    assert steady.throttled
    assert steady.quota_used == 2.0


def test_answers_without_a_ttl_are_asked_for_as_fast_as_the_ceiling_allows():
    """The time between two calls is nothing, and nothing is divided by it."""
    assert steady_of(fleet(ttl=0.0)).calls_per_second_per_process == 200
    assert steady_of(fleet(empty=1, negative_ttl=0.0)).calls_per_second_per_process == 200


@pytest.mark.parametrize(
    ("settings", "waits"),
    [
        ({}, 0.0),
        ({"refresh": "inline"}, 1.0),
        ({"stale_while_revalidate": 0.0}, 1.0),
        ({"requests_per_second": 0.1}, math.exp(-3)),
        ({"requests_per_second": 0.1, "services": 2}, math.exp(-1.5)),
    ],
)
def test_callers_wait_for_renewals_that_no_old_answer_covers(settings, waits):
    """Inline always; in the background where nobody asks during the whole of the stale period."""
    assert steady_of(fleet(**settings)).waits == pytest.approx(waits)


def test_a_month_costs_a_dollar_a_million_calls_and_ten_cents_an_instance():
    """A hundred processes, one service, a ttl of 30 s: 8.64 million calls in thirty days."""
    planned = fleet(jitter=0.0, instances=30)
    month = month_of(planned, steady_of(planned))
    assert month.calls == pytest.approx(8_640_000)
    assert month.usd_for_calls == pytest.approx(8.64)
    assert month.usd == pytest.approx(8.64 + 3.0)


def test_nobody_pays_for_calls_that_are_throttled():
    """AWS answers a thousand a second and no more."""
    planned = fleet(processes=100_000, jitter=0.0)
    assert month_of(planned, steady_of(planned)).usd == pytest.approx(2592.0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"processes": 0}, "processes=0"),
        ({"processes": 1.5}, "processes=1.5"),
        ({"processes": 10**10}, "processes"),
        ({"services": 4097}, "from 1 to 4,096"),
        ({"services": 2, "empty": 3}, "empty=3 is out of range. Give a whole number from 0 to 2"),
        ({"loops": True}, "loops=True"),
        ({"requests_per_second": 0.0}, "requests_per_second=0.0"),
        ({"start_over": math.nan}, "start_over=nan"),
        ({"call_duration": -1}, "call_duration=-1"),
        ({"call_duration": 2.6}, "from 0 to 2.5"),
        ({"connections": ConnectionPolicy(max_calls_per_second=1e300)}, "max_calls_per_second=1e+300"),
        ({"instances": -1}, "instances=-1"),
        ({"quota": Rate(0.5, 1000)}, "quota.burst=0.5"),
        ({"quota": Rate(10, math.inf)}, "quota.per_second=inf"),
    ],
)
def test_a_fleet_that_cannot_be_is_refused(settings, said):
    """With the field, its value, and what would be right."""
    with pytest.raises(ConfigurationError) as caught:
        fleet(**settings)
    assert said in str(caught.value)
