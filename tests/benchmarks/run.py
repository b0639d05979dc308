"""Every benchmark in one run, and the page about it: what is compared is measured in turns, one right after the other.

    python tests/benchmarks/run.py              everything, into docs/benchmarks; some minutes, on a machine at rest
    python tests/benchmarks/run.py --quick      whether it runs; its figures mean nothing, and go into build/benchmarks
    python tests/benchmarks/run.py --budgets    what has a budget, into budgets-3.12.json, say: a column of the page
    python tests/benchmarks/run.py --only hits  one topic, into hits-3.12.json
    python tests/benchmarks/run.py --report     nothing is measured: the page, from the files that are there

Ends with 1 if something is over its budget. Needs the dependency group `bench`; a peer that is not installed is left
out, and without matplotlib the page has no figures.
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
from machine import described

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
        _settle()
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


def _settle() -> None:
    """No setting of the machine reaches a measurement, and peers' complaints do not hide ours."""
    for variable in list(os.environ):
        if variable.startswith(("AWS_", "AIOCLOUDMAP_")) or variable.lower().endswith("_proxy"):
            del os.environ[variable]
    # Programs that are started find their bytecode, as in production.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    # Clients that die with their event loop, caches that notice another one: seen, and counted, by the topics.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def _measure(into: Path, options: argparse.Namespace) -> Path:
    """Measure, and tell where the results are."""
    topics, name = list(TOPICS), "results"
    if options.budgets or options.only:
        topics = list(budgets.TOPICS) if options.budgets else options.only
        version = ".".join(platform.python_version_tuple()[:2])
        name = f"{'budgets' if options.budgets else '-'.join(topics)}-{version}"
    quick = options.quick
    begun = time.perf_counter()
    results = described() | {"date": dt.datetime.now(dt.UTC).date().isoformat(), "quick": quick, "topics": {}}
    for topic in topics:
        since = time.perf_counter()
        results["topics"][topic] = TOPICS[topic].measure(quick=quick)
        print(f"{topic}: {time.perf_counter() - since:.0f} s", flush=True)
    results["seconds"] = round(time.perf_counter() - begun)
    kept = into / f"{name}.json"
    kept.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return kept


if __name__ == "__main__":
    sys.exit(main())
