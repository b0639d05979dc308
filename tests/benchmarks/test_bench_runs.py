"""The benchmarks run, and the page says what was measured. How fast anything is, no test asks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")
KEPT = Path(__file__).parents[2] / "docs" / "benchmarks"


def run(*arguments: object) -> str:
    """What it prints."""
    command = [sys.executable, str(RUN), *map(str, arguments)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


# Some seconds where nothing else runs; many where much does.
@pytest.mark.timeout(300)
def test_a_quick_look_measures_everything_and_writes_the_page(tmp_path: Path):
    """All topics, with those peers that are installed; a page that says that its figures mean nothing."""
    run("--quick", "--into", tmp_path)
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    page = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert results["topics"]["hits"]["calls"] == {"cold": 1, "expiry": 1, "waited": 0}
    assert results["topics"]["outage"]["rows"]["aiocloudmap"]["answered"] == 20
    assert "its figures mean nothing" in page
    assert page.count("\n## ") == 3 + len(results["topics"])


def test_another_python_is_a_column_of_the_page_and_what_is_over_its_budget_stands_out(tmp_path: Path):
    """Both come from the files that are there; how much is over is what the last lines say."""
    results = json.loads((KEPT / "results.json").read_text(encoding="utf-8"))
    results["topics"]["memory"]["bytes"]["aiocloudmap"] = 899
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    results["topics"]["memory"]["bytes"]["aiocloudmap"] = 1234
    (tmp_path / "budgets-3.99.json").write_text(json.dumps(results | {"python": "3.99.1"}), encoding="utf-8")
    run("--report", "--into", tmp_path)
    page = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert f"|  | at most | {results['python']} | 3.99.1 |" in page
    assert "bytes | 900 | 899 | **1234** |" in page


def test_the_page_says_what_the_kept_results_say(tmp_path: Path):
    """The page is written by the benchmarks alone: written anew from the same results, it is the same."""
    folder = tmp_path / "benchmarks"
    shutil.copytree(KEPT, folder)
    (folder / "index.md").unlink()
    run("--report", "--into", folder)
    assert (folder / "index.md").read_text(encoding="utf-8") == (KEPT / "index.md").read_text(encoding="utf-8")
