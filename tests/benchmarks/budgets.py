"""The budgets, beside what was measured, and why where a figure is over its budget."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from time_by_package import REMAINDER

__all__ = ["CPU", "FIRST_ANSWER", "HITS", "IMPORT", "INVOCATION", "MEMORY", "TOPICS", "Row", "over", "rows"]

HITS = {
    "await service.resolve()": 1.75,
    "service.peek()": 1.05,
    "await cloud_map.service(name).resolve()": 3.0,
    'await service.attribute("QUEUE_URL")': 2.4,
}
"""Times the cheapest `await`."""
CPU = {"one at a time": 1.0, "50 at a time": 1.1}
"""CPU time of a call to AWS, times a shared client of aiobotocore."""
INVOCATION = 0.06
"""An `asyncio.run` in a warm process, times a new client each time."""
IMPORT = 0.4
"""CPU time of `import aiocloudmap`, times `import asyncio`."""
FIRST_ANSWER = 1.1
"""CPU time of import, first client and first answer in a new process, times aiobotocore."""
MEMORY = 900
"""Bytes for each answer, beyond its strings."""

Found = dict[str, Any]


class Row(NamedTuple):
    """One budget, beside what was measured."""

    what: str
    budget: str
    found: str
    met: bool
    why: str = ""
    """Where the cost comes from, and what would reduce it."""


def rows(topics: dict[str, Found]) -> list[Row]:
    """Return a row for each budget of the measured topics."""
    return [row for name, rows_of in TOPICS.items() if name in topics for row in rows_of(topics[name])]


def over(topics: dict[str, Found]) -> list[Row]:
    """Return the rows that are over their budget."""
    return [row for row in rows(topics) if not row.met]


def _hits(found: Found) -> Iterator[Row]:
    for name, budget in HITS.items():
        ratio = found["ours"][name]["ratio"]["median"]
        yield _at_most(f"`{name}`, a hit, times the cheapest `await`", ratio, budget)
    calls, callers = found["calls"], f"{found['callers']:,} callers"
    yield Row(f"{callers} without an answer: AWS calls", "1", str(calls["cold"]), calls["cold"] == 1)
    expiry = calls["expiry"], calls["waited"]
    yield Row(f"{callers} at expiry: AWS calls, and callers that wait", "1, 0", _listed(expiry), expiry == (1, 0))


def _outage(found: Found) -> Iterator[Row]:
    row, callers = found["rows"]["aiocloudmap"], found["callers"]
    waited = row["later_waits"]
    yield Row(
        f"AWS down, an old answer, {callers} callers in turn: answers, failed calls, ms that later callers wait",
        f"{callers}, 1, 0",
        _listed((row["answered"], row["calls"], f"{waited * 1000:.2g}")),
        # A caller that waits for a call waits for the whole delay.
        (row["answered"], row["calls"]) == (callers, 1) and waited < found["delay"] / 10,
    )


def _sockets(found: Found) -> Iterator[Row]:
    peak = found["rows"]["a CloudMap() per request"]["peak"]
    yield _at_most("open sockets, a `CloudMap()` for each request", peak, found["max_connections"])


def _misses(found: Found) -> Iterator[Row]:
    for name, budget in CPU.items():
        shares = found["shares"][name]
        why = (
            f"botocore takes {shares['botocore']:.0%} of the time, aiohttp {shares['aiohttp']:.0%}, aiocloudmap"
            f" {shares['aiocloudmap']:.0%}: joining callers, their deadlines, the bound on sockets. botocore's"
            " signatures are a sixth of a call."
        )
        what = f"a call to AWS, {name}: CPU time, times a shared client of aiobotocore"
        yield _at_most(what, found["cpu"][name]["ratio"]["median"], budget, why)
    what = "`asyncio.run` for each invocation, each asking AWS, times a new client each time"
    yield _at_most(what, found["invocation"]["ratio"]["median"], INVOCATION)


def _cold_start(found: Found) -> Iterator[Row]:
    ratio = found["imports"]["aiocloudmap"]["ratio"]["median"]
    why = "Dataclasses are half of it, half a millisecond each."
    yield _at_most("`import aiocloudmap`, times `import asyncio`", ratio, IMPORT, why)
    shares = {name: seconds * 1000 for name, seconds in found["shares"].items()}
    ours, after = shares.pop("aiocloudmap"), shares.pop(REMAINDER)
    why = (
        f"aiocloudmap's own modules take {ours:.0f} ms, all other imports {sum(shares.values()):.0f} ms, {REMAINDER}"
        f" {after:.0f} ms. aiohttp and botocore decide most of it. botocore reads the endpoints of all services from"
        " one file of more than a megabyte."
    )
    for scheme in ("https", "http"):
        if found[scheme]:
            what = f"cold start over {scheme}: CPU time until the first answer, times aiobotocore"
            yield _at_most(what, found[scheme]["ratio"]["median"], FIRST_ANSWER, why)


def _memory(found: Found) -> Iterator[Row]:
    yield _at_most("memory for each answer, beyond its strings: bytes", found["bytes"]["aiocloudmap"], MEMORY)


TOPICS = {
    "hits": _hits,
    "outage": _outage,
    "sockets": _sockets,
    "misses": _misses,
    "cold_start": _cold_start,
    "memory": _memory,
}
"""The topics that have budgets."""


def _at_most(what: str, found: float, budget: float, why: str = "") -> Row:
    return Row(what, f"{budget:g}", f"{found:.3g}" if found < 100 else f"{found:.0f}", round(found, 3) <= budget, why)


def _listed(values: tuple[object, ...]) -> str:
    return ", ".join(map(str, values))
