from __future__ import annotations

import json

import pytest

from aiocloudmap.cli.demo.schedule import Schedule
from aiocloudmap.cli.demo.score import Counts, FailedRequest, Score, broken_claims, percentile

SCHEDULE = Schedule(length=2, rate=5, descriptors=64, outage_from=1, outage_to=1.5, ttl=0.4)


def _answered(at=0.1, took=0.01):
    return {"kind": "answered", "at": at, "took": took}


def _failed(*, at=0.2, call="PutEvents", descriptors=False):
    return {"kind": "failed", "at": at, "call": call, "error": "OSError: no", "descriptors": descriptors}


def _score(strategy, *messages, peak=1, calls=10, in_outage=1):
    made = Score(strategy, SCHEDULE)
    for message in messages:
        made.on_message(message)
    made.outage = True
    made.on_counts(1.0, Counts(1, peak, 1, in_outage))
    made.outage = False
    made.on_counts(2.0, Counts(1, peak, 1, calls))
    return made


def _expected():
    return {
        "kept": _score("kept", _answered(), _failed(descriptors=True), peak=60),
        "shared": _score("shared", _answered(), _failed(call="DiscoverInstances")),
        "aiocloudmap": _score("aiocloudmap", *[_answered()] * SCHEDULE.requests, calls=3),
    }


def test_an_expected_run_shows_all_claims():
    """Its figures are those of a real outage."""
    assert broken_claims(_expected()) == []


@pytest.mark.parametrize(
    ("strategy", "changed", "claim"),
    [
        ("kept", _score("kept", _answered()), "did not use up the descriptors"),
        ("kept", _score("kept", _failed(call="DiscoverInstances", descriptors=True)), "was not PutEvents"),
        ("shared", _score("shared", _answered()), "did not notice the outage"),
        (
            "aiocloudmap",
            _score("aiocloudmap", *[_answered()] * 9, _failed(), calls=3),
            "callers of aiocloudmap got errors",
        ),
        ("aiocloudmap", _score("aiocloudmap", *[_answered()] * 9, calls=3), "did not finish the load"),
        ("aiocloudmap", _score("aiocloudmap", *[_answered()] * 10, calls=3, in_outage=0), "the outage was not tested"),
        ("aiocloudmap", _score("aiocloudmap", *[_answered()] * 10, calls=3, peak=17), "more than 16 sockets"),
        ("aiocloudmap", _score("aiocloudmap", *[_answered()] * 10, calls=10), "as often as a client without a cache"),
    ],
)
def test_each_claim_can_fail(strategy, changed, claim):
    """The result names the claim that the figures do not show."""
    broken = broken_claims(_expected() | {strategy: changed})
    assert len(broken) == 1
    assert claim in broken[0]


def test_requests_that_were_never_tried_are_counted():
    """They were neither answered nor failed."""
    assert _score("kept", _answered(), _failed()).never_tried == SCHEDULE.requests - 2


def test_a_process_without_descriptors_is_dead():
    """Any other process is done at the end."""
    done = {"kind": "done"}
    assert _score("kept", _failed(descriptors=True), done).state == "dead"
    assert _score("shared", _failed(), done).state == "done"


def test_the_first_failure_without_a_descriptor_counts():
    """Earlier failures had other reasons."""
    made = _score("kept", _failed(at=0.1, call="DiscoverInstances"), _failed(at=0.3, descriptors=True), _failed(at=0.4))
    assert made.out_of_descriptors == FailedRequest(0.3, "PutEvents", "OSError: no", descriptors=True)


def test_calls_during_the_outage_are_counted():
    """Calls before and after it do not count."""
    made = Score("shared", SCHEDULE)
    made.on_counts(1.0, Counts(discoveries=5))
    made.outage = True
    made.on_counts(1.2, Counts(discoveries=7))
    made.on_counts(1.4, Counts(discoveries=8))
    made.outage = False
    made.on_counts(1.6, Counts(discoveries=20))
    assert made.discoveries_in_outage == 3


def test_the_summary_is_json():
    """Times are in milliseconds."""
    summary = json.loads(json.dumps(_score("shared", _answered(took=0.25), _failed()).summary()))
    assert (summary["p50_ms"], summary["p99_ms"]) == (250.0, 250.0)
    assert summary["failures"] == [{"at": 0.2, "call": "PutEvents", "error": "OSError: no", "descriptors": False}]


def test_without_answers_there_is_no_waiting_time():
    """Zero would look fast."""
    assert _score("kept").summary()["p50_ms"] is None


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentiles_are_nearest_rank(share, expected):
    """The result is one of the values."""
    assert percentile(range(1, 101), share) == expected
