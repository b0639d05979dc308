from __future__ import annotations

import json
import re

import pytest

SMALL = ("--processes", "200", "--services", "10")
PRESSED = ("--processes", "2000", "--services", "10")


@pytest.fixture
def plan(invoke):
    """Runs `aiocloudmap plan` in this process."""
    return lambda *arguments: invoke("plan", *arguments)


@pytest.fixture
def planned(plan):
    """The same, read from its JSON."""
    return lambda *arguments: json.loads(plan(*arguments, "-o", "json").out)


def test_a_pipe_gets_the_plan_as_json(plan):
    """All parts of the plan are there, and standard error is empty."""
    outcome = plan(*SMALL)
    assert (outcome.code, outcome.err) == (0, "")
    assert list(json.loads(outcome.out)) == ["steady", "month", "cold_start", "advice"]


def test_the_table_shows_calls_costs_and_advice(plan):
    """The fleet is throttled at its start."""
    outcome = plan(*PRESSED, "-o", "table", "--call-duration", "0")
    text = " ".join(outcome.out.split())
    assert (outcome.code, outcome.err) == (0, "")
    assert "2,000 processes x 10 services, each asked for all the time" in text
    assert "701.8 calls a second, 70.2% of the 1,000 that AWS allows" in text
    assert "USD 1,818.95 for 1,819 million calls" in text
    assert "20,000 questions at once" in text
    assert "AWS throttles from 0 s on" in text
    assert "--ttl 23.4 or more" in text
    assert "--start-over 20 or more" in text
    assert "--max-calls-per-second 0.5 or less" in text


@pytest.mark.parametrize("processes", [500, 777, 2000, 123_456])
def test_rounded_advice_is_still_enough(plan, planned, processes):
    """With the printed ttl, the fleet uses at most nine tenths of the quota."""
    fleet = ("--processes", str(processes), "--services", "10", "--call-duration", "0")
    text = " ".join(plan(*fleet, "-o", "table").out.split())
    ttl = re.search(r"steady: --ttl ([\d,.]+) or more", text)[1].replace(",", "")
    assert planned(*fleet, "--ttl", ttl)["steady"]["calls_per_second"] <= 900


def test_advice_is_never_below_a_setting_that_is_enough(plan, planned):
    """The table says that it is enough, and JSON has the setting itself."""
    text = " ".join(plan(*SMALL, "--ttl", "60", "-o", "table").out.split())
    assert re.search(r"steady: --ttl [\d.]+ or more, so 60 is enough", text)
    assert re.search(r"without the burst: --jitter [\d.]+ or more, so 0\.1 is enough", text)
    assert planned(*SMALL, "--ttl", "60", "--start-over", "7")["advice"] == {
        "ttl": 60,
        "ttl_after_start": 60,
        "jitter": 0.1,
        "start_over": 7,
        "max_calls_per_second": 5,
    }
    text = " ".join(plan(*PRESSED, "--ttl", "10", "-o", "table").out.split())
    assert re.search(r"steady: --ttl 23[\d.]+ or more (?!so)", text)


@pytest.mark.parametrize("processes", ["500", "777", "2000", "123456"])
def test_figures_in_json_are_rounded(planned, processes):
    """To seven digits at most."""
    made = planned("--processes", processes, "--services", "10", "--requests-per-second", "0.37")
    figures = [figure for part in made.values() for figure in part.values() if type(figure) in (int, float)]
    assert figures
    assert [figure for figure in figures if len(str(figure).strip("0").replace(".", "").strip("0")) > 7] == []


def test_the_table_of_a_fleet_within_the_quota_is_short(plan):
    """Nothing is throttled, so no advice for the start is needed."""
    text = " ".join(plan(*SMALL, "-o", "table").out.split())
    assert "AWS throttles nothing" in text
    assert "start-over" not in text


