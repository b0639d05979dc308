"""Explanations and stats."""

from dataclasses import FrozenInstanceError, fields

import pytest

from aiocloudmap import ConnectError, Explanation, Freshness, Query, ServiceName, Stats

QUERY = Query(ServiceName("shop", "orders"))


def explanation(**changes) -> Explanation:
    """A fresh answer, with changes."""
    values = {
        "state": Freshness.FRESH,
        "instances": 2,
        "age": 3.25,
        "expires_in": 626.75,
        "refresh_in": 26.75,
        "failures": 0,
        "last_error": None,
        "held_empty": False,
        "in_flight": False,
    }
    return Explanation(query=QUERY, **values | changes)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "shop/orders is fresh; 2 instance(s), 3.2 s old, good for 626.8 s more; next refresh in 26.8 s"),
        (
            {"state": Freshness.ABSENT, "instances": None, "age": None, "expires_in": None, "in_flight": True},
            "shop/orders is absent; refresh under way",
        ),
        (
            {"state": Freshness.FALLBACK, "failures": 3, "last_error": ConnectError("cannot connect")},
            (
                "shop/orders is fallback; 2 instance(s), 3.2 s old, good for 626.8 s more; "
                "3 failure(s), the last: cannot connect; next refresh in 26.8 s"
            ),
        ),
        (
            {"state": Freshness.STALE, "held_empty": True},
            (
                "shop/orders is stale; 2 instance(s), 3.2 s old, good for 626.8 s more; "
                "an empty answer is not accepted yet; next refresh in 26.8 s"
            ),
        ),
    ],
)
def test_an_explanation_reads_as_one_line(changes, line):
    """What is known, what is wrong, and what comes next."""
    assert str(explanation(**changes)) == line


def test_there_are_four_states():
    """Each reads as a word."""
    assert [str(state) for state in Freshness] == ["fresh", "stale", "fallback", "absent"]


def test_explanations_and_stats_are_frozen_and_equal_by_value():
    """They describe one moment."""
    assert explanation() == explanation()
    with pytest.raises(FrozenInstanceError):
        explanation().age = 0
    stats = Stats(**{field.name: 1 for field in fields(Stats)})
    with pytest.raises(FrozenInstanceError):
        stats.misses = 2


def test_stats_have_the_documented_fields():
    """Hits are not counted."""
    assert [field.name for field in fields(Stats)] == [
        "misses",
        "coalesced",
        "refreshes",
        "stale_served",
        "failures",
        "throttled",
        "entries",
        "open_connections",
    ]
