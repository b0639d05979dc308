"""Run every benchmark, and write the page about it. Two things to compare are measured in pairs.

    python tests/benchmarks/run.py              everything, into docs/benchmarks: some minutes on an idle machine
    python tests/benchmarks/run.py --quick      only to show that it runs, into build/benchmarks
    python tests/benchmarks/run.py --budgets    what has a budget, into budgets-3.12.json: a column of the page
    python tests/benchmarks/run.py --only hits  one topic, into hits-3.12.json
    python tests/benchmarks/run.py --report     write the page again from the results in the folder

The exit status is 1 if a figure is over its budget. Needs the dependency group `bench`. A library that is not installed
is left out, and without matplotlib the page has no figures.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
import json
import logging
import os
import platform
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import behaviour
import budgets
import cold_start
import expiry
import growth
import hits
import memory
import misses
import outage
import page
import sockets
import stampede
from machine import describe

TOPICS: dict[str, Any] = {
    "hits": hits,
    "memory": memory,
    "growth": growth,
    "misses": misses,
    "cold_start": cold_start,
    "stampede": stampede,
    "expiry": expiry,
    "outage": outage,
    "behaviour": behaviour,
    "sockets": sockets,
}
ROOT = Path(__file__).parents[2]


def main() -> int:
    options = _options()
    into = options.into or ROOT / ("build" if options.quick else "docs") / "benchmarks"
    into.mkdir(parents=True, exist_ok=True)
    whole = kept = into / "results.json"
    if not options.report:
        _prepare()
        kept = _measure(into, options)
    if whole.exists():
        if importlib.util.find_spec("matplotlib"):
            import figures

            figures.draw(into)
        page.write(into)
        print(f"the page: {into / 'index.md'}")
    over = budgets.over(json.loads(kept.read_text(encoding="utf-8"))["topics"])
    for row in over:
        print(f"over its budget: {row.what}: {row.found}, and {row.budget} at most")
    return 1 if over and not (options.quick or options.report) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--budgets", action="store_true")
    parser.add_argument("--only", nargs="+", choices=TOPICS, metavar="TOPIC", help=", ".join(TOPICS))
    parser.add_argument("--into", type=Path, metavar="FOLDER")
    return parser.parse_args()


def _prepare() -> None:
    """Remove the machine's settings from the environment, and silence warnings of other libraries."""
    for variable in list(os.environ):
        if variable.startswith(("AWS_", "AIOCLOUDMAP_")) or variable.lower().endswith("_proxy"):
            del os.environ[variable]
    # Child processes find their bytecode, as in production.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    # Clients and caches warn when their event loop changes. The topics count that already.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def _measure(into: Path, options: argparse.Namespace) -> Path:
    """Measure, and return the path of the results."""
    topics, name = list(TOPICS), "results"
    if options.budgets or options.only:
        topics = list(budgets.TOPICS) if options.budgets else options.only
        version = ".".join(platform.python_version_tuple()[:2])
        name = f"{'budgets' if options.budgets else '-'.join(topics)}-{version}"
    quick = options.quick
    started = time.perf_counter()
    results = describe() | {"date": dt.datetime.now(dt.UTC).date().isoformat(), "quick": quick, "topics": {}}
    for topic in topics:
        since = time.perf_counter()
        results["topics"][topic] = TOPICS[topic].measure(quick=quick)
        print(f"{topic}: {time.perf_counter() - since:.0f} s", flush=True)
    results["seconds"] = round(time.perf_counter() - started)
    kept = into / f"{name}.json"
    kept.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return kept


if __name__ == "__main__":
    sys.exit(main())
