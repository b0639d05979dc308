"""CPU time by package: where a figure over its budget is spent."""

from __future__ import annotations

import cProfile
import pstats
from collections import Counter
from typing import Any

__all__ = ["REMAINDER", "by_package", "imported"]

REMAINDER = "client and first answer"
"""The part of a cold start that is not spent importing."""

_OWNERS = {
    "aiocloudmap": "aiocloudmap",
    "aiobotocore": "botocore",
    "botocore": "botocore",
    "aiohttp": "aiohttp",
    "yarl": "aiohttp",
    "multidict": "aiohttp",
    "asyncio": "asyncio",
}
_REST = "the rest of Python"


def by_package(profile: cProfile.Profile) -> dict[str, float]:
    """Return each package's share of the time. Built-in functions count for their caller."""
    seconds: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, callers) in _stats(profile).items():
        if file != "~":
            seconds[_owner(file)] += own
        for (caller, _, _), (_, _, spent, _) in callers.items() if file == "~" else ():
            seconds[_owner(caller)] += spent
    return _parts(seconds)


def imported(report: str, *, after: str) -> dict[str, float]:
    """Return seconds by package, from the output of `python -X importtime`.

    Args:
        report: The output.
        after: The output of an empty program, which is left out.
    """
    seconds: Counter[str] = Counter()
    for line in report.splitlines()[len(after.splitlines()) :]:
        fields = line.removeprefix("import time:").split("|")
        if len(fields) == 3 and fields[0].strip().isdigit():
            seconds[_OWNERS.get(fields[2].strip().partition(".")[0], _REST)] += int(fields[0]) / 1e6
    return {name: round(value, 4) for name, value in seconds.most_common()}


def _stats(profile: cProfile.Profile) -> dict[Any, Any]:
    found: Any = pstats.Stats(profile)
    stats: dict[Any, Any] = found.stats
    return stats


def _owner(file: str) -> str:
    parts = file.replace("\\", "/").split("/")
    return next((_OWNERS[part] for part in reversed(parts) if part in _OWNERS), _REST)


def _parts(seconds: Counter[str]) -> dict[str, float]:
    whole = sum(seconds.values())
    return {name: round(value / whole, 3) for name, value in seconds.most_common()}
