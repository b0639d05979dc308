"""The page, from what was measured: words are here, every figure is from the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sections
from ahead import who_is_ahead

__all__ = ["write"]

_HEAD = """\
# What it costs, and how others do

<!-- Written by tests/benchmarks/run.py: change that, not this. -->

Every figure here was measured in one run of `nox -s bench`: everything on one Python, and what has a budget on the
others that were found. What is compared was run in turns, one right after the
other, so that whatever else the machine did met both; a ratio is the median over these pairs, with the quartiles behind
it. Seconds are there for orientation and are this machine's own. Peers are used as their own documentation shows,
with the same ttl.
"""


def write(folder: Path) -> None:
    """Write index.md beside the results.

    Args:
        folder: Where results.json is, and those of `--budgets`.
    """
    (folder / "index.md").write_text(_text(folder), encoding="utf-8")


def _text(folder: Path) -> str:
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    topics = results["topics"]
    # Of the Python of the whole run there are rows already.
    others = [
        run
        for path in folder.glob("budgets-*.json")
        if _minor(run := json.loads(path.read_text(encoding="utf-8"))) != _minor(results)
    ]
    runs = sorted([results, *others], key=lambda run: [int(part) for part in run["python"].split(".")])
    figures = {path.stem for path in folder.glob("*.svg")}
    parts = [_HEAD, _warning(runs), _machine(results), sections.budgets_by_python(runs)]
    parts.append(_listed("Where others are ahead", who_is_ahead(topics)))
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
        return "**This was a quick look, to see that it runs: its figures mean nothing.**\n"
    if runs[0]["load_before"] > runs[0]["cores"] / 2:
        return "**The machine was busy with other things during this run: take the seconds, above all, with care.**\n"
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

Cloud Map is the local one of this library. Caches ask it in the process, AWS clients over the loopback; retries are
off everywhere, so that a call is counted once. The loopback is nearer than AWS: what a saved call saves in time is more
in truth than here.
"""


def _listed(title: str, found: list[str]) -> str:
    lines = "".join(f"* {line}\n" for line in found) or "* Nothing, in this run.\n"
    return f"## {title}\n\n{lines}"
