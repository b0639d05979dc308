from __future__ import annotations

import io

import pytest
from rich.console import Console

from aiocloudmap.cli.demo.display import WRITE_THIS, Lines, Picture, show_ending, sparkline
from aiocloudmap.cli.demo.plan import Plan
from aiocloudmap.cli.demo.scenario import Story
from aiocloudmap.cli.demo.score import Counts

PLAN = Plan(act=6, rate=30, descriptors=88, outage_from=3.6, outage_to=5.6, ttl=1.8)


class Deaf:
    def happened(self, text):
        pass

    def moved(self, story):
        pass


def _story_in_the_middle():
    story = Story(PLAN, Deaf())
    kept, shared, ours = story.scores.values()
    kept.state = shared.state = "running"
    for number in range(30):
        at = number * 0.1
        kept.told({"kind": "answered", "at": at, "took": 0.02})
        kept.saw(at, Counts(number, number, number, number))
    error = "EndpointConnectionError: \x1b[2J ([Errno 24] Too many open files)"
    kept.told({"kind": "failed", "at": 3.0, "call": "PutEvents", "error": error, "descriptors": True})
    kept.told({"kind": "done"})
    shared.saw(1.2, Counts(1, 2, 3, 4))
    shared.outage = True
    ours.told({"kind": "ready"})
    return story


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
def test_a_sparkline_fills_up_with_its_level(levels, full, expected):
    """Anything above nothing is seen, nothing is higher than full."""
    assert sparkline(levels, full) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_picture_fits_into_80_columns_of_any_terminal(encoding):
    """Also of one that knows ASCII only."""
    console = _on_paper(encoding=encoding)
    console.print(Picture(console).drawn(_story_in_the_middle()))
    lines = _text_of(console).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24


def test_the_picture_shows_how_each_way_stands():
    """Dead, in the outage, waiting."""
    console = _on_paper()
    console.print(Picture(console).drawn(_story_in_the_middle()))
    shown = _text_of(console)
    assert "Too many open files" in shown
    assert "Cloud Map is down" in shown
    assert "waits for its turn" in shown
    assert "29, peak 29" in shown
    assert "✗" in shown


def test_a_moment_without_a_sample_is_no_gap_in_the_sockets():
    """On a busy machine some columns get none; the sockets were open all the same."""
    console = _on_paper()
    story = Story(PLAN, Deaf())
    score = story.scores["shared"]
    score.state = "running"
    for at in (0.0, 3.0):
        score.saw(at, Counts(open=88, peak=88))
    console.print(Picture(console).drawn(story))
    line = next(line for line in _text_of(console).splitlines() if "open sockets" in line)
    assert line.split()[2] == "█" * 21


def test_the_ending_fits_into_80_columns_and_crops_nothing_to_copy():
    """The code is there to be copied."""
    console = _on_paper(terminal=True)
    show_ending(console, _story_in_the_middle())
    lines = _text_of(console).splitlines()
    assert max(map(len, lines)) <= 80
    shown = [line.strip() for line in lines]
    assert [line.strip() for line in WRITE_THIS.splitlines() if line.strip() not in shown] == []


def test_the_ending_says_what_failed_and_who_was_to_blame():
    """With the system's own words, and without obeying them."""
    console = _on_paper()
    show_ending(console, _story_in_the_middle())
    shown = _text_of(console)
    assert "PutEvents: EndpointConnectionError: \\x1b[2J ([Errno 24] Too many open files)" in shown
    assert "EventBridge had done nothing wrong" in shown


def test_what_to_write_instead_is_code_that_compiles():
    """The one thing that the reader takes home."""
    compile(WRITE_THIS, "ending", "exec")


def test_plain_lines_tell_how_things_stand_once_a_second():
    """A log wants no ten lines a second."""
    stream = io.StringIO()
    story = Story(PLAN, Deaf())
    lines = Lines(stream)
    score = story.scores["kept"]
    score.state = "running"
    for now in (0.5, 1.0, 1.1, 1.9, 2.0, 2.5):
        score.saw(now, Counts(3, 3, 3, 4))
        lines.moved(story)
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["1.0", "2.0"]


def test_plain_lines_hold_no_control_character():
    """Whatever an error says."""
    stream = io.StringIO()
    Lines(stream).happened("it fails: \x1b[2J")
    assert stream.getvalue() == "it fails: \\x1b[2J\n"