def test_the_table_shows_an_insufficient_quota(plan):
    """Also a start too long to rehearse, a process at its own limit, and singular words."""
    arguments = ("--processes", "1000000", "--services", "100", "-o", "table")
    text = " ".join(plan(*arguments).out.split())
    assert "throttled: an answer is renewed every 100,000 s at best" in text
    assert "the last answer comes after 99,998 s at the earliest" in text
    text = " ".join(plan("--processes", "1", "--services", "1", "--ttl", "0", "--call-duration", "0").out.split())
    assert '"held_back": true' in text
    arguments = ("--processes", "1", "--services", "1", "--requests-per-second", "0.5", "--refresh", "inline")
    text = " ".join(plan(*arguments, "--ttl", "0", "--instances", "3", "-o", "table").out.split())
    assert "1 process x 1 service, each asked for every 2 s on average" in text
    assert "a caller waits for 100% of the renewals" in text
    assert "of it USD 0.30 for 3 registered instances" in text


@pytest.mark.parametrize(
    ("arguments", "part", "figure", "value"),
    [
        (["--ttl", "60", "--jitter", "0"], "steady", "calls_per_second", 2000 / 60),
        (["--empty", "10", "--negative-ttl", "10"], "steady", "calls_per_second", 200),
        (["--requests-per-second", "1", "--jitter", "0"], "steady", "interval", 40),
        (["--refresh", "inline"], "steady", "waits", 1),
        (["--stale-while-revalidate", "0"], "steady", "waits", 1),
        (["--max-calls-per-second", "0.1"], "steady", "calls_per_second", 20),
        (["--instances", "50"], "month", "usd_for_instances", 5),
        (["--loops", "3"], "cold_start", "questions", 6000),
        (["--start-over", "7"], "cold_start", "all_after", 7),
        (["--quota-burst", "1000"], "cold_start", "at_least", 1),
        (["--quota-burst", "1000", "--quota-per-second", "500"], "cold_start", "at_least", 2),
    ],
)
def test_each_option_changes_the_plan(planned, arguments, part, figure, value):
    """Worked out by hand for calls that take no time."""
    assert planned(*SMALL, "--call-duration", "0", *arguments)[part][figure] == pytest.approx(value)


def test_max_attempts_changes_the_rehearsal(planned):
    """Retries of botocore are calls."""
    once, thrice = (planned(*SMALL, "--quota-burst", "500", "--max-attempts", each) for each in ("1", "3"))
    assert once["cold_start"]["throttled"] < thrice["cold_start"]["throttled"]


@pytest.mark.parametrize(
    ("arguments", "option", "said"),
    [
        ([], "--processes", "Missing option"),
        (["--processes", "5"], "--services", "Missing option"),
        (["--processes", "0", "--services", "1"], "--processes", "from 1 to"),
        (["--processes", "many", "--services", "1"], "--processes", "integer"),
        (["--processes", "5", "--services", "2", "--empty", "3"], "--empty", "from 0 to 2"),
        ([*SMALL, "--ttl", "-1"], "--ttl", "0 or more"),
        ([*SMALL, "--ttl", "nan"], "--ttl", "0 or more"),
        ([*SMALL, "--jitter", "2"], "--jitter", "from 0 to 1"),
        ([*SMALL, "--max-calls-per-second", "0"], "--max-calls-per-second", "or more"),
        ([*SMALL, "--quota-burst", "inf"], "--quota-burst", "from 1 to"),
        ([*SMALL, "--refresh", "auto"], "--refresh", "background"),
        ([*SMALL, "-o", "yaml"], "--output", "table"),
    ],
)
def test_invalid_options_are_wrong_usage(plan, arguments, option, said):
    """The exit code is 2, and the message names the option and the expected value."""
    outcome = plan(*arguments)
    text = " ".join(outcome.err.replace("│", " ").split())
    assert (outcome.code, outcome.out) == (2, "")
    assert option in text
    assert said in text


def test_a_terminal_gets_the_table(on_terminal):
    """The default output of a terminal is the table."""
    outcome = on_terminal("plan", *SMALL)
    assert outcome.code == 0
    assert "AWS throttles nothing" in outcome.err + outcome.out


def test_planning_imports_no_aws_library():
    """It needs no session, no credentials and no network."""
    import subprocess
    import sys

    program = (
        "import sys, aiocloudmap.cli.plan.plan; "
        "print({'aiobotocore', 'aiohttp', 'botocore', 'rich', 'typer'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"
