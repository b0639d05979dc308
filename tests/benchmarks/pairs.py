"""Compare two things in pairs, one right after the other.

Other load on the machine then affects both, and their order changes from round to round. A figure is the median of the
ratios of all rounds, with the quartiles. Seconds are kept for orientation.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypedDict

__all__ = ["Compared", "Spread", "Timed", "compare", "compare_synchronously", "spread"]

Timed = Callable[[], Awaitable[float]]
"""Does something several times, and returns the seconds for one time."""


class Spread(TypedDict):
    """Median and quartiles."""

    low: float
    median: float
    high: float
    rounds: int


class Compared(TypedDict):
    """The result of comparing one thing with another."""

    ratio: Spread
    seconds: Spread
    other_seconds: Spread


def spread(values: Iterable[float]) -> Spread:
    """Summarize the values, rounded to four significant digits."""
    values = list(values)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return Spread(low=_rounded(low), median=_rounded(median), high=_rounded(high), rounds=len(values))


async def compare(other: Timed, subjects: Mapping[str, Timed], rounds: int) -> dict[str, Compared]:
    """Compare each subject with the other in pairs, after one warm-up."""
    await other()
    for subject in subjects.values():
        await subject()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in subjects}
    for number in range(rounds):
        for name, subject in subjects.items():
            if number % 2:
                mine = await subject()
                found[name].append((mine, await other()))
            else:
                against = await other()
                found[name].append((await subject(), against))
    return {name: _compared(pairs) for name, pairs in found.items()}


def compare_synchronously(
    other: Callable[[], float], subjects: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, Compared]:
    """As `compare`, for functions that run event loops or processes. A single round has no warm-up."""
    if rounds > 1:
        other()
        for subject in subjects.values():
            subject()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in subjects}
    for number in range(rounds):
        for name, subject in subjects.items():
            if number % 2:
                mine = subject()
                found[name].append((mine, other()))
            else:
                against = other()
                found[name].append((subject(), against))
    return {name: _compared(pairs) for name, pairs in found.items()}


def _compared(pairs: list[tuple[float, float]]) -> Compared:
    return Compared(
        ratio=spread(mine / against for mine, against in pairs),
        seconds=spread(mine for mine, _ in pairs),
        other_seconds=spread(against for _, against in pairs),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
