"""The rules of freshness: exact numbers for examples, and properties for any numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiocloudmap import CachePolicy, Freshness, HealthFilter, Instance, Query, ServiceName, Snapshot
from aiocloudmap.cache.entry import LONG_AGO, Entry
from aiocloudmap.cache.freshness import backoff, hold_end, lifetime, stale_until, state

ORDERS = ServiceName("shop", "orders")
SECONDS = st.floats(0, 1e6)
UNIT = st.floats(0, 1, exclude_max=True)
POLICIES = st.builds(
    CachePolicy,
    ttl=SECONDS,
    stale_while_revalidate=SECONDS,
    stale_if_error=SECONDS,
    negative_ttl=SECONDS,
    empty_hold_time=SECONDS,
    jitter=st.floats(0, 1),
    refresh=st.sampled_from(["background", "inline"]),
)


def entry_of(policy: CachePolicy, *, health=HealthFilter.HEALTHY_OR_ELSE_ALL, instances=1, written=0.0, u=0.0) -> Entry:
    """An entry with an answer of so many instances."""
    entry = Entry(Query(ORDERS, health=health), policy)
    snapshot = Snapshot(ORDERS, [Instance(str(n), ORDERS) for n in range(instances)])
    soft, hard = lifetime(policy, written, empty=not instances, u=u)
    entry.write(snapshot, soft=soft, hard=hard, written=written, started=written)
    return entry


@pytest.mark.parametrize(
    ("policy", "u", "expected"),
    [
        ({}, 0.0, (130, 160, 730)),
        ({}, 1.0, (127, 157, 730)),
        ({}, 0.5, (128.5, 158.5, 730)),
        ({"jitter": 1}, 1.0, (100, 130, 730)),
        ({"jitter": 0}, 1.0, (130, 160, 730)),
        ({"ttl": 0}, 1.0, (100, 130, 700)),
        ({"stale_while_revalidate": 0}, 0.0, (130, 130, 730)),
        ({"stale_if_error": 0}, 0.0, (130, 130, 130)),
        ({"stale_if_error": 0}, 1.0, (127, 130, 130)),
        ({"stale_if_error": 10}, 0.0, (130, 140, 140)),
        ({"ttl": 0, "stale_if_error": 0}, 0.0, (100, 100, 100)),
        ({"refresh": "inline"}, 0.0, (130, 130, 730)),
    ],
)
def test_an_answer_has_the_times_of_the_formulas(policy, u, expected):
    """Soft end, end of the stale period, and hard end, as in the module's table."""
    entry = entry_of(CachePolicy(**{"refresh": "background", **policy}), written=100.0, u=u)
    assert (entry.soft, stale_until(entry), entry.hard) == pytest.approx(expected)


def test_an_empty_answer_lives_for_negative_ttl_only():
    """Its three ends are the same. ttl, jitter and the stale times do not count."""
    for negative_ttl, end in ((5, 105), (0, 100)):
        entry = entry_of(CachePolicy(negative_ttl=negative_ttl), instances=0, written=100.0, u=0.7)
        assert (entry.soft, stale_until(entry), entry.hard) == (end, end, end)


@given(POLICIES, st.floats(-1e6, 1e6), st.booleans(), UNIT)
def test_an_answer_ends_soft_then_stale_then_hard(policy, written, empty, u):
    """For any policy."""
    entry = entry_of(policy, instances=0 if empty else 1, written=written, u=u)
    assert written <= entry.soft + 1e-6
    assert entry.soft <= stale_until(entry) + 1e-6
    assert stale_until(entry) <= entry.hard + 1e-6
    if not empty:
        assert entry.hard == written + policy.ttl + policy.stale_if_error


