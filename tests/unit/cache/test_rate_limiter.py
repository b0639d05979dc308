"""The rate limiter: a burst, then a steady rate, and slow at first after AWS has throttled a call."""

from __future__ import annotations

import pytest

from aiocloudmap.cache.entry import LONG_AGO
from aiocloudmap.cache.rate_limiter import Rate, RateLimiter


@pytest.fixture
def limiter() -> RateLimiter:
    """Eight calls a second, a burst of eight, a queue of one second."""
    return RateLimiter(Rate(8, 8), max_queue_time=1)


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backoff takes the shortest time, half of the longest."""
    monkeypatch.setattr("random.SystemRandom.random", lambda _: 0.0)


def turns(limiter: RateLimiter, now: float, count: int) -> list[float]:
    """How long each of so many calls that come at the same time has to wait."""
    return [limiter.reserve(now) for _ in range(count)]


def test_a_burst_starts_at_once_and_the_rest_at_the_rate(limiter):
    """Eight calls do not wait, the ninth waits for an eighth of a second, and so on."""
    assert turns(limiter, 100.0, 10) == [0.0] * 8 + [0.125, 0.25]


def test_unused_turns_add_up_to_one_burst_at_most(limiter):
    """After a quarter of a second there are two more, after a day one burst."""
    turns(limiter, 100.0, 8)
    assert turns(limiter, 100.25, 3) == [0.0, 0.0, 0.125]
    assert turns(limiter, 90_000.0, 9) == [0.0] * 8 + [0.125]


@pytest.mark.parametrize("rate", [0.5, 1.0, 7.0, 200.0])
def test_no_second_has_more_calls_than_burst_and_rate(rate):
    """However many callers come, the calls that start within any second are bounded."""
    limiter = RateLimiter(Rate(rate, max(1.0, rate)), max_queue_time=2.5)
    begun, now = [], 0.0
    while now < 30:
        while now >= limiter.blocked_until:
            begun.append(now + limiter.reserve(now))
        now += 0.01
    for first in begun:
        assert sum(first <= each < first + 1 for each in begun) <= max(1.0, rate) + rate + 1


def test_a_full_queue_blocks_further_calls(limiter):
    """It is full when the last call has to wait for a second."""
    assert limiter.blocked_until <= 100.0
    turns(limiter, 100.0, 8 + 8)
    assert limiter.blocked_until == 100.125
    assert "max_calls_per_second" in str(limiter.refusal())


def test_refused_callers_retry_at_different_times(limiter, monkeypatch):
    """If they all came back at the same time, most would be refused again."""
    assert limiter.retry_at(100.0) == LONG_AGO
    turns(limiter, 100.0, 16)
    assert limiter.retry_at(100.0) == limiter.blocked_until
    monkeypatch.setattr("random.SystemRandom.random", lambda _: 0.5)
    assert limiter.retry_at(100.0) == limiter.blocked_until + 0.5


def test_no_call_is_made_until_a_throttle_ends(limiter):
    """Each further throttle doubles the wait, except for calls in flight at the first one."""
    assert limiter.on_throttled(100.0) == 0.25
    assert limiter.blocked_until == limiter.throttled_until == 100.25
    assert limiter.on_throttled(100.0) is None
    assert limiter.retry_at(100.0) == 100.25
    assert limiter.on_throttled(100.25) == 0.5
    assert limiter.throttled_until == 100.75
    assert "throttles" in str(limiter.refusal())


def test_after_a_throttle_the_rate_grows_with_each_answer(limiter):
    """First a burst of five and two a second, then one more a second per answer, up to the full rate."""
    limiter.on_throttled(100.0)
    assert turns(limiter, 100.25, 7) == [0.0] * 5 + [0.5, 1.0]
    limiter.on_answer(100.25, 100.25)
    assert limiter.is_slow
    for _ in range(5):
        limiter.on_answer(100.25, 100.25)
    assert not limiter.is_slow
    assert turns(limiter, 100.25, 2) == [0.0, 0.125]
    assert turns(limiter, 200.0, 9) == [0.0] * 8 + [0.125]


def test_an_answer_from_before_the_throttle_does_not_count(limiter):
    """AWS accepted that call before it throttled."""
    limiter.on_throttled(100.0)
    limiter.on_answer(100.0, 100.0)
    assert limiter.throttled_until == 100.25
    limiter.on_answer(100.25, 100.25)
    assert limiter.throttled_until == LONG_AGO


def test_a_throttle_never_raises_the_rate(limiter):
    """A limit of one call in ten seconds stays, though the rate after a throttle is two a second."""
    slow = RateLimiter(Rate(0.1, 1), max_queue_time=1)
    slow.on_throttled(100.0)
    assert turns(slow, 100.25, 2) == [0.0, 10.0]


def test_unseen_time_counts_for_the_limiter(limiter):
    """A process that was frozen need not wait for a throttle that has ended."""
    turns(limiter, 100.0, 16)
    limiter.on_throttled(100.0)
    limiter.add_age(3600)
    assert limiter.blocked_until <= 100.0
    assert turns(limiter, 100.0, 5) == [0.0] * 5


def test_the_repr_shows_the_current_rate(limiter):
    """And the full rate."""
    limiter.on_throttled(100.0)
    assert repr(limiter) == "<RateLimiter at 2 of 8 calls a second>"
