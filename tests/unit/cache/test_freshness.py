"""The arithmetic of freshness: pure, so every number can be had exactly, and any number can be tried."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiocloudmap import CachePolicy, Freshness, HealthFilter, Instance, Query, ServiceName, Snapshot
from aiocloudmap.cache.entry import NEVER, Entry
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
    """A entry with an answer of so many instances."""
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
def test_the_times_of_an_answer_are_those_of_the_formulas(policy, u, expected):
    """soft = written + ttl·(1 - jitter·U); hard = written + ttl + stale_if_error; stale to the earlier of its ends."""
    entry = entry_of(CachePolicy(**{"refresh": "background", **policy}), written=100.0, u=u)
    assert (entry.soft, stale_until(entry), entry.hard) == pytest.approx(expected)


def test_an_empty_answer_lives_for_negative_ttl_and_has_no_stale_period():
    """Its three ends are one; ttl, jitter and stale do not touch it."""
    for negative_ttl, end in ((5, 105), (0, 100)):
        entry = entry_of(CachePolicy(negative_ttl=negative_ttl), instances=0, written=100.0, u=0.7)
        assert (entry.soft, stale_until(entry), entry.hard) == (end, end, end)


@given(POLICIES, st.floats(-1e6, 1e6), st.booleans(), UNIT)
def test_soft_stale_and_hard_come_in_this_order(policy, written, empty, u):
    """Whatever the policy: an answer is never given unasked after it may be given at all, nor before it was written."""
    entry = entry_of(policy, instances=0 if empty else 1, written=written, u=u)
    assert written <= entry.soft + 1e-6
    assert entry.soft <= stale_until(entry) + 1e-6
    assert stale_until(entry) <= entry.hard + 1e-6
    if not empty:
        assert entry.hard == written + policy.ttl + policy.stale_if_error


@given(POLICIES, SECONDS)
def test_a_state_ends_where_the_next_one_begins(policy, moment):
    """At every moment exactly one state, by the first end that is still to come."""
    entry = entry_of(policy)
    soft, stale, hard = entry.soft, stale_until(entry), entry.hard
    judged = state(entry, moment)
    assert (judged is Freshness.FRESH) == (moment < soft)
    assert (judged is Freshness.STALE) == (soft <= moment < stale)
    assert (judged is Freshness.FALLBACK) == (max(soft, stale) <= moment < hard)
    assert (judged is Freshness.ABSENT) == (moment >= max(soft, stale, hard))


@given(POLICIES.filter(lambda policy: policy.inline), SECONDS)
def test_inline_has_no_stale_state(policy, moment):
    """Its time is fallback."""
    assert state(entry_of(policy), moment) is not Freshness.STALE


def test_what_was_never_written_is_absent():
    """Whatever the clock says."""
    entry = Entry(Query(ORDERS), CachePolicy())
    assert {state(entry, now) for now in (-1e300, 0.0, 1e300)} == {Freshness.ABSENT}


@pytest.mark.parametrize(
    ("failures", "longest"),
    [(1, 0.5), (2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 30), (8, 30), (1000, 30), (10**9, 30)],
)
def test_the_backoff_doubles_to_thirty_seconds(failures, longest):
    """min(30, 0.5·2ⁿ⁻¹), of which between the half and the whole is waited; however long it goes on."""
    assert backoff(failures, 0.0) == longest / 2
    assert backoff(failures, 0.5) == longest * 0.75
    assert backoff(failures, 1.0) == longest


@given(st.integers(1, 10**6), UNIT)
def test_the_backoff_lies_between_the_half_and_the_whole(failures, u):
    """U[½, 1): never nothing, never more than 30 s."""
    longest = min(30.0, 0.5 * 2.0 ** min(failures - 1, 100))
    assert longest / 2 <= backoff(failures, u) < longest + 1e-9
    assert backoff(failures, u) <= backoff(failures + 1, u)


@pytest.mark.parametrize(("now", "end"), [(60.0, 90.0), (610.0, 630.0), (630.0, NEVER), (700.0, NEVER)])
def test_a_hold_that_begins_lasts_for_its_time_or_to_the_hard_end(now, end):
    """The earlier of hard and empty_hold_time after the first empty answer."""
    assert hold_end(entry_of(CachePolicy(jitter=0)), now) == end


@pytest.mark.parametrize(("now", "end"), [(60.0, 90.0), (89.9, 90.0), (90.0, NEVER), (100.0, NEVER)])
def test_a_hold_that_goes_on_ends_by_its_first_empty_answer(now, end):
    """At its end the next empty answer is believed."""
    entry = entry_of(CachePolicy(jitter=0))
    entry.hold(since=60.0, until=65.0)
    assert hold_end(entry, now) == end


@pytest.mark.parametrize("health", list(HealthFilter))
def test_a_health_filter_is_believed(health):
    """HEALTHY and UNHEALTHY hold nothing off; the other two do."""
    held = hold_end(entry_of(CachePolicy(), health=health), 60.0) > NEVER
    assert held == (health in (HealthFilter.ALL, HealthFilter.HEALTHY_OR_ELSE_ALL))


def test_there_is_no_hold_without_a_time_or_without_anything_to_keep():
    """empty_hold_time=0, an empty answer before, or none at all."""
    assert hold_end(entry_of(CachePolicy(empty_hold_time=0)), 60.0) == NEVER
    assert hold_end(entry_of(CachePolicy(), instances=0), 1.0) == NEVER
    assert hold_end(Entry(Query(ORDERS), CachePolicy()), 60.0) == NEVER


@given(POLICIES, SECONDS, SECONDS)
def test_a_hold_never_passes_hard_nor_its_own_time(policy, first, later):
    """For any policy, and whenever the first and the present empty answer came."""
    entry = entry_of(policy)
    now = first + later
    entry.hold(since=first, until=first)
    end = hold_end(entry, now)
    assert end == NEVER or now < end <= min(entry.hard, first + policy.empty_hold_time)
    assert math.isfinite(end) == (policy.empty_hold_time > 0 and now < min(entry.hard, first + policy.empty_hold_time))
