"""Every benchmark in one run, and the page about it: what is compared is measured in turns, one right after the other.

    python tests/benchmarks/run.py              everything, into docs/benchmarks; some minutes, on a machine at rest
    python tests/benchmarks/run.py --quick      whether it runs; its figures mean nothing, and go into build/benchmarks
    python tests/benchmarks/run.py --only hits  one topic, into hits-3.12.json, say; the page shows such rows, too
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
        kept = _measure(options.only or list(TOPICS), into, quick=options.quick)
    if whole.exists():
        if importlib.util.find_spec("matplotlib"):
            import figures

            figures.draw(into)
        page.write(into, _over_budget(whole))
        print(f"the page: {into / 'index.md'}")
    over = _over_budget(kept)
    for each in over:
        print(f"over its budget: {each}")
    return 1 if over and not (options.quick or options.report) else 0


def _over_budget(kept: Path) -> list[str]:
    """What costs more than it may."""
    topics = json.loads(kept.read_text(encoding="utf-8"))["topics"]
    with_budget = [name for name in topics if hasattr(TOPICS[name], "over_budget")]
    return [each for name in with_budget for each in TOPICS[name].over_budget(topics[name])]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--only", nargs="+", choices=TOPICS, metavar="TOPIC", help=", ".join(TOPICS))
    parser.add_argument("--into", type=Path, metavar="FOLDER")
    return parser.parse_args()


def _settle() -> None:
    """No setting of the machine reaches a measurement, and peers' complaints do not hide ours."""
    for variable in list(os.environ):
        if variable.startswith(("AWS_", "AIOCLOUDMAP_")) or variable.lower().endswith("_proxy"):
            del os.environ[variable]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    # Clients that die with their event loop, caches that notice another one: seen, and counted, by the topics.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def _measure(topics: list[str], into: Path, *, quick: bool) -> Path:
    """Measure, and tell where the results are."""
    begun = time.perf_counter()
    results = described() | {"date": dt.datetime.now(dt.UTC).date().isoformat(), "quick": quick, "topics": {}}
    for name in topics:
        since = time.perf_counter()
        results["topics"][name] = TOPICS[name].measure(quick=quick)
        print(f"{name}: {time.perf_counter() - since:.0f} s", flush=True)
    results["seconds"] = round(time.perf_counter() - begun)
    version = ".".join(platform.python_version_tuple()[:2])
    kept = into / ("results.json" if topics == list(TOPICS) else f"{'-'.join(topics)}-{version}.json")
    kept.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return kept


if __name__ == "__main__":
    sys.exit(main())
