from __future__ import annotations

import dataclasses

import pytest

from aiocloudmap import CachePolicy, ConnectionPolicy
from aiocloudmap.cli.plan.cold_start import cold_start_of, rehearse
from aiocloudmap.cli.plan.fleet import Fleet
from aiocloudmap.cli.plan.plan import plan_for
from aiocloudmap.local.quotas import Rate


def fleet(*, rate=200.0, attempts=1, ttl=30.0, jitter=0.1, **settings):
    """A fleet whose calls take no time, so that figures can be worked out by hand."""
    connections = ConnectionPolicy(max_calls_per_second=rate, max_attempts=attempts)
    cache = CachePolicy(ttl=ttl, jitter=jitter, refresh="background")
    return Fleet(**{"services": 10, "call_duration": 0.0, "connections": connections, "cache": cache, **settings})


def test_questions_within_the_burst_are_answered_at_once():
    """2,000 questions find a full bucket."""
    start = cold_start_of(fleet(processes=200))
    assert (start.questions, start.calls, start.throttled, start.throttled_from) == (2000, 2000, 0, None)
    assert (start.at_least, start.most_after, start.all_after) == (0.0, 0.0, 0.0)


def test_answers_take_the_duration_of_a_call():
    """No answer is there before it."""
    assert cold_start_of(fleet(processes=1, call_duration=0.25)).all_after == 0.25


def test_one_question_above_the_burst_is_throttled():
    """The bucket is empty."""
    start = cold_start_of(fleet(processes=2001, services=1))
    assert start.throttled_from == 0.0
    assert start.throttled > 0
    assert start.calls == 2001 + start.throttled
    assert 0.25 <= start.all_after <= 1.0


def test_max_calls_per_second_spreads_the_calls_of_a_process():
    """10 at once and 30 more at 10 a second take 3 s, and AWS throttles nothing."""
    start = cold_start_of(fleet(processes=20, services=40, rate=10.0))
    assert start.throttled == 0
    assert start.at_least == 3.0
    assert start.all_after == pytest.approx(3.0)
    assert start.most_after == pytest.approx(2.8)


def test_processes_that_start_slowly_are_not_throttled():
    """AWS answers 2,000 + 18 x 1,000 questions in 18 s: a little more time is enough, less is not."""
    start = cold_start_of(fleet(processes=2000, start_over=18.5))
    assert (start.throttled, start.all_after) == (0, pytest.approx(18.5))
    assert cold_start_of(fleet(processes=2000, start_over=17.0)).throttled > 0


def test_no_start_is_faster_than_the_quota():
    """It takes (20,000 - 2,000) / 1,000 s at least."""
    start = cold_start_of(fleet(processes=2000))
    assert start.at_least == 18.0
    assert start.all_after > 18.0
    assert start.calls == pytest.approx(20_000 + start.throttled)


def test_retries_of_botocore_are_calls():
    """They cause more throttled calls, and answers come hardly sooner."""
    once, thrice = (cold_start_of(fleet(processes=2000, attempts=attempts)) for attempts in (1, 3))
    assert thrice.throttled > 2 * once.throttled
    assert thrice.all_after > 0.8 * once.all_after


def test_retries_are_limited_by_the_retry_quota_of_botocore(monkeypatch):
    """It allows 100 retries at first, far fewer than 300 questions would take."""
    pressed = fleet(processes=1, services=300, rate=300.0, attempts=3, quota=Rate(1, 100), call_duration=0.01)
    bounded = rehearse(pressed, 0).calls
    monkeypatch.setattr("aiocloudmap.cli.plan.cold_start._RETRY_TOKENS", 1_000_000)
    assert rehearse(pressed, 0).calls > bounded + 200


def test_no_question_is_retried_after_its_deadline():
    """One service has its answer at once, the other after a second, and backoff allows few calls in between."""
    hasty = ConnectionPolicy(max_attempts=3, discovery_timeout=0.001)
    pressed = fleet(processes=1, services=2, quota=Rate(1, 1))
    assert rehearse(dataclasses.replace(pressed, connections=hasty), 0).calls <= 5


def test_each_event_loop_asks_its_own_first_questions():
    """Event loops of a process share answers, but not calls."""
    start = cold_start_of(fleet(processes=10, loops=3, call_duration=0.01))
    assert (start.questions, start.calls) == (300, 300)


def test_a_large_fleet_is_scaled_down():
    """With the same quota for each process, times stay the same and counts scale."""
    large = fleet(processes=600, quota=Rate(600, 300))
    small = rehearse(fleet(processes=150, quota=Rate(150, 75)), 0)
    start = cold_start_of(large)
    assert start.calls == 4 * small.calls
    assert start.all_after == small.answered[-1]


def test_the_same_fleet_has_the_same_plan():
    """Rehearsals are seeded."""
    assert plan_for(fleet(processes=300)) == plan_for(fleet(processes=300))


def test_a_slow_start_is_rehearsed():
    """Virtual time passes in a moment."""
    assert cold_start_of(fleet(processes=2000, start_over=3600.0)).all_after == 3600.0


def test_a_start_that_takes_too_long_is_not_rehearsed():
    """Only the least time is known then."""
    loops = cold_start_of(fleet(processes=100, loops=2, quota=Rate(1000, 0.01)))
    assert (loops.at_least, loops.all_after) == (0.0, None)
    assert cold_start_of(fleet(processes=1, services=4000, loops=6)).all_after is None
    assert cold_start_of(fleet(processes=1, services=1, loops=51)).all_after is None
    start = cold_start_of(fleet(processes=1_000_000, services=100))
    assert start.at_least == pytest.approx(99_998.0)
    assert (start.calls, start.throttled, start.all_after) == (None, None, None)


def test_the_advice_for_a_fleet_that_starts_throttled():
    """Worked out by hand for 2,000 processes and 10 services."""
    planned = plan_for(fleet(processes=2000))
    advice = planned.advice
    # 20,000 answers at 900 calls a second, a twentieth off the ttl on average.
    assert advice.ttl == pytest.approx(20_000 / 900 / 0.95)
    assert advice.ttl_after_start == pytest.approx(planned.cold_start.all_after / 0.9)
    assert advice.jitter == pytest.approx(20_000 / 1000 / 30)
    assert advice.start_over == pytest.approx(18_000 / 900)
    assert advice.max_calls_per_second == 0.5


def test_a_fleet_within_the_quota_needs_no_advice_for_its_start():
    """Nothing is throttled."""
    advice = plan_for(fleet(processes=100)).advice
    assert (advice.ttl_after_start, advice.start_over) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"processes": 10_000, "empty": 1}, "ttl"),
        ({"processes": 2000, "jitter": 1.0}, "ttl_after_start"),
        ({"processes": 4000}, "jitter"),
        ({"processes": 2500}, "jitter"),
        ({"processes": 100, "ttl": 0.0}, "jitter"),
        ({"processes": 3000}, "max_calls_per_second"),
        ({"processes": 20, "ttl": 0.1}, "max_calls_per_second"),
    ],
)
def test_settings_that_cannot_help_are_not_advised(settings, field):
    """Each setting has fleets for which no value is enough."""
    assert getattr(plan_for(fleet(**settings)).advice, field) is None
