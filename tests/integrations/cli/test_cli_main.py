from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

MAX_WAIT = 60


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_the_command_says_how_to_install_it(missing):
    """It exits with 2 and imports nothing heavy."""
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from aiocloudmap.cli import main\n"
        "try: main()\n"
        "finally: print(*sorted({'aiohttp', 'botocore', 'rich', 'typer'} & {k for k, v in sys.modules.items() if v}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=MAX_WAIT, check=False
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "\n")
    assert missing in done.stderr
    assert "pip install 'aiocloudmap[cli]'" in done.stderr


def test_the_version_is_that_of_the_package(monkeypatch, invoke):
    """--version prints it."""
    monkeypatch.setattr("importlib.metadata.version", {"aiocloudmap": "1.2.3"}.get)
    outcome = invoke("--version")
    assert (outcome.code, outcome.out) == (0, "aiocloudmap 1.2.3\n")


def test_a_source_tree_has_no_version(monkeypatch, invoke):
    """--version says so."""

    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    assert "not installed" in invoke("--version").out


@pytest.mark.parametrize("name", ["resolve", "serve", "demo"])
def test_every_command_shows_help_with_examples(name, invoke):
    """It fits into 80 columns."""
    outcome = invoke(name, "--help")
    assert outcome.code == 0
    assert f"aiocloudmap {name}" in outcome.out
    assert "Examples" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_the_help_lists_the_exit_codes(invoke):
    """Scripts rely on them."""
    outcome = invoke("--help")
    assert "3 not found" in " ".join(outcome.out.split())


def test_help_imports_nothing_heavy():
    """Shell completion runs on every tab and must be quick."""
    program = (
        "import sys; from aiocloudmap.cli.app import app\n"
        "try: app(['resolve', '--help'])\n"
        "except SystemExit: print(*sorted({'aiohttp', 'botocore', 'aiobotocore'} & {*sys.modules}), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=MAX_WAIT, check=True
    )  # fmt: skip
    assert done.stderr == "\n"


def test_an_unknown_command_exits_with_2(run):
    """It runs as `python -m aiocloudmap`."""
    outcome = run("explode")
    assert (outcome.code, outcome.out) == (2, "")
    assert "explode" in outcome.err
    assert "Traceback" not in outcome.err
