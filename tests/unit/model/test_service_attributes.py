"""`ServiceAttributes` and `AttributesQuery`: the values."""

import pickle
from datetime import UTC, datetime

import pytest

from aiocloudmap import ConfigurationError, ServiceName
from aiocloudmap.model.answer import ServiceAttributes
from aiocloudmap.model.query import AttributesQuery
from aiocloudmap.testing import ManualClock

ORDERS = ServiceName("shop", "orders")


def test_attributes_are_a_mapping():
    """Equal to any with the same names and values, whenever they were fetched."""
    attributes = ServiceAttributes(ORDERS, {"OWNER": "team-a", "TIER": "1"})
    assert attributes == {"OWNER": "team-a", "TIER": "1"}
    assert attributes == ServiceAttributes(ServiceName("shop", "payments"), {"TIER": "1", "OWNER": "team-a"})
    assert (attributes["OWNER"], attributes.get("NONE"), len(attributes), "TIER" in attributes) == (
        "team-a",
        None,
        2,
        True,
    )
    assert ServiceAttributes(ORDERS) == {}


def test_attributes_never_change():
    """Neither by the handle, nor through what they were made of."""
    given = {"OWNER": "team-a"}
    attributes = ServiceAttributes(ORDERS, given)
    given["OWNER"] = "team-b"
    with pytest.raises(TypeError):
        attributes["OWNER"] = "team-b"  # type: ignore[index]
    with pytest.raises(AttributeError):
        attributes.service = ORDERS  # type: ignore[misc]
    assert attributes == {"OWNER": "team-a"}


def test_attributes_know_when_they_were_fetched():
    """On both clocks, the longer of which counts; time that passed unseen counts too."""
    clock = ManualClock()
    attributes = ServiceAttributes(ORDERS, clock=clock, elapsed=2)
    assert attributes.fetched_at == datetime.fromtimestamp(clock.time() - 2, UTC)
    clock.tick(3)
    assert attributes.age == 5
    clock.freeze(100)
    assert attributes.age == 105


def test_pickled_attributes_are_as_old_as_the_wall_clock_says():
    """The monotonic clock of another machine says something else."""
    attributes = ServiceAttributes(ORDERS, {"OWNER": "team-a"}, elapsed=3600)
    restored = pickle.loads(pickle.dumps(attributes))
    assert (restored, restored.service, restored.fetched_at) == (attributes, ORDERS, attributes.fetched_at)
    assert restored.age >= 3600


def test_a_repr_shows_no_value():
    """Values may be secret, and a repr ends in logs."""
    text = repr(ServiceAttributes(ORDERS, {"TOKEN": "hidden-value"}, clock=ManualClock()))
    assert text == "<ServiceAttributes of shop/orders: ['TOKEN'], 0.0 s old>"


def test_an_account_is_twelve_digits():
    """What AWS would refuse is refused at once."""
    assert AttributesQuery(ORDERS, "123456789012") == AttributesQuery(ORDERS, "123456789012")
    with pytest.raises(ConfigurationError, match="no AWS account id"):
        AttributesQuery(ORDERS, "1234")