@given(POLICIES, SECONDS)
def test_an_answer_has_exactly_one_state_at_any_time(policy, moment):
    """Each state ends when the next one begins."""
    entry = entry_of(policy)
    soft, stale, hard = entry.soft, stale_until(entry), entry.hard
    current = state(entry, moment)
    assert (current is Freshness.FRESH) == (moment < soft)
    assert (current is Freshness.STALE) == (soft <= moment < stale)
    assert (current is Freshness.FALLBACK) == (max(soft, stale) <= moment < hard)
    assert (current is Freshness.ABSENT) == (moment >= max(soft, stale, hard))


@given(POLICIES.filter(lambda policy: policy.inline), SECONDS)
def test_inline_has_no_stale_state(policy, moment):
    """That time is fallback."""
    assert state(entry_of(policy), moment) is not Freshness.STALE


def test_an_answer_that_was_never_written_is_absent():
    """Whatever the clock says."""
    entry = Entry(Query(ORDERS), CachePolicy())
    assert {state(entry, now) for now in (-1e300, 0.0, 1e300)} == {Freshness.ABSENT}


@pytest.mark.parametrize(
    ("failures", "longest"),
    [(1, 0.5), (2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 30), (8, 30), (1000, 30), (10**9, 30)],
)
def test_the_backoff_doubles_to_thirty_seconds(failures, longest):
    """The wait is between half of that and all of it, after any number of failures."""
    assert backoff(failures, 0.0) == longest / 2
    assert backoff(failures, 0.5) == longest * 0.75
    assert backoff(failures, 1.0) == longest


@given(st.integers(1, 10**6), UNIT)
def test_the_backoff_is_at_least_half_of_the_longest(failures, u):
    """It is never 0, never over 30 s, and never shrinks with more failures."""
    longest = min(30.0, 0.5 * 2.0 ** min(failures - 1, 100))
    assert longest / 2 <= backoff(failures, u) < longest + 1e-9
    assert backoff(failures, u) <= backoff(failures + 1, u)


@pytest.mark.parametrize(("now", "end"), [(60.0, 90.0), (610.0, 630.0), (630.0, LONG_AGO), (700.0, LONG_AGO)])
def test_a_new_hold_ends_at_the_hard_end_at_latest(now, end):
    """Whichever is earlier."""
    assert hold_end(entry_of(CachePolicy(jitter=0)), now) == end


@pytest.mark.parametrize(("now", "end"), [(60.0, 90.0), (89.9, 90.0), (90.0, LONG_AGO), (100.0, LONG_AGO)])
def test_further_empty_answers_do_not_prolong_a_hold(now, end):
    """At its end, the next empty answer is believed."""
    entry = entry_of(CachePolicy(jitter=0))
    entry.hold(since=60.0, until=65.0)
    assert hold_end(entry, now) == end


@pytest.mark.parametrize("health", list(HealthFilter))
def test_an_empty_answer_to_a_health_filter_is_believed(health):
    """To HEALTHY and UNHEALTHY. With the other two filters it is held off."""
    held = hold_end(entry_of(CachePolicy(), health=health), 60.0) > LONG_AGO
    assert held == (health in (HealthFilter.ALL, HealthFilter.HEALTHY_OR_ELSE_ALL))


def test_some_empty_answers_are_believed_at_once():
    """With empty_hold_time=0, after another empty answer, and without an answer."""
    assert hold_end(entry_of(CachePolicy(empty_hold_time=0)), 60.0) == LONG_AGO
    assert hold_end(entry_of(CachePolicy(), instances=0), 1.0) == LONG_AGO
    assert hold_end(Entry(Query(ORDERS), CachePolicy()), 60.0) == LONG_AGO


@given(POLICIES, SECONDS, SECONDS)
def test_a_hold_never_outlasts_the_hard_end_or_its_time(policy, first, later):
    """For any policy and any times of the empty answers."""
    entry = entry_of(policy)
    now = first + later
    entry.hold(since=first, until=first)
    end = hold_end(entry, now)
    assert end == LONG_AGO or now < end <= min(entry.hard, first + policy.empty_hold_time)
    assert math.isfinite(end) == (policy.empty_hold_time > 0 and now < min(entry.hard, first + policy.empty_hold_time))
