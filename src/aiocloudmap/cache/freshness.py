"""The rules of freshness, as pure functions of times and policy (RFC 9111, RFC 5861).

| from | to | the answer is |
|---|---|---|
| written | soft = written + ttl * (1 - jitter * U) | fresh |
| soft | min(soft + stale_while_revalidate, hard) | stale |
| then | hard = written + ttl + stale_if_error | fallback |
| hard, or never written | | absent |

With inline refresh there is no stale period: its time is fallback. An empty answer lives for negative_ttl and is
then absent. U is drawn uniformly from 0 to 1 and passed in, so the functions stay pure.
"""

from __future__ import annotations

from aiocloudmap.cache.entry import LONG_AGO, Entry
from aiocloudmap.model.answer import is_empty
from aiocloudmap.model.policy import CachePolicy
from aiocloudmap.model.stats import Freshness

__all__ = ["backoff", "hold_end", "lifetime", "stale_until", "state"]

_FIRST_BACKOFF = 0.5
_MAX_BACKOFF = 30.0


def lifetime(policy: CachePolicy, written: float, *, empty: bool, u: float) -> tuple[float, float]:
    """Soft and hard end of an answer that is written at `written`."""
    if empty:
        end = written + policy.negative_ttl
        return end, end
    soft = written + policy.ttl * (1 - policy.jitter * u)
    hard = written + policy.ttl + policy.stale_if_error
    return soft, hard


def stale_until(entry: Entry) -> float:
    """When the answer stops being stale. Derived rather than stored, since there may be thousands of entries."""
    if entry.inline:
        return entry.soft
    return min(entry.soft + entry.policy.stale_while_revalidate, entry.hard)


def state(entry: Entry, now: float) -> Freshness:
    """What the entry's answer is good for now."""
    if now < entry.soft:
        return Freshness.FRESH
    if now >= entry.hard:
        return Freshness.ABSENT
    return Freshness.STALE if now < stale_until(entry) else Freshness.FALLBACK


def backoff(failures: int, u: float) -> float:
    """Seconds before the next attempt after so many failures in a row: 0.5, 1, 2, ... 30, times U[1/2, 1)."""
    # The exponent is capped: 2 to the power of a year of failures does not fit into a float.
    return min(_MAX_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(failures - 1, 16)) * (0.5 + u / 2)


def hold_end(entry: Entry, now: float) -> float:
    """Until when an empty answer that arrives now is held off; LONG_AGO if it is believed.

    It is believed with an empty_hold_time of 0, if the caller filters by HEALTHY or UNHEALTHY, if there is no other
    answer in memory, and after the end of the hold.
    """
    if entry.policy.empty_hold_time == 0 or entry.query.believes_empty:
        return LONG_AGO
    if entry.answer is None or is_empty(entry.answer):
        return LONG_AGO
    since = now if entry.failures.empty_since == LONG_AGO else entry.failures.empty_since
    end = min(since + entry.policy.empty_hold_time, entry.hard)
    return end if now < end else LONG_AGO
