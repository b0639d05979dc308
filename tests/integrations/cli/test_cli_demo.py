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

from aiocloudmap.cli.demo.schedule import Schedule
from aiocloudmap.model.policy import ConnectionPolicy

MAX_WAIT = 60


@pytest.fixture(scope="module")
def finished(on_terminal):
    """One demo for all tests of this file, with figures on a pipe and drawings on a terminal of 80 columns."""
    return on_terminal("demo", "--fast", "--json", pipe_out=True)


@pytest.fixture
def figures(finished):
    """The figures of each strategy."""
    return json.loads(finished.out)["ways"]


def test_the_demo_shows_its_claims(finished):
    """No claim is broken, and the exit code is 0."""
    assert json.loads(finished.out)["broken_claims"] == []
    assert finished.code == 0


def test_a_client_kept_per_request_runs_out_of_descriptors(figures):
    """The first call that fails is the one to EventBridge."""
    kept = figures["kept"]
    fatal = next(failure for failure in kept["failures"] if failure["descriptors"])
    assert fatal["call"] == "PutEvents"
    assert "Too many open files" in fatal["error"]
    assert kept["never_tried"] > 0
    assert kept["sockets_peak"] >= kept["answered"]


def test_callers_of_a_shared_client_notice_the_outage(figures):
    """It makes a call for each request and has no cache."""
    shared = figures["shared"]
    assert {failure["call"] for failure in shared["failures"]} == {"DiscoverInstances"}
    assert shared["discover_instances"] >= shared["answered"]


def test_callers_of_aiocloudmap_do_not_notice_the_outage(figures):
    """All are answered, though calls fail during the outage."""
    ours = figures["aiocloudmap"]
    assert (ours["answered"], ours["failed"]) == (ours["requests"], 0)
    assert ours["discover_instances_in_outage"] > 0
    assert ours["discover_instances"] < ours["requests"] / 2
    assert 0 < ours["sockets_peak"] <= ConnectionPolicy().max_connections


def test_every_strategy_gets_the_same_load(figures):
    """Answered, failed and untried requests add up."""
    for each in figures.values():
        assert each["answered"] + each["failed"] + each["never_tried"] == Schedule.lasting(1).requests


def test_drawing_and_summary_fit_the_terminal(finished):
    """The terminal has 80 columns."""
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", finished.err)
    assert max(map(len, re.split(r"[\r\n]", shown))) <= 80
    for words in ("a client kept per request", "Too many open files", "What happened", "Write this instead"):
        assert words in shown


def test_the_drawing_is_updated_during_the_demo(finished):
    """The cursor goes back up for each update."""
    assert finished.err.count("under load") > 3
    assert "\x1b[1A" in finished.err


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_no_process_outlives_the_demo(number, code, command):
    """Ctrl-C, SIGTERM or SIGKILL ends it. A pipe gets plain lines."""
    seconds = f"{20 + number / 1000}"
    marker = Schedule.lasting(float(seconds)).to_json()
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
            out, err = process.communicate(timeout=MAX_WAIT)
            # A handle is readable after its process has exited. After SIGKILL that takes a little longer.
            assert all(select.select([handle], [], [], MAX_WAIT)[0] for handle in handles)
    assert (process.returncode, err) == (code, "")
    assert "\x1b" not in "".join(lines) + out


def test_a_run_that_breaks_a_claim_exits_with_1(monkeypatch, invoke):
    """The exit code depends on the figures."""
    pytest.importorskip("resource")

    async def nothing(self):
        pass

    monkeypatch.setattr("aiocloudmap.cli.demo.scenario.Scenario.run", nothing)
    outcome = invoke("demo", "--json")
    assert outcome.code == 1
    assert "the clients kept per request did not use up the descriptors" in outcome.err
    assert "aiocloudmap did not finish the load" in json.loads(outcome.out)["broken_claims"]


def test_a_process_that_dies_is_reported_with_its_error(monkeypatch, tmp_path, invoke):
    """There is no wait and no traceback."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'first words' >&2\necho 'last words' >&2\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(broken))
    outcome = invoke("demo")
    assert outcome.code == 1
    assert "exited too early: last words" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_system_without_descriptor_limits_is_reported(monkeypatch, invoke):
    """No process is started."""
    monkeypatch.setitem(sys.modules, "resource", None)
    outcome = invoke("demo")
    assert (outcome.code, outcome.out) == (1, "")
    assert "limit of open files" in outcome.err


def _processes(marker):
    """Ids of the processes with the marker in their command line."""
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
