"""A fleet that starts with no answer at all: what it asks, what AWS lets through, and when everybody has an answer.

| AWS lets through | of a fleet that asks |
|---|---|
| `burst` calls at once, then `per_second` a second, over all processes | |
| `max_calls_per_second` at once, then as many a second, of each process | before AWS sees them |

Whatever becomes of throttled calls, the answers take (answers - burst) / per_second seconds at least. How long they
take, and how many calls are throttled meanwhile, is rehearsed.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from aiocloudmap.cli.plan.fleet import Fleet
from aiocloudmap.cli.plan.rehearsal import Rehearsal, rehearse
from aiocloudmap.local.quotas import Rate

__all__ = ["ColdStart", "cold_start_of"]

_REHEARSED: Final = 5_000
"""Questions of a rehearsal: enough for figures that do not hang on luck, and done in a moment."""

_MOST_REHEARSALS: Final = 10
_MOST_QUESTIONS: Final = 4 * _REHEARSED
"""Of one process, which cannot be made smaller."""

_MOST_SECONDS: Final = 600.0
"""What takes longer is not played to its end: `stale_if_error` is as long, and nobody means to start like that."""


@dataclass(frozen=True, slots=True)
class ColdStart:
    """The first answers of a fleet. Seconds count from the moment at which it begins to start.

    Args:
        questions: First questions, one for each event loop that asks.
        at_least: Seconds below which not all answers can be there.
        calls: Calls that reach AWS, with throttled ones and retries; None where it takes too long to rehearse.
        throttled: Those of them that AWS throttles.
        throttled_from: Seconds until the first of those; None where there is none, or nothing was rehearsed.
        most_after: Seconds until nineteen of twenty answers are there.
        all_after: Seconds until all of them are.
    """

    questions: int
    at_least: float
    calls: float | None
    throttled: float | None
    throttled_from: float | None
    most_after: float | None
    all_after: float | None


def cold_start_of(fleet: Fleet) -> ColdStart:
    """How the fleet starts. Takes about half a second."""
    own = max(0.0, (fleet.services - fleet.burst) / fleet.connections.max_calls_per_second)
    at_least = max(_seconds_at_aws(fleet, fleet.answers), fleet.start_over + own)
    under_way = max(_seconds_at_aws(fleet, fleet.questions), own)
    if under_way > _MOST_SECONDS or fleet.services * fleet.loops > _MOST_QUESTIONS:
        return ColdStart(fleet.questions, at_least, None, None, None, None, None)
    scale, small = _smaller(fleet)
    runs = max(1, min(_MOST_REHEARSALS, _REHEARSED // small.questions))
    rehearsals = [rehearse(small, seed) for seed in range(runs)]
    return ColdStart(
        fleet.questions,
        at_least,
        calls=scale * fmean(each.calls for each in rehearsals),
        throttled=scale * fmean(each.throttled for each in rehearsals),
        throttled_from=_first(rehearsals),
        most_after=fmean(each.most for each in rehearsals),
        all_after=fmean(each.last for each in rehearsals),
    )


def _seconds_at_aws(fleet: Fleet, calls: int) -> float:
    return max(0.0, (calls - fleet.quota.burst) / fleet.quota.per_second)


def _smaller(fleet: Fleet) -> tuple[float, Fleet]:
    """A fleet that is quick to rehearse, with as much of AWS's quota for each process; and how often it goes in."""
    processes = max(1, min(fleet.processes, math.ceil(_REHEARSED / (fleet.services * fleet.loops))))
    scale = fleet.processes / processes
    quota = Rate(max(1.0, fleet.quota.burst / scale), fleet.quota.per_second / scale)
    return scale, dataclasses.replace(fleet, processes=processes, quota=quota)


def _first(rehearsals: list[Rehearsal]) -> float | None:
    moments = [each.first_throttled for each in rehearsals if each.first_throttled is not None]
    return min(moments, default=None)
