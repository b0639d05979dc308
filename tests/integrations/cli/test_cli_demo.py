from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aiocloudmap.cli.demo.plan import Plan
from aiocloudmap.model.policy import ConnectionPolicy

PATIENCE = 60


@pytest.fixture(scope="module")
def told(on_terminal):
    """The story told once for all tests of this file: figures to a pipe, pictures to a terminal of 80 columns."""
    return on_terminal("demo", "--fast", "--json", pipe_out=True)


@pytest.fixture
def figures(told):
    """What was measured, by way."""
    return json.loads(told.out)["ways"]


def test_the_story_holds(told):
    """Every claim was shown by this run, and the exit code says so."""
    assert json.loads(told.out)["broken_claims"] == []
    assert told.code == 0


def test_a_client_kept_per_request_ends_without_descriptors(figures):
    """And the call that fails first is the innocent one, to EventBridge, with the system's own words."""
    kept = figures["kept"]
    fatal = next(failure for failure in kept["failures"] if failure["descriptors"])
    assert fatal["call"] == "PutEvents"
    assert "Too many open files" in fatal["error"]
    assert kept["never_tried"] > 0
    assert kept["sockets_peak"] >= kept["answered"]


def test_callers_of_a_shared_client_notice_the_outage(figures):
    """It asks for each request, and has nothing to fall back on."""
    shared = figures["shared"]
    assert {failure["call"] for failure in shared["failures"]} == {"DiscoverInstances"}
    assert shared["discover_instances"] >= shared["answered"]


def test_callers_of_aiocloudmap_notice_nothing(figures):
    """All are answered, though it asked in vain during the outage."""
    ours = figures["aiocloudmap"]
    assert (ours["answered"], ours["failed"]) == (ours["requests"], 0)
    assert ours["discover_instances_in_outage"] > 0
    assert ours["discover_instances"] < ours["requests"] / 2
    assert 0 < ours["sockets_peak"] <= ConnectionPolicy().max_connections


def test_every_way_gets_the_same_load(figures):
    """Answered, failed and never tried add up."""
    for way in figures.values():
        assert way["answered"] + way["failed"] + way["never_tried"] == Plan.lasting(1).requests


def test_the_picture_and_the_table_fit_the_terminal(told):
    """Live lines and the end, in 80 columns."""
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", told.err)
    assert max(map(len, re.split(r"[\r\n]", shown))) <= 80
    for words in ("a client kept per request", "Too many open files", "What happened", "Write this instead"):
        assert words in shown


def test_the_picture_is_drawn_while_it_happens(told):
    """Not once at the end: the cursor goes back up for each new picture."""
    assert told.err.count("under load") > 3
    assert "\x1b[1A" in told.err


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_whatever_ends_the_demo_ends_its_processes(number, code, command):
    """Ctrl-C, an orderly stop, and even a kill; and a pipe has got plain lines until then."""
    seconds = f"{20 + number / 1000}"
    marker = Plan.lasting(float(seconds)).to_json()
    with subprocess.Popen(
        command("demo", "--seconds", seconds), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "a client kept per request" in line:
                break
        with contextlib.ExitStack() as watched:
            handles = [watched.enter_context(_handle(each)) for each in _processes(marker)]
            assert len(handles) == 3
            process.send_signal(number)
            out, err = process.communicate(timeout=PATIENCE)
            # A handle is readable once its process has gone; after a kill they notice by themselves, a little later.
            assert all(select.select([handle], [], [], PATIENCE)[0] for handle in handles)
    assert (process.returncode, err) == (code, "")
    assert "\x1b" not in "".join(lines) + out


def test_a_run_that_does_not_show_it_leaves_1(monkeypatch, invoke):
    """The figures decide, not the script of the story."""
    pytest.importorskip("resource")

    async def nothing(self):
        pass

    monkeypatch.setattr("aiocloudmap.cli.demo.scenario.Story.tell", nothing)
    outcome = invoke("demo", "--json")
    assert outcome.code == 1
    assert "the clients kept per request did not use up the descriptors" in outcome.err
    assert "aiocloudmap did not come to the end of the load" in json.loads(outcome.out)["broken_claims"]


def test_a_process_that_dies_is_told_of_with_its_last_words(monkeypatch, tmp_path, invoke):
    """Instead of waiting for it, or of a traceback."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'first words' >&2\necho 'last words' >&2\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(broken))
    outcome = invoke("demo")
    assert outcome.code == 1
    assert "ended before its time: last words" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_system_that_cannot_lower_the_limit_says_so(monkeypatch, invoke):
    """Before anything is started."""
    monkeypatch.setitem(sys.modules, "resource", None)
    outcome = invoke("demo")
    assert (outcome.code, outcome.out) == (1, "")
    assert "limit of open files" in outcome.err


def _processes(marker):
    """Ids of the processes that have the marker in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if marker.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


@contextlib.contextmanager
def _handle(process):
    handle = os.pidfd_open(process)
    try:
        yield handle
    finally:
        os.close(handle)
