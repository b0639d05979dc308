"""Write the page from the results: words are here, every figure is from the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sections
from advantages import peer_advantages

__all__ = ["write"]

_HEAD = """\
# Benchmarks

<!-- Written by tests/benchmarks/run.py: edit that instead. -->

Every figure was measured in one run of `nox -s bench`: everything on one Python, and what has a budget on the others
that were found. Two things to compare are run in pairs, one right after the other, so that other load on the machine
affects both. A ratio is the median over these pairs, followed by the quartiles. Seconds are this machine's own and
serve for orientation. Other libraries are used as their own documentation shows, with the same ttl.
"""


def write(folder: Path) -> None:
    """Write index.md beside the results.

    Args:
        folder: The folder of results.json and of the files of `--budgets`.
    """
    (folder / "index.md").write_text(_text(folder), encoding="utf-8")


def _text(folder: Path) -> str:
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    topics = results["topics"]
    # The Python of the whole run has its rows already.
    others = [
        run
        for path in folder.glob("budgets-*.json")
        if _minor(run := json.loads(path.read_text(encoding="utf-8"))) != _minor(results)
    ]
    runs = sorted([results, *others], key=lambda run: [int(part) for part in run["python"].split(".")])
    figures = {path.stem for path in folder.glob("*.svg")}
    parts = [_HEAD, _warning(runs), _machine(results), sections.budgets_by_python(runs)]
    parts.append(_listed("Where other libraries do better", peer_advantages(topics)))
    for name, section in sections.SECTIONS.items():
        words = section(topics)
        title = words.splitlines()[0].removeprefix("## ")
        parts.append(words + (f"\n![{title}]({name}.svg)\n" if name in figures else ""))
        if name == "hits" and others:
            parts.append(sections.hits_by_python(runs))
    return "\n".join(part for part in parts if part)


def _minor(run: dict[str, Any]) -> str:
    python: str = run["python"]
    return python.rpartition(".")[0]


def _warning(runs: list[dict[str, Any]]) -> str:
    if any(run["quick"] for run in runs):
        return "**This was a quick run, only to show that the benchmarks run: its figures mean nothing.**\n"
    if runs[0]["load_before"] > runs[0]["cores"] / 2:
        return "**The machine was busy during this run: the seconds in particular are not reliable.**\n"
    return ""


def _machine(results: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return f"""\
## The run

| | |
|---|---|
| machine | {results["cpu"]}, {results["cores"]} cores, {results["memory_gib"]} GiB; {results["system"]} |
| Python | {results["python"]} ({results["implementation"]}) |
| versions | {versions} |
| when | {results["date"]}, in {results["seconds"]} s; load before it {results["load_before"]} |
| all figures | [results.json](results.json) |

Cloud Map is this library's local server. Caches ask it in this process, AWS clients over loopback. Retries are off
everywhere, so that a call is counted once. Loopback is faster than AWS, so a saved call saves more time in production
than here.
"""


def _listed(title: str, found: list[str]) -> str:
    lines = "".join(f"* {line}\n" for line in found) or "* Nowhere, in this run.\n"
    return f"## {title}\n\n{lines}"
