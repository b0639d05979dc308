"""What a service and an engine tell about themselves, as values and as lines."""

from dataclasses import FrozenInstanceError, fields

import pytest

from aiocloudmap import ConnectError, Explanation, Freshness, Query, ServiceName, Stats

QUERY = Query(ServiceName("shop", "orders"))


def explanation(**changes) -> Explanation:
    """A fresh answer, but for what is said."""
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
                "an empty answer is being doubted; next refresh in 26.8 s"
            ),
        ),
    ],
)
def test_an_explanation_reads_as_a_line(changes, line):
    """What is known, what is wrong, what comes next."""
    assert str(explanation(**changes)) == line


def test_the_states_are_the_four_of_the_table():
    """They read as their words."""
    assert [str(state) for state in Freshness] == ["fresh", "stale", "fallback", "absent"]


def test_reports_are_frozen_values():
    """They are of one moment."""
    assert explanation() == explanation()
    with pytest.raises(FrozenInstanceError):
        explanation().age = 0
    stats = Stats(**{field.name: 1 for field in fields(Stats)})
    with pytest.raises(FrozenInstanceError):
        stats.misses = 2


def test_stats_count_what_is_documented_and_no_hits():
    """Counting hits would cost more than the hits."""
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
