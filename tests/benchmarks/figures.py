"""The figures of the page, drawn from the results. aiocloudmap is in colour, all others in grey."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from budgets import HITS

mpl.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, NullFormatter

__all__ = ["draw"]

_OURS, _OTHERS, _LIMIT = "#0b6e99", "#a9b0b7", "#c0392b"
_LINES = ("#5b6770", "#8a949c", "#b07d3a", "#7a6a9e", "#6b8e5a", "#a0617a", "#94a3ad", "#4f7f86", "#9c8f5a")
_STYLE = {
    "svg.fonttype": "none",
    # The same results produce the same file.
    "svg.hashsalt": "aiocloudmap",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "figure.facecolor": "white",
}

Topics = dict[str, Any]


def draw(folder: Path) -> None:
    """Write one SVG for each figure, beside the results."""
    topics = json.loads((folder / "results.json").read_text(encoding="utf-8"))["topics"]
    with mpl.rc_context(_STYLE):
        for name, figure in _FIGURES.items():
            figure(topics)
            plt.savefig(folder / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
            plt.close()


def _hits(topics: Topics) -> None:
    found = topics["hits"]
    rows = {**found["ours"], **found["peers"]}
    axes = _axes(height=0.28 * len(rows) + 0.8)
    _bars(axes, {name: row["ratio"] for name, row in rows.items()}, set(found["ours"]), HITS)
    _logarithmic(axes.xaxis)
    axes.set_xlabel("times the cheapest await (logarithmic); red: budget; line: quartiles")
    axes.set_title("Hits")


def _expiry(topics: Topics) -> None:
    found = topics["expiry"]["rows"]
    axes = _axes()
    for colour, (name, row) in zip((_OURS, *_LINES), found.items(), strict=False):
        shares = list(row["quantiles"])
        waits = [row["quantiles"][share] * 1000 for share in shares]
        axes.plot(range(len(shares)), waits, color=colour, label=name, linewidth=2.5 if colour == _OURS else 1.2)
    axes.set_xticks(
        range(len(shares)), ["longest" if share == "1" else f"{float(share) * 100:g} %" for share in shares]
    )
    _logarithmic(axes.yaxis)
    axes.set_ylabel("ms (logarithmic)")
    axes.set_title("Waits while the answer expires, by quantile")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _stampede(topics: Topics) -> None:
    found = topics["stampede"]
    axes = _axes(height=0.28 * len(found["rows"]) + 0.8)
    flat = {name: dict.fromkeys(("low", "median", "high"), row["calls"]) for name, row in found["rows"].items()}
    _bars(axes, flat, {"aiocloudmap"})
    _logarithmic(axes.xaxis)
    axes.set_xlim(left=0.5)
    axes.set_title(f"Calls for {found['callers']:,} callers without an answer")


def _sockets(topics: Topics) -> None:
    found = topics["sockets"]
    axes = _axes()
    for colour, (name, row) in zip((_LINES[0], _LINES[2], _LINES[4], _OURS), found["rows"].items(), strict=True):
        requests = [found["at_a_time"] * (number + 1) for number in range(len(row["open"]))]
        axes.plot(requests, row["open"], color=colour, label=name, linewidth=2.5 if colour == _OURS else 1.2)
    axes.axhline(found["max_connections"], color=_LIMIT, linewidth=1, linestyle="--", label="max_connections")
    axes.set_xlabel("requests")
    axes.set_title("Open sockets")
    axes.legend()


def _cold_start(topics: Topics) -> None:
    found = topics["cold_start"]
    rows: dict[str, Any] = {}
    for scheme in ("http", "https"):
        if found[scheme]:
            rows[f"aiocloudmap, {scheme}"] = found[scheme]["seconds"]
            rows[f"aiobotocore, {scheme}"] = found[scheme]["other_seconds"]
    rows |= {f"import {name}": row["seconds"] for name, row in found["imports"].items()}
    axes = _axes(height=0.28 * len(rows) + 0.8)
    scaled = {name: {key: row[key] * 1000 for key in ("low", "median", "high")} for name, row in rows.items()}
    _bars(axes, scaled, {name for name in rows if "aiocloudmap" in name})
    axes.set_xlabel("CPU ms")
    axes.set_title("A new process: first answer, and imports")


def _growth(topics: Topics) -> None:
    found = topics["growth"]
    _, (keys, callers, sizes) = plt.subplots(1, 3, figsize=(10.5, 3))
    _pair(keys, found["keys"], lambda row: row["by handle"], 1e9, "a dict that holds all")
    _dashed(keys, found["keys"], lambda row: row["by name"], 1e9, "aiocloudmap, by name")
    keys.set(title="a hit, by services", ylabel="ns")
    _pair(callers, found["callers"], lambda row: row["hit"], 1e6, "tasks that only await a coroutine")
    _dashed(callers, found["callers"], lambda row: row["cold"], 1e6, "aiocloudmap, no answer yet")
    callers.set(title="CPU time per caller, by callers", ylabel="µs")
    _pair(sizes, found["sizes"], lambda row: row["stall"], 1e3, "aiobotocore")
    sizes.set(title="longest stall, by instances", ylabel="ms")
    for axes in (keys, callers, sizes):
        axes.set_ylim(bottom=axes.get_ylim()[0] / 2)
        axes.legend(fontsize=8)
    plt.tight_layout()


def _pair(axes: Axes, rows: Any, part: Callable[[Any], Any], scale: float, other: str) -> None:
    """Plot aiocloudmap and the other over counts, both axes logarithmic."""
    counts = [int(count) for count in rows]
    parts = [part(row) for row in rows.values()]
    ours = [row["seconds"]["median"] * scale for row in parts]
    others = [row["other_seconds"]["median"] * scale for row in parts]
    axes.plot(counts, ours, color=_OURS, marker="o", markersize=3, label="aiocloudmap")
    axes.plot(counts, others, color=_LINES[0], marker="o", markersize=3, label=other)
    _logarithmic(axes.xaxis)
    _logarithmic(axes.yaxis)


def _dashed(axes: Axes, rows: Any, part: Callable[[Any], Any], scale: float, label: str) -> None:
    """Plot another way to use aiocloudmap."""
    counts = [int(count) for count in rows]
    seconds = [part(row)["seconds"]["median"] * scale for row in rows.values()]
    axes.plot(counts, seconds, color=_OURS, linestyle="--", marker="o", markersize=3, label=label)


def _logarithmic(axis: Axis) -> None:
    """Make an axis logarithmic, with plain numbers."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _axes(height: float = 3.4) -> Axes:
    return plt.subplots(figsize=(7, height))[1]


def _bars(axes: Axes, rows: dict[str, Any], ours: set[str], limits: dict[str, float] | None = None) -> None:
    """Draw bars from the top down, with the value at the end, quartiles as a line, and the limit in red."""
    limits = limits or {}
    places = range(len(rows))
    axes.barh(
        places, [row["median"] for row in rows.values()], color=[_OURS if name in ours else _OTHERS for name in rows]
    )
    for place, (name, row) in enumerate(rows.items()):
        axes.plot([row["low"], row["high"]], [place, place], color="black", linewidth=1)
        limit = limits.get(name, 0)
        if limit:
            axes.plot([limit, limit], [place - 0.4, place + 0.4], color=_LIMIT, linewidth=1.5)
        axes.annotate(
            f"{row['median']:,.3g}" if row["median"] < 1000 else f"{row['median']:,.0f}",
            (max(row["high"], limit), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(places, list(rows))
    axes.invert_yaxis()


_FIGURES: dict[str, Callable[[Topics], None]] = {
    "hits": _hits,
    "expiry": _expiry,
    "stampede": _stampede,
    "sockets": _sockets,
    "cold_start": _cold_start,
    "growth": _growth,
}
