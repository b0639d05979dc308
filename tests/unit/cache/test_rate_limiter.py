"""Turns: a burst, then a rate; slowly at first after AWS has throttled a call."""

from __future__ import annotations

import pytest

from aiocloudmap.cache.entry import NEVER
from aiocloudmap.cache.rate_limiter import RateLimiter


@pytest.fixture
def limiter() -> RateLimiter:
    """Eight calls a second, eight at once, a queue of a second."""
    return RateLimiter(8, burst=8, max_queue_time=1)


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backoff takes half of what it may, the least."""
    monkeypatch.setattr("random.SystemRandom.random", lambda _: 0.0)


def turns(limiter: RateLimiter, now: float, count: int) -> list[float]:
    """How long so many calls that come at one moment have to wait."""
    return [limiter.reserve(now) for _ in range(count)]


def test_a_burst_goes_at_once_and_the_rest_at_the_rate(limiter):
    """Eight wait for nothing, the ninth for an eighth of a second, and so on."""
    assert turns(limiter, 100.0, 10) == [0.0] * 8 + [0.125, 0.25]


def test_what_was_not_used_is_there_again_and_no_more(limiter):
    """After a quarter of a second two more may go; after a day no more than a burst."""
    turns(limiter, 100.0, 8)
    assert turns(limiter, 100.25, 3) == [0.0, 0.0, 0.125]
    assert turns(limiter, 90_000.0, 9) == [0.0] * 8 + [0.125]


@pytest.mark.parametrize("rate", [0.5, 1.0, 7.0, 200.0])
def test_no_second_has_more_calls_than_a_burst_and_the_rate(rate):
    """However callers press, what begins within any one second is bounded."""
    limiter = RateLimiter(rate, burst=max(1.0, rate), max_queue_time=2.5)
    begun, now = [], 0.0
    while now < 30:
        while now >= limiter.blocked_until:
            begun.append(now + limiter.reserve(now))
        now += 0.01
    for first in begun:
        assert sum(first <= each < first + 1 for each in begun) <= max(1.0, rate) + rate + 1


def test_the_queue_is_as_long_as_may_be_waited(limiter):
    """With a second of calls waiting nobody else may come; until then everybody may."""
    assert limiter.blocked_until <= 100.0
    turns(limiter, 100.0, 8 + 8)
    assert limiter.blocked_until == 100.125
    assert "max_calls_per_second" in str(limiter.refusal())


def test_who_is_turned_away_comes_again_at_a_moment_of_his_own(limiter, monkeypatch):
    """All that wait for one moment would come together, and all but one in vain."""
    assert limiter.retry_at(100.0) == NEVER
    turns(limiter, 100.0, 16)
    assert limiter.retry_at(100.0) == limiter.blocked_until
    monkeypatch.setattr("random.SystemRandom.random", lambda _: 0.5)
    assert limiter.retry_at(100.0) == limiter.blocked_until + 0.5


def test_after_a_throttle_nobody_asks_before_the_floor(limiter):
    """The floor rises with each throttled call, but for those that were under way together."""
    assert limiter.on_throttled(100.0) == 0.25
    assert limiter.blocked_until == limiter.throttled_until == 100.25
    assert limiter.on_throttled(100.0) is None
    assert limiter.retry_at(100.0) == 100.25
    assert limiter.on_throttled(100.25) == 0.5
    assert limiter.throttled_until == 100.75
    assert "throttles" in str(limiter.refusal())


def test_after_the_floor_calls_are_few_and_grow_with_each_answer(limiter):
    """Five at once, then two a second, then one more a second for each answer, up to the rate and the full burst."""
    limiter.on_throttled(100.0)
    assert turns(limiter, 100.25, 7) == [0.0] * 5 + [0.5, 1.0]
    limiter.on_answer(100.25, 100.25)
    assert limiter.is_slow
    for _ in range(5):
        limiter.on_answer(100.25, 100.25)
    assert not limiter.is_slow
    assert turns(limiter, 100.25, 2) == [0.0, 0.125]
    assert turns(limiter, 200.0, 9) == [0.0] * 8 + [0.125]


def test_a_call_from_before_the_floor_proves_nothing(limiter):
    """Its answer says how it was before AWS throttled."""
    limiter.on_throttled(100.0)
    limiter.on_answer(100.0, 100.0)
    assert limiter.throttled_until == 100.25
    limiter.on_answer(100.25, 100.25)
    assert limiter.throttled_until == NEVER


def test_a_rate_below_the_slow_one_stays_below(limiter):
    """Whoever allows one call in ten seconds gets no more because AWS throttled one."""
    slow = RateLimiter(0.1, burst=1, max_queue_time=1)
    slow.on_throttled(100.0)
    assert turns(slow, 100.25, 2) == [0.0, 10.0]


def test_time_that_passed_unseen_passed_for_turns_too(limiter):
    """A thawed process need not wait for what was over in its sleep."""
    turns(limiter, 100.0, 16)
    limiter.on_throttled(100.0)
    limiter.add_age(3600)
    assert limiter.blocked_until <= 100.0
    assert turns(limiter, 100.0, 5) == [0.0] * 5


def test_the_repr_shows_how_slow_it_is(limiter):
    """A log line or a debugger needs no arithmetic."""
    limiter.on_throttled(100.0)
    assert repr(limiter) == "<RateLimiter at 2 of 8 calls a second>"
