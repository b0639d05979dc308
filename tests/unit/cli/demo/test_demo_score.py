from __future__ import annotations

import json

import pytest

from aiocloudmap.cli.demo.plan import Plan
from aiocloudmap.cli.demo.score import Counts, Fault, Score, broken_claims, percentile

PLAN = Plan(act=2, rate=5, descriptors=64, outage_from=1, outage_to=1.5, ttl=0.4)


def _answered(at=0.1, took=0.01):
    return {"kind": "answered", "at": at, "took": took}


def _failed(*, at=0.2, call="PutEvents", descriptors=False):
    return {"kind": "failed", "at": at, "call": call, "error": "OSError: no", "descriptors": descriptors}


def _score(way, *messages, peak=1, calls=10, in_outage=1):
    made = Score(way, PLAN)
    for message in messages:
        made.told(message)
    made.outage = True
    made.saw(1.0, Counts(1, peak, 1, in_outage))
    made.outage = False
    made.saw(2.0, Counts(1, peak, 1, calls))
    return made


def _told_well():
    return {
        "kept": _score("kept", _answered(), _failed(descriptors=True), peak=60),
        "shared": _score("shared", _answered(), _failed(call="DiscoverInstances")),
        "aiocloudmap": _score("aiocloudmap", *[_answered()] * PLAN.requests, calls=3),
    }


def test_a_run_that_shows_everything_breaks_no_claim():
    """The story as it happened in real life."""
    assert broken_claims(_told_well()) == []


@pytest.mark.parametrize(
    ("way", "changed", "claim"),
    [
        ("kept", _score("kept", _answered()), "did not use up the descriptors"),
        ("kept", _score("kept", _failed(call="DiscoverInstances", descriptors=True)), "not the innocent one"),
        ("shared", _score("shared", _answered()), "did not notice the outage"),
        (
            "aiocloudmap",
            _score("aiocloudmap", *[_answered()] * 9, _failed(), calls=3),
            "callers of aiocloudmap were refused",
        ),
        ("aiocloudmap", _score("aiocloudmap", *[_answered()] * 9, calls=3), "did not come to the end"),
        ("aiocloudmap", _score("aiocloudmap", *[_answered()] * 10, calls=3, in_outage=0), "it proved nothing"),
        ("aiocloudmap", _score("aiocloudmap", *[_answered()] * 10, calls=3, peak=17), "more than 16 sockets"),
        ("aiocloudmap", _score("aiocloudmap", *[_answered()] * 10, calls=10), "as often as a client without a cache"),
    ],
)
def test_a_run_that_does_not_show_it_says_what(way, changed, claim):
    """Each claim of the story can be broken by the figures, one at a time."""
    broken = broken_claims(_told_well() | {way: changed})
    assert len(broken) == 1
    assert claim in broken[0]


def test_requests_that_came_too_late_are_counted():
    """Neither answered nor failed: the process had ended."""
    assert _score("kept", _answered(), _failed()).never_tried == PLAN.requests - 2


def test_a_process_that_ends_without_descriptors_is_dead():
    """And otherwise it is done."""
    done = {"kind": "done"}
    assert _score("kept", _failed(descriptors=True), done).state == "dead"
    assert _score("shared", _failed(), done).state == "done"


def test_the_first_failure_for_want_of_a_descriptor_is_the_one_that_counts():
    """Others may have failed before for other reasons."""
    made = _score("kept", _failed(at=0.1, call="DiscoverInstances"), _failed(at=0.3, descriptors=True), _failed(at=0.4))
    assert made.out_of_descriptors == Fault(0.3, "PutEvents", "OSError: no", descriptors=True)


def test_calls_during_the_outage_are_the_difference_of_the_server_s_counts():
    """What came before and after does not count."""
    made = Score("shared", PLAN)
    made.saw(1.0, Counts(discoveries=5))
    made.outage = True
    made.saw(1.2, Counts(discoveries=7))
    made.saw(1.4, Counts(discoveries=8))
    made.outage = False
    made.saw(1.6, Counts(discoveries=20))
    assert made.discoveries_in_outage == 3


def test_the_summary_is_json():
    """For --json, with times in milliseconds."""
    summary = json.loads(json.dumps(_score("shared", _answered(took=0.25), _failed()).summary()))
    assert (summary["p50_ms"], summary["p99_ms"]) == (250.0, 250.0)
    assert summary["failures"] == [{"at": 0.2, "call": "PutEvents", "error": "OSError: no", "descriptors": False}]


def test_nobody_answered_means_no_waiting_time():
    """Not zero, which would look fast."""
    assert _score("kept").summary()["p50_ms"] is None


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentiles_are_nearest_rank(share, expected):
    """A value that occurred, never one in between."""
    assert percentile(range(1, 101), share) == expected
