"""A section of the page for each topic: what was done, and a table of the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import budgets
from expiry import REPORTED

__all__ = ["SECTIONS", "budgets_by_python", "hits_by_python"]

Topics = dict[str, Any]


def _hits(topics: Topics) -> str:
    found = topics["hits"]
    ours = [
        (f"`{name}`", _ratio(row["ratio"]), budgets.HITS[name], _nanoseconds(row))
        for name, row in found["ours"].items()
    ]
    peers = [(name, _ratio(row["ratio"]), "", _nanoseconds(row)) for name, row in found["peers"].items()]
    calls = found["calls"]
    return f"""\
## Hits

Times `await f()` with `async def f(): return d[k]`, the cheapest possible `await`. Blocking functions are called on
this thread. An async program would have to call them in another thread, which is not part of their figures.

{_table(("hit", "times the baseline", "budget", "ns"), [*ours, *peers])}
{found["callers"]:,} concurrent callers of aiocloudmap: {calls["cold"]} call without an answer, {calls["expiry"]} at
expiry, where {calls["waited"]} of them wait (budget: 1, 1 and 0).
"""


def hits_by_python(runs: list[dict[str, Any]]) -> str:
    """The same rows on several Pythons, each against its own baseline."""
    rows: dict[str, list[str]] = {}
    for run in runs:
        hits = run["topics"]["hits"]
        for name, row in {**{f"`{name}`": row for name, row in hits["ours"].items()}, **hits["peers"]}.items():
            rows.setdefault(name, []).append(_ratio(row["ratio"]))
    heads = ["hit, times the baseline", *(run["python"] for run in runs)]
    everywhere = [(name, *cells) for name, cells in rows.items() if len(cells) == len(runs)]
    return f"### Hits by Python version\n\n{_table(heads, everywhere)}"


def budgets_by_python(runs: list[dict[str, Any]]) -> str:
    """Each budget beside the figures on each Python. Figures over budget are bold."""
    table: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for row in budgets.rows(run["topics"]):
            cells = table.setdefault((row.what, row.budget), [])
            cells.append(row.found if row.met else f"**{row.found}**")
    heads = ["", "at most", *(run["python"] for run in runs)]
    rows = [(*row, *cells) for row, cells in table.items() if len(cells) == len(runs)]
    missed = [(run["python"], row) for run in runs for row in budgets.over(run["topics"])]
    return f"""\
## Budgets

Figures over their budget are bold.

{_table(heads, rows)}
{_lines(f"* Python {python}, {row.what}: {row.found}. {row.why}" for python, row in missed)}"""


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line.strip()}\n" for line in lines)


def _behaviour(topics: Topics) -> str:
    found, outage = topics["behaviour"], topics["outage"]["rows"]
    rows = [
        (
            name,
            row["calls"],
            "-" if row["survivors"] is None else row["survivors"],
            {True: "yes", False: "no", None: "-"}[row["expires"]],
            outage[name]["answered"],
            row["loops"],
            row["unknown_calls"],
        )
        for name, row in found["rows"].items()
    ]
    heads = (
        "",
        f"calls for {found['cold']} callers without an answer",
        f"of {found['waiting'] - 1} answered after the first is cancelled",
        "expires",
        f"of {topics['outage']['callers']} answered in an outage",
        "on several event loops",
        f"calls for {found['unknown']} questions about a missing service",
    )
    return f"""\
## Feature comparison

Found by running each library. "On several event loops": `asyncio.run` twice while the answer is fresh, and once after
its ttl. *Asks again* means that the second loop does not find the answer of the first. A thread cannot be cancelled.

{_table(heads, rows)}"""


def _stampede(topics: Topics) -> str:
    found = topics["stampede"]
    rows = [
        (name, row["calls"], _number(row["cpu"]["median"] * 1000), _ratio(row["ratio"]))
        for name, row in found["rows"].items()
    ]
    return f"""\
## Stampedes

