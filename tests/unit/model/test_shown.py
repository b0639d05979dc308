"""Messages repeat what somebody gave: in one line, and no more of it than helps."""

from __future__ import annotations

import pytest

from aiocloudmap import CachePolicy, CloudMap, ConfigurationError, ConnectionPolicy, ServiceName
from aiocloudmap.local import Faults, World
from aiocloudmap.model.query import Query
from aiocloudmap.model.validation import safe_repr

LONG = 10**400
ENDLESS = [10**5000]
"""Python writes no number of so many digits; in a list, for pytest would write it into the test's name."""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("shop/orders", "'shop/orders'"),
        ("a\n\x1b[2Jé", r"'a\n\x1b[2J\xe9'"),
        ("x" * 81, f"'{'x' * 77}...'"),
        (5, "5"),
        (LONG, f"1{'0' * 76}..."),
        (ENDLESS, "<list>"),
        (["é\n"], r"['\xe9\n']"),
    ],
)
def test_a_value_is_shown_escaped_and_cut(value, text):
    """Strings in quotes, all else by its repr."""
    assert safe_repr(value) == text


def test_an_object_whose_repr_fails_is_shown_by_its_type():
    """The error is about something else."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert safe_repr(Broken()) == "<Broken>"


@pytest.mark.parametrize("value", [LONG, ENDLESS, "x" * 4000, ["x" * 4000]], ids=["int", "ints", "str", "list"])
@pytest.mark.parametrize(
    "refusing",
    [
        lambda value: CachePolicy(ttl=value),
        lambda value: CachePolicy(refresh=value),
        lambda value: ConnectionPolicy(max_connections=value),
        lambda value: ConnectionPolicy(read_timeout=value),
        lambda value: CloudMap(region=value),
        lambda value: CloudMap(cache=value),
        lambda value: CloudMap(connections=value),
        lambda value: ServiceName("shop", value),
        lambda value: ServiceName.parse(value),
        lambda value: Query(ServiceName("shop", "orders"), health=value),
        lambda value: Query(ServiceName("shop", "orders"), owner_account=value),
        lambda value: Faults().fail(value),
        lambda value: Faults().hold(operation=value),
        lambda value: World().register(value, "orders-1"),
    ],
)
def test_no_message_repeats_a_long_value_whole(refusing, value):
    """A line of a log is for people."""
    with pytest.raises(ConfigurationError) as caught:
        refusing(value)
    assert len(str(caught.value)) < 400
