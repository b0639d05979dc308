"""Snapshots and service attributes."""

import copy
import dataclasses
import json
import pickle
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime

import pytest
from fastapi.encoders import jsonable_encoder

from aiocloudmap import (
    Discovery,
    HealthFilter,
    HealthStatus,
    Instance,
    Query,
    ServiceAttributes,
    ServiceName,
    Snapshot,
)
from aiocloudmap.model.instance import MAX_INSTANCES
from aiocloudmap.testing import ManualClock

ORDERS = ServiceName("shop", "orders")


def snapshot(*ids: str, **settings) -> Snapshot:
    """A snapshot of instances with these ids."""
    return Snapshot(ORDERS, [Instance(each, ORDERS, attributes={"N": each}) for each in ids], **settings)


def test_a_snapshot_is_a_sequence_sorted_by_id():
    """Backends may return instances in any order."""
    found = snapshot("c", "a", "b")
    assert [each.id for each in found] == ["a", "b", "c"]
    assert (len(found), found[0].id, found[-1].id) == (3, "a", "c")
    assert [each.id for each in found[1:]] == ["b", "c"]
    assert found[1] in found
    assert found.index(found[1]) == 1
    assert [each.id for each in reversed(found)] == ["c", "b", "a"]
    assert bool(found)
    assert not snapshot()


def test_equality_of_snapshots_ignores_the_time():
    """Service, instances and revision count."""
    clock = ManualClock()
    one = snapshot("a", "b", revision=3, clock=clock)
    clock.tick(5)
    same = snapshot("b", "a", revision=3, clock=clock)
    assert one == same
    assert hash(one) == hash(same)
    assert one != snapshot("a", "b", revision=4)
    assert one != snapshot("a", revision=3)
    assert one != ["a", "b"]


def test_a_snapshot_knows_its_time_and_age():
    """The age is the larger one of the two clocks."""
    clock = ManualClock(time=1_700_000_000)
    found = snapshot("a", clock=clock)
    assert found.fetched_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert found.age == 0
    clock.tick(5)
    assert found.age == 5
    clock.freeze(10)
    assert found.age == 15
    clock.set_back(100)
    assert found.age == 5
    assert found.fetched_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_elapsed_time_counts_for_the_age():
    """The answer was already that old."""
    assert snapshot("a", clock=ManualClock(), elapsed=45).age == 45


def test_values_skip_instances_without_the_attribute():
    """In the order of the instances."""
    found = Snapshot(
        ORDERS,
        [
            Instance("b", ORDERS, attributes={"ZONE": "2"}),
            Instance("a", ORDERS, attributes={"ZONE": "1"}),
            Instance("c", ORDERS),
        ],
    )
    assert found.values("ZONE") == ("1", "2")
    assert found.values("MISSING") == ()


@pytest.mark.parametrize(("count", "maybe"), [(0, False), (999, False), (1000, True)])
def test_a_snapshot_of_maximum_length_may_be_truncated(count, maybe):
    """AWS returns at most 1,000 instances."""
    assert MAX_INSTANCES == 1000
    assert Snapshot(ORDERS, [Instance(f"{n:04}", ORDERS) for n in range(count)]).maybe_truncated is maybe


def test_a_snapshot_is_frozen():
    """All callers share it."""
    found = snapshot("a", revision=1)
    for name in ("service", "instances", "revision", "anything"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(found, name, None)
    with pytest.raises(TypeError):
        found[0] = None
    with pytest.raises(FrozenInstanceError):
        del found.service
    assert found.revision == 1


def test_the_repr_of_a_snapshot_shows_its_length_and_age():
    """And no values."""
    clock = ManualClock()
    assert repr(snapshot("a", clock=clock)) == "<Snapshot of shop/orders: 1 instance, 0.0 s old>"
    assert repr(snapshot(clock=clock)) == "<Snapshot of shop/orders: 0 instances, 0.0 s old>"


@pytest.mark.parametrize(
    "value",
    [
        ORDERS,
        Query(ORDERS, HealthFilter.ALL, (("A", "1"),), (("B", "2"),), "123456789012"),
        Instance("i", ORDERS, HealthStatus.HEALTHY, {"A": "1"}),
        Instance("i", ORDERS, attributes={"A": "1"}).attributes,
        Discovery((Instance("i", ORDERS, attributes={"A": "1"}),), 5),
        snapshot("b", "a", revision=7),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_survive_pickling_and_copying(value):
    """For process pools, task queues and shared caches."""
    for again in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert again == value
        assert type(again) is type(value)


def test_an_unpickled_snapshot_keeps_its_time_on_another_machine():
    """Wall clocks agree, monotonic clocks do not."""
    ages_ago = ManualClock(monotonic=10_000_000.0, time=datetime.now(UTC).timestamp() - 60)
    found = snapshot("a", clock=ages_ago)
    again = pickle.loads(pickle.dumps(found))
    assert again.fetched_at == found.fetched_at
    assert 60 <= again.age < 600


def test_service_attributes_are_a_mapping():
    """Equal to any mapping with the same items."""
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


def test_service_attributes_are_frozen():
    """The mapping they were made of may change."""
    given = {"OWNER": "team-a"}
    attributes = ServiceAttributes(ORDERS, given)
    given["OWNER"] = "team-b"
    with pytest.raises(TypeError):
        attributes["OWNER"] = "team-b"  # type: ignore[index]
    with pytest.raises(AttributeError):
        attributes.service = ORDERS  # type: ignore[misc]
    assert attributes == {"OWNER": "team-a"}


def test_service_attributes_know_their_time_and_age():
    """The age is the larger one of the two clocks."""
    clock = ManualClock()
    attributes = ServiceAttributes(ORDERS, clock=clock, elapsed=2)
    assert attributes.fetched_at == datetime.fromtimestamp(clock.time() - 2, UTC)
    clock.tick(3)
    assert attributes.age == 5
    clock.freeze(100)
    assert attributes.age == 105


def test_unpickled_service_attributes_keep_their_time():
    """Wall clocks agree, monotonic clocks do not."""
    attributes = ServiceAttributes(ORDERS, {"OWNER": "team-a"}, elapsed=3600)
    restored = pickle.loads(pickle.dumps(attributes))
    assert (restored, restored.service, restored.fetched_at) == (attributes, ORDERS, attributes.fetched_at)
    assert restored.age >= 3600


def test_the_repr_of_service_attributes_has_no_values():
    """Values may be secret."""
    text = repr(ServiceAttributes(ORDERS, {"TOKEN": "hidden-value"}, clock=ManualClock()))
    assert text == "<ServiceAttributes of shop/orders: ['TOKEN'], 0.0 s old>"


@pytest.mark.parametrize("count", [0, 2])
def test_a_snapshot_becomes_json(count):
    """As a dataclass, also with FastAPI's encoder; the age is not a field."""
    service = ServiceName("shop", "orders")
    snapshot = Snapshot(service, [Instance(f"i-{n}", service, attributes={"A": "1"}) for n in range(count)], revision=3)
    expected = {
        "service": {"namespace": "shop", "service": "orders"},
        "instances": [dataclasses.asdict(instance) for instance in snapshot],
        "revision": 3,
    }
    assert json.loads(json.dumps(jsonable_encoder(snapshot))) == expected
    assert dataclasses.asdict(snapshot) == {**expected, "instances": tuple(expected["instances"])}
