"""What an answer is good for, as pure functions of times and policy (RFC 9111, RFC 5861).

| from | to | the answer is |
|---|---|---|
| written | soft = written + ttl * (1 - jitter * U) | fresh |
| soft | min(soft + stale_while_revalidate, hard) | stale |
| then | hard = written + ttl + stale_if_error | fallback |
| hard, or never written | | absent |

Where nothing may outlive the callers (`CachePolicy.inline`) there is no stale period, its time is fallback. An empty
answer lives for negative_ttl and has neither.

U is drawn evenly from 0 to 1 and passed in, so that the functions stay pure.
"""

from __future__ import annotations

from aiocloudmap.cache.entry import NEVER, Cell
from aiocloudmap.model.answer import is_empty
from aiocloudmap.model.policy import CachePolicy
from aiocloudmap.model.stats import Freshness

__all__ = ["backoff", "hold_end", "lifetime", "stale_until", "state"]

_FIRST_BACKOFF = 0.5
_MAX_BACKOFF = 30.0


def lifetime(policy: CachePolicy, written: float, *, empty: bool, u: float) -> tuple[float, float]:
    """Soft and hard of an answer that is written at `written`."""
    if empty:
        end = written + policy.negative_ttl
        return end, end
    soft = written + policy.ttl * (1 - policy.jitter * u)
    hard = written + policy.ttl + policy.stale_if_error
    return soft, hard


def stale_until(cell: Cell) -> float:
    """When the cell's answer is no longer stale. It follows from the rest, and thousands of cells keep the less."""
    if cell.inline:
        return cell.soft
    return min(cell.soft + cell.policy.stale_while_revalidate, cell.hard)


def state(cell: Cell, now: float) -> Freshness:
    """What the cell's answer is good for now."""
    if now < cell.soft:
        return Freshness.FRESH
    if now >= cell.hard:
        return Freshness.ABSENT
    return Freshness.STALE if now < stale_until(cell) else Freshness.FALLBACK


def backoff(failures: int, u: float) -> float:
    """Seconds before the next attempt after so many failures in a row: 0.5, 1, 2, ... 30, times U[1/2, 1)."""
    # The exponent is capped because a float cannot hold what years of failures would make of it.
    return min(_MAX_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(failures - 1, 16)) * (0.5 + u / 2)


def hold_end(cell: Cell, now: float) -> float:
    """Until when an empty answer that came now is doubted; NEVER where it is to be believed.

    A HEALTHY or UNHEALTHY filter asked for just this emptiness; an answer without instances has nothing to keep.
    """
    if cell.policy.empty_hold_time == 0 or cell.query.believes_empty:
        return NEVER
    if cell.snapshot is None or is_empty(cell.snapshot):
        return NEVER
    since = now if cell.trouble.empty_since == NEVER else cell.trouble.empty_since
    end = min(since + cell.policy.empty_hold_time, cell.hard)
    return end if now < end else NEVER
