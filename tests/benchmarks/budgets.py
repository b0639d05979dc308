"""The budgets: what each thing may cost, what it did cost, and why where that is more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from shares import REMAINDER

__all__ = ["TOPICS", "Row", "over", "rows"]

Found = dict[str, Any]


class Row(NamedTuple):
    """One budget, beside what was measured."""

    what: str
    budget: str
    found: str
    met: bool
    why: str = ""
    """What takes so long, and what would have to be different for less."""


def rows(topics: dict[str, Found]) -> list[Row]:
    """For each budget of the topics that were measured."""
    return [row for name, those_of in TOPICS.items() if name in topics for row in those_of(topics[name])]


def over(topics: dict[str, Found]) -> list[Row]:
    """What costs more than it may."""
    return [row for row in rows(topics) if not row.met]


def _hits(found: Found) -> Iterator[Row]:
    for name, budget in found["budgets"].items():
        ratio = found["ours"][name]["ratio"]["median"]
        yield _at_most(f"`{name}`, a hit, times an `await` of the least", ratio, budget)
    calls, callers = found["calls"], f"{found['callers']:,} callers"
    yield Row(f"{callers} of a cold key: AWS calls", "1", str(calls["cold"]), calls["cold"] == 1)
    expiry = calls["expiry"], calls["waited"]
    yield Row(
        f"{callers} at the moment of expiry: AWS calls, and how many wait", "1, 0", _listed(expiry), expiry == (1, 0)
    )


def _outage(found: Found) -> Iterator[Row]:
    row, callers = found["rows"]["aiocloudmap"], found["callers"]
    waited = row["later_waits"]
    yield Row(
        f"AWS down, an old answer, {callers} callers in turn: answers, failed calls, ms that all but the first wait",
        f"{callers}, 1, 0",
        _listed((row["answered"], row["calls"], f"{waited * 1000:.2g}")),
        # Waiting would be for the call, which takes so long.
        (row["answered"], row["calls"]) == (callers, 1) and waited < found["delay"] / 10,
    )


def _sockets(found: Found) -> Iterator[Row]:
    yield _at_most(
        "open sockets, a `CloudMap()` for each request",
        found["rows"]["a CloudMap() per request"]["peak"],
        found["max_connections"],
    )


def _misses(found: Found) -> Iterator[Row]:
    for name, row in found["cpu"].items():
        what = f"a question that goes to AWS, {name}: CPU time, times a shared client of aiobotocore"
        shares = found["shares"][name]
        why = (
            f"botocore's functions are {shares['botocore']:.0%} of the work, aiohttp's {shares['aiohttp']:.0%}, ours"
            f" {shares['aiocloudmap']:.0%}: joining callers, their deadlines, the bound on sockets. Less would take"
            " cheaper signatures in botocore, which are a sixth of a call."
        )
        yield _at_most(what, row["ratio"]["median"], found["budgets"]["cpu"], why)
    seconds = found["invocation"]["seconds"]["median"]
    what = "`asyncio.run` for each invocation, in a warm process, each asking AWS: ms"
    yield _at_most(what, seconds * 1000, found["budgets"]["invocation"] * 1000)


def _cold_start(found: Found) -> Iterator[Row]:
    milliseconds = found["imports"]["aiocloudmap"]["median"] * 1000
    why = "Its dataclasses are half of it, half a millisecond each. Less would take dataclasses that are made faster."
    yield _at_most("`import aiocloudmap`: ms", milliseconds, found["budgets"]["import"] * 1000, why)
    shares = {name: seconds * 1000 for name, seconds in found["shares"].items()}
    ours, after = shares.pop("aiocloudmap"), shares.pop(REMAINDER)
    why = (
        f"Our own modules are {ours:.0f} ms, all other imports {sum(shares.values()):.0f}, {REMAINDER} {after:.0f}."
        " Less would take aiohttp and botocore that import faster, or endpoints that botocore keeps by service: it has"
        " those of all services in one file of more than a megabyte."
    )
    for scheme in ("https", "http"):
        if found[scheme]:
            what = f"cold start over {scheme}: import, first client, first answer, times aiobotocore's"
            yield _at_most(what, found[scheme]["ratio"]["median"], found["budgets"][scheme], why)


def _memory(found: Found) -> Iterator[Row]:
    for name, budget in found["budgets"].items():
        yield _at_most("memory for each answer, beyond its strings: bytes", found["bytes"][name], budget)


TOPICS = {
    "hits": _hits,
    "outage": _outage,
    "sockets": _sockets,
    "misses": _misses,
    "cold_start": _cold_start,
    "memory": _memory,
}
"""Those that have budgets."""


def _at_most(what: str, found: float, budget: float, why: str = "") -> Row:
    return Row(what, f"{budget:g}", f"{found:.3g}" if found < 100 else f"{found:.0f}", round(found, 3) <= budget, why)


def _listed(values: tuple[object, ...]) -> str:
    return ", ".join(map(str, values))
