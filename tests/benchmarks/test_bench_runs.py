"""The benchmarks run and the page shows their results. No test checks a duration."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("run.py")
KEPT = Path(__file__).parents[2] / "docs" / "benchmarks"


def run(*arguments: object) -> str:
    """Run the benchmarks and return their output."""
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


# Some seconds on an idle machine, many on a busy one.
@pytest.mark.timeout(300)
def test_a_quick_run_measures_everything_and_writes_the_page(tmp_path: Path):
    """All topics with the installed peers, and a page that says its figures mean nothing."""
    run("--quick", "--into", tmp_path)
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    page = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert results["topics"]["hits"]["calls"] == {"cold": 1, "expiry": 1, "waited": 0}
    assert results["topics"]["outage"]["rows"]["aiocloudmap"]["answered"] == 20
    assert "its figures mean nothing" in page
    assert page.count("\n## ") == 3 + len(results["topics"])


def test_other_pythons_are_columns_and_figures_over_budget_are_bold(tmp_path: Path):
    """Both come from the results in the folder."""
    results = json.loads((KEPT / "results.json").read_text(encoding="utf-8"))
    results["topics"]["memory"]["bytes"]["aiocloudmap"] = 899
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    results["topics"]["memory"]["bytes"]["aiocloudmap"] = 1234
    (tmp_path / "budgets-3.99.json").write_text(json.dumps(results | {"python": "3.99.1"}), encoding="utf-8")
    run("--report", "--into", tmp_path)
    page = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert f"|  | at most | {results['python']} | 3.99.1 |" in page
    assert "bytes | 900 | 899 | **1234** |" in page


def test_the_page_matches_the_kept_results(tmp_path: Path):
    """The page is written by the benchmarks only: writing it again from the same results changes nothing."""
    folder = tmp_path / "benchmarks"
    shutil.copytree(KEPT, folder)
    (folder / "index.md").unlink()
    run("--report", "--into", folder)
    assert (folder / "index.md").read_text(encoding="utf-8") == (KEPT / "index.md").read_text(encoding="utf-8")
