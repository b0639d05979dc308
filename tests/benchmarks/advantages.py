"""Every row of the results in which another library does better than aiocloudmap, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from expiry import REPORTED

__all__ = ["peer_advantages"]

_OURS = "aiocloudmap"


def peer_advantages(topics: dict[str, Any]) -> list[str]:
    """Return one sentence for each."""
    return [
        *_hits(topics["hits"]),
        *_rows(topics),
        *_against_aiobotocore(topics),
        *_behaviour(topics),
    ]


def _hits(found: dict[str, Any]) -> Iterator[str]:
    ours = found["ours"]["await cloud_map.service(name).resolve()"]["ratio"]["median"]
    for name, row in found["peers"].items():
        if (theirs := row["ratio"]["median"]) < ours:
            yield f"A hit by name: {name} {theirs:.2g} times the baseline, aiocloudmap {ours:.2g}."


def _rows(topics: dict[str, Any]) -> Iterator[str]:
    stampede, expiry, outage = (topics[name]["rows"] for name in ("stampede", "expiry", "outage"))
    for name, row in stampede.items():
        if name != _OURS and row["calls"] <= stampede[_OURS]["calls"] and row["ratio"]["median"] < 0.995:
            yield (
                f"CPU time of {topics['stampede']['callers']:,} callers without an answer: {name} needs "
                f"{row['ratio']['median']:.2g} times ours."
            )
    for name, row in expiry.items():
        for share in REPORTED:
            wait, ours = row["quantiles"][share], expiry[_OURS]["quantiles"][share]
            if name != _OURS and wait < ours:
                which = "longest wait" if share == "1" else f"{float(share) * 100:g} % quantile"
                yield f"Expiry under load, {which}: {name} {wait * 1e6:.3g} µs, aiocloudmap {ours * 1e6:.3g} µs."
    for name, row in outage.items():
        # A library that fails to answer has no advantage.
        if not name.startswith(_OURS) and row["answered"] >= outage[_OURS]["answered"]:
            for key, words in (("calls", "failed calls"), ("first_wait", "first wait"), ("later_waits", "later waits")):
                if row[key] < outage[_OURS][key]:
                    yield f"Outage, {words}: {name} {row[key]:g}, aiocloudmap {outage[_OURS][key]:g}."


def _against_aiobotocore(topics: dict[str, Any]) -> Iterator[str]:
    misses, cold_start = topics["misses"], topics["cold_start"]
    rows = {f"CPU time of a call that goes to AWS, {name}": row for name, row in misses["cpu"].items()}
    rows["An invocation with its own event loop"] = misses["invocation"]
    rows |= {f"First answer of a new process over {each}": cold_start[each] for each in ("http", "https")}
    for size, row in topics["growth"]["sizes"].items():
        rows[f"CPU time of an answer of {int(size):,} instance(s)"] = row["cpu"]
        rows[f"Longest stall of the loop, an answer of {int(size):,} instance(s)"] = row["stall"]
    for what, row in rows.items():
        if row and (ratio := round(row["ratio"]["median"], 2)) > 1:
            yield f"{what}: aiocloudmap takes {ratio:g} times as long as bare aiobotocore."
    held = topics["memory"]["bytes"]
    for name, size in held.items():
        if size < held[_OURS]:
            yield f"Memory for each answer: {name} {size} bytes, aiocloudmap {held[_OURS]}."


def _behaviour(topics: dict[str, Any]) -> Iterator[str]:
    rows = topics["behaviour"]["rows"]
    ours = rows[_OURS]
    for name, row in rows.items():
        if row["calls"] < ours["calls"]:
            yield f"Calls for callers without an answer: {name} {row['calls']}, aiocloudmap {ours['calls']}."
        if (row["survivors"] or 0) > ours["survivors"]:
            yield f"Callers answered after a cancellation: {name} {row['survivors']}, aiocloudmap {ours['survivors']}."
        if row["unknown_calls"] < ours["unknown_calls"]:
            yield f"Calls for a missing service: {name} {row['unknown_calls']}, aiocloudmap {ours['unknown_calls']}."
        if row["expires"] and not ours["expires"]:
            yield f"Answers expire with {name}, and not with aiocloudmap."
        if row["loops"] == "works" != ours["loops"]:
            yield f"A second event loop works with {name}; with aiocloudmap: {ours['loops']}."
