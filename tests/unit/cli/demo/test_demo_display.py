from __future__ import annotations

import io

import pytest
from rich.console import Console

from aiocloudmap.cli.demo.display import WRITE_THIS, LiveDisplay, PlainDisplay, show_summary, sparkline
from aiocloudmap.cli.demo.scenario import Scenario
from aiocloudmap.cli.demo.schedule import Schedule
from aiocloudmap.cli.demo.score import Counts

SCHEDULE = Schedule(length=6, rate=30, descriptors=88, outage_from=3.6, outage_to=5.6, ttl=1.8)


class NoDisplay:
    def message(self, text):
        pass

    def update(self, scores):
        pass


def _scores():
    scenario = Scenario(SCHEDULE, NoDisplay())
    kept, shared, ours = scenario.scores.values()
    kept.state = shared.state = "running"
    for number in range(30):
        at = number * 0.1
        kept.on_message({"kind": "answered", "at": at, "took": 0.02})
        kept.on_counts(at, Counts(number, number, number, number))
    error = "EndpointConnectionError: \x1b[2J ([Errno 24] Too many open files)"
    kept.on_message({"kind": "failed", "at": 3.0, "call": "PutEvents", "error": error, "descriptors": True})
    kept.on_message({"kind": "done"})
    shared.on_counts(1.2, Counts(1, 2, 3, 4))
    shared.outage = True
    ours.on_message({"kind": "ready"})
    return scenario.scores


def _on_paper(width=80, encoding="utf-8", *, terminal=False):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    return Console(file=stream, width=width, force_terminal=terminal, color_system=None, _environ={})


def _text_of(console):
    console.file.seek(0)
    return console.file.read()


@pytest.mark.parametrize(
    ("levels", "full", "expected"),
    [
        ([0, 1, 4, 8], 8, " ▁▄█"),
        ([0.01], 100, "▁"),
        ([200], 100, "█"),
        ([], 1, ""),
    ],
)
def test_a_sparkline_shows_levels(levels, full, expected):
    """A level above 0 is visible, and a level above `full` is full."""
    assert sparkline(levels, full) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_drawing_fits_into_80_columns(encoding):
    """Also on a terminal with ASCII only."""
    console = _on_paper(encoding=encoding)
    console.print(LiveDisplay(console).drawing(_scores()))
    lines = _text_of(console).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24


def test_the_drawing_shows_the_state_of_each_strategy():
    """One is dead, one in the outage, one waiting."""
    console = _on_paper()
    console.print(LiveDisplay(console).drawing(_scores()))
    shown = _text_of(console)
    assert "Too many open files" in shown
    assert "Cloud Map is down" in shown
    assert "waiting" in shown
    assert "29, peak 29" in shown
    assert "✗" in shown


def test_columns_without_samples_repeat_the_previous_level():
    """On a busy machine some columns have no sample."""
    console = _on_paper()
    scenario = Scenario(SCHEDULE, NoDisplay())
    score = scenario.scores["shared"]
    score.state = "running"
    for at in (0.0, 3.0):
        score.on_counts(at, Counts(open=88, peak=88))
    console.print(LiveDisplay(console).drawing(scenario.scores))
    line = next(line for line in _text_of(console).splitlines() if "open sockets" in line)
    assert line.split()[2] == "█" * 21


def test_the_summary_fits_into_80_columns():
    """The recommended code is not cropped."""
    console = _on_paper(terminal=True)
    show_summary(console, _scores())
    lines = _text_of(console).splitlines()
    assert max(map(len, lines)) <= 80
    shown = [line.strip() for line in lines]
    assert [line.strip() for line in WRITE_THIS.splitlines() if line.strip() not in shown] == []


def test_the_summary_says_what_failed():
    """The error message is escaped."""
    console = _on_paper()
    show_summary(console, _scores())
    shown = _text_of(console)
    assert "PutEvents: EndpointConnectionError: \\x1b[2J ([Errno 24] Too many open files)" in shown
    assert "EventBridge is not the cause" in shown


def test_the_recommended_code_compiles():
    """Readers copy it."""
    compile(WRITE_THIS, "summary", "exec")


def test_plain_lines_show_figures_once_a_second():
    """Updates come ten times a second."""
    stream = io.StringIO()
    scenario = Scenario(SCHEDULE, NoDisplay())
    display = PlainDisplay(stream)
    score = scenario.scores["kept"]
    score.state = "running"
    for now in (0.5, 1.0, 1.1, 1.9, 2.0, 2.5):
        score.on_counts(now, Counts(3, 3, 3, 4))
        display.update(scenario.scores)
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["1.0", "2.0"]


def test_plain_lines_have_no_control_characters():
    """Error messages are untrusted."""
    stream = io.StringIO()
    PlainDisplay(stream).message("it fails: \x1b[2J")
    assert stream.getvalue() == "it fails: \\x1b[2J\n"