{found["callers"]:,} concurrent callers without an answer, each a task. A call takes {found["delay"] * 1000:g} ms. CPU
time is that of the whole process for all callers.

{_table(("", "calls", "CPU ms", "times ours"), rows)}"""


def _expiry(topics: Topics) -> str:
    found = topics["expiry"]
    rows = [
        (
            name,
            row["asked"],
            row["calls"],
            row["waited"],
            *(_number(row["quantiles"][share] * 1000) for share in REPORTED),
        )
        for name, row in found["rows"].items()
    ]
    return f"""\
## Expiry under load

{found["tasks"]} tasks ask for one service, pause for {found["pause"] * 1000:g} ms, and ask again. The answer expires
every {found["ttl"]:g} s, with aiocloudmap up to a tenth sooner because of jitter. A call takes
{found["delay"] * 1000:g} ms. Waits are in ms. The median hides what the slowest callers see.

{_table(("", "asked", "calls", "waited for a call", "median", "99 %", "99.9 %", "longest"), rows)}"""


def _outage(topics: Topics) -> str:
    found = topics["outage"]
    rows = [
        (name, row["answered"], row["calls"], _number(row["first_wait"] * 1000), _number(row["later_waits"] * 1000))
        for name, row in found["rows"].items()
    ]
    return f"""\
## Outages

Cloud Map fails {found["delay"] * 1000:g} ms after each call. {found["callers"]} callers come one after the other. Each
library had an answer, which has expired. Waits are in ms.

{_table(("", "answered", "failed calls", "first wait", "all later waits"), rows)}"""


def _misses(topics: Topics) -> str:
    found = topics["misses"]
    rows = [
        (f"CPU time of a call, {name}", _ratio(row["ratio"]), budgets.CPU[name], _milliseconds(row))
        for name, row in found["cpu"].items()
    ]
    row = found["invocation"]
    rows.append(("`asyncio.run` for each invocation", _ratio(row["ratio"]), budgets.INVOCATION, _milliseconds(row)))
    return f"""\
## Calls to AWS

`resolve(max_age=0)`, which always asks, against one shared client of aiobotocore. Both ask the same server, a separate
process. The last row is a warm process that runs an event loop for each invocation, against a new client each time.

{_table(("", "times aiobotocore", "budget", "ms, ours and theirs"), rows)}
CPU time by package, under a profiler:

{_table(("", *found["shares"]), _columns(found["shares"]))}"""


def _sockets(topics: Topics) -> str:
    found = topics["sockets"]
    rows = [(name, row["peak"], row["open"][-1], row["accepted"], row["calls"]) for name, row in found["rows"].items()]
    return f"""\
## Open sockets

{found["requests"]} requests, {found["at_a_time"]} at a time, for twelve services, counted by the server. aiocloudmap
has a ttl of 20 ms here, so that nearly every request makes a call. Its limit is {found["max_connections"]} connections.
A client of aiobotocore closes an idle connection after 12 s, so the number of open ones depends on the rate.

{_table(("", "most at once", "at the end", "opened", "calls"), rows)}"""


def _cold_start(topics: Topics) -> str:
    found = topics["cold_start"]
    rows = [
        (f"first answer over {scheme}", _ratio(row["ratio"]), budgets.FIRST_ANSWER, _milliseconds(row, 3))
        for scheme in ("http", "https")
        if (row := found[scheme])
    ]
    imports = [
        (
            f"`import {name}`",
            _ratio(row["ratio"]),
            budgets.IMPORT if name == "aiocloudmap" else "",
            _number(row["seconds"]["median"] * 1000),
        )
        for name, row in found["imports"].items()
    ]
    return f"""\
## Cold starts

CPU time of a new process: import, first client and first answer, against aiobotocore doing the same.

{_table(("", "times aiobotocore", "budget", "ms, ours and theirs"), rows)}
Where the wall time of aiocloudmap goes, in one more run under `-X importtime`, which takes time itself:

{_table(("", "ms"), [(name, _number(seconds * 1000)) for name, seconds in found["shares"].items()])}
CPU time of importing alone, after `import asyncio, dataclasses, cachetools`. aiocloudmap loads the AWS libraries
with its first call, so the rows above show the whole cost.

{_table(("", "times `import asyncio`", "budget", "ms"), imports)}"""


def _memory(topics: Topics) -> str:
    found = topics["memory"]
    return f"""\
## Memory

Bytes for each answer of one instance with two attributes, beyond its strings, over {found["entries"]:,} answers. The
budget is {budgets.MEMORY}. The dict keeps no times and is not bounded.

{_table(("", "bytes"), found["bytes"].items())}"""


def _growth(topics: Topics) -> str:
    found = topics["growth"]
    keys = [
        (
            f"{int(count):,}",
            _nanoseconds(row["by name"]),
            _nanoseconds(row["by handle"]),
            _ratio(row["by handle"]["ratio"]),
            f"{row['entries']:,}",
            _number(row["calls_each"]),
        )
        for count, row in found["keys"].items()
    ]
    callers = [
        (
            f"{int(count):,}",
            _microseconds(row["hit"]),
            _ratio(row["hit"]["ratio"]),
            _microseconds(row["cold"]),
            f"{row['calls_each_rush']:g}",
        )
        for count, row in found["callers"].items()
    ]
    sizes = [
        (
            f"{int(count):,}",
            _nanoseconds(row["hit"]),
            _milliseconds(row["cpu"]),
            _ratio(row["cpu"]["ratio"]),
            _milliseconds(row["stall"]),
            _ratio(row["stall"]["ratio"]),
        )
        for count, row in found["sizes"].items()
    ]
    return f"""\
## Scaling

Services: questions about random services, against a dict that holds all of them. A `CloudMap` remembers 1,024 handles
by name. With more services, keep the handle, which costs more to make than to ask. At most 4,096 answers are kept, so
with more services some questions go to the backend again, which is in this process.

{_table(("services", "ns by name", "ns by handle", "handle, times the dict", "answers kept", "calls each"), keys)}
Callers: concurrent tasks and the CPU time for each, against tasks that only await a coroutine.

{_table(("callers", "µs, answer known", "times the baseline", "µs, not known", "calls"), callers)}
Instances: a hit, and a forced call for an answer of this size, against a bare client. The stall is the longest step of
the event loop in between, in CPU time.

{_table(("instances", "ns by name", "CPU ms, ours and theirs", "ratio", "stall ms, the same", "ratio"), sizes)}"""


SECTIONS: dict[str, Callable[[Topics], str]] = {
    "behaviour": _behaviour,
    "hits": _hits,
    "expiry": _expiry,
    "stampede": _stampede,
    "outage": _outage,
    "sockets": _sockets,
    "misses": _misses,
    "cold_start": _cold_start,
    "memory": _memory,
    "growth": _growth,
}


def _table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *([str(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _columns(shares: dict[str, dict[str, float]]) -> list[tuple[str, ...]]:
    names = dict.fromkeys(name for column in shares.values() for name in column)
    return [(name, *(f"{column.get(name, 0):.0%}" for column in shares.values())) for name in names]


def _number(value: float, digits: int = 3) -> str:
    """Format without exponents."""
    return f"{value:,.0f}" if value >= 10**digits else f"{value:.{digits}g}"


def _ratio(spread: dict[str, float]) -> str:
    low, median, high = (_number(spread[key]) for key in ("low", "median", "high"))
    return f"{median} ({low} to {high})"


def _nanoseconds(row: Any) -> str:
    return f"{row['seconds']['median'] * 1e9:,.0f}"


def _microseconds(row: Any) -> str:
    return _number(row["seconds"]["median"] * 1e6)


def _milliseconds(row: Any, digits: int = 2) -> str:
    ours, theirs = row["seconds"]["median"] * 1000, row["other_seconds"]["median"] * 1000
    return f"{_number(ours, digits)}, {_number(theirs, digits)}"
