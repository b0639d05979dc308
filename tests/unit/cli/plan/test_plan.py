from __future__ import annotations

import math

import pytest

from aiocloudmap import CachePolicy, ConfigurationError, ConnectionPolicy
from aiocloudmap.cli.plan.fleet import AWS_QUOTA, Fleet
from aiocloudmap.cli.plan.plan import month_of, steady_of
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


def test_the_quota_is_that_of_the_local_world():
    """2,000 calls at once and 1,000 a second, as in AWS's documentation."""
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
def test_calls_per_second_are_answers_over_the_interval(settings, calls):
    """Worked out by hand: the ttl less half of its jitter, the gap until the next question, and the call."""
    assert steady_of(fleet(**settings)).calls_per_second == pytest.approx(calls)


def test_max_calls_per_second_limits_each_process():
    """Answers grow older than their ttl."""
    steady = steady_of(fleet(services=100, ttl=1.0, jitter=0.0, connections=ConnectionPolicy(max_calls_per_second=20)))
    assert (steady.calls_per_second_per_process, steady.calls_per_second) == (20, 2000)
    assert steady.held_back
    assert steady.throttled
    assert steady.quota_used == 2.0


def test_without_a_ttl_a_process_asks_up_to_its_limit():
    """An interval of 0 is not divided by."""
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
def test_callers_wait_for_renewals_without_an_old_answer(settings, waits):
    """Always if inline; in the background if no question comes during the stale period."""
    assert steady_of(fleet(**settings)).waits == pytest.approx(waits)


def test_a_month_costs_calls_and_instances():
    """100 processes, one service and a ttl of 30 s make 8.64 million calls in 30 days."""
    planned = fleet(jitter=0.0, instances=30)
    month = month_of(planned, steady_of(planned))
    assert month.calls == pytest.approx(8_640_000)
    assert month.usd_for_calls == pytest.approx(8.64)
    assert month.usd == pytest.approx(8.64 + 3.0)


def test_throttled_calls_are_free():
    """AWS answers at most 1,000 a second."""
    planned = fleet(processes=100_000, jitter=0.0)
    assert month_of(planned, steady_of(planned)).usd == pytest.approx(2592.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"processes": 0}, "invalid processes 0: expected a whole number from 1 to 1,000,000,000"),
        ({"processes": 1.5}, "invalid processes 1.5: expected a whole number from 1 to 1,000,000,000"),
        ({"processes": 10**10}, "invalid processes 10000000000: expected a whole number from 1 to 1,000,000,000"),
        ({"services": 4097}, "invalid services 4097: expected a whole number from 1 to 4,096"),
        ({"services": 2, "empty": 3}, "invalid empty 3: expected a whole number from 0 to 2"),
        ({"loops": True}, "invalid loops True: expected a whole number from 1 to 1,000"),
        ({"requests_per_second": 0.0}, "invalid requests_per_second 0.0: expected a number from 1e-06 to"),
        ({"start_over": math.nan}, "invalid start_over nan: expected a number from 0 to 1,000,000,000"),
        ({"call_duration": -1}, "invalid call_duration -1: expected a number from 0 to 2.5"),
        ({"call_duration": 2.6}, "invalid call_duration 2.6: expected a number from 0 to 2.5"),
        (
            {"connections": ConnectionPolicy(max_calls_per_second=1e300)},
            "invalid max_calls_per_second 1e+300: expected a number from 0.001 to 1,000,000,000",
        ),
        ({"instances": -1}, "invalid instances -1: expected a whole number from 0 to 1,000,000,000"),
        ({"quota": Rate(0.5, 1000)}, "invalid quota.burst 0.5: expected a number from 1 to 1,000,000,000"),
        ({"quota": Rate(10, math.inf)}, "invalid quota.per_second inf: expected a number from 0.001 to 1,000,000,000"),
    ],
)
def test_an_invalid_fleet_is_refused(settings, message):
    """With the field, its value, and the allowed range."""
    with pytest.raises(ConfigurationError) as caught:
        fleet(**settings)
    assert message in str(caught.value)
