"""Addresses of instances, and the order in which they are tried."""

from __future__ import annotations

import socket
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiocloudmap import AttributeNotFoundError, HealthStatus, Instance, InvalidAttributeError, ServiceName
from aiocloudmap.balancing.addresses import MAX_ATTEMPTS, Address, grpc_target, in_order, reachable

ORDERS = ServiceName("shop", "orders")
HERE, THERE = "eu-west-1a", "eu-west-1b"


def instance(id: str, host: str | None = None, port: int | str | None = 8080, **more: str) -> Instance:
    """An instance with an IPv4 address and a port."""
    attributes = {"AWS_INSTANCE_IPV4": host or f"10.0.0.{id}"} | more
    if port is not None:
        attributes["AWS_INSTANCE_PORT"] = str(port)
    return Instance(id, ORDERS, attributes={key: value for key, value in attributes.items() if value})


def hosts(instances: list[Instance], **how) -> list[str]:
    """The hosts to try, in order."""
    return [address.host for address in in_order(reachable(instances), **how)]


def test_an_instance_may_have_several_addresses():
    """IPv4 comes first. The port may be missing."""
    both = instance("1", AWS_INSTANCE_IPV6="2001:db8::1")
    named = Instance("2", ORDERS, attributes={"AWS_INSTANCE_CNAME": "orders.example"})
    assert reachable([both, named]) == {
        both: (Address("10.0.0.1", 8080, socket.AF_INET), Address("2001:db8::1", 8080, socket.AF_INET6)),
        named: (Address("orders.example", None, None),),
    }


def test_a_cname_may_be_an_ipv4_address():
    """Other names that end in a number are invalid."""
    [[address]] = reachable([Instance("1", ORDERS, attributes={"AWS_INSTANCE_CNAME": "10.0.0.1"})]).values()
    assert address == Address("10.0.0.1", None, socket.AF_INET)
    with pytest.raises(InvalidAttributeError):
        reachable([Instance("1", ORDERS, attributes={"AWS_INSTANCE_CNAME": "2130706433"})])


@pytest.mark.parametrize(
    "wrong",
    [
        {"AWS_INSTANCE_IPV4": "10.0.0.1/evil"},
        {"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_IPV6": "fe80::1%eth0"},
        {"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_PORT": "80@evil"},
        {"QUEUE_URL": "here"},
    ],
)
def test_invalid_instances_are_skipped(wrong):
    """So are instances without an address."""
    assert hosts([Instance("0", ORDERS, attributes=wrong), instance("2")]) == ["10.0.0.2"]


def test_the_error_for_no_address_lists_the_attributes():
    """Such a service may be a list of queues."""
    with pytest.raises(AttributeNotFoundError, match=r"shop/orders: no instance has an address\. There are: QUEUE_URL"):
        reachable([Instance("1", ORDERS, attributes={"QUEUE_URL": "here"})])
    with pytest.raises(AttributeNotFoundError, match="There are: no attributes"):
        reachable([Instance("1", ORDERS)])


def test_the_error_for_invalid_addresses_names_an_instance():
    """Its attribute has to be corrected."""
    with pytest.raises(InvalidAttributeError, match="invalid AWS_INSTANCE_PORT of instance 1: expected a port"):
        reachable([instance("1", port="http"), Instance("2", ORDERS)])


def test_each_turn_starts_with_another_instance():
    """So that connections are spread evenly."""
    instances = [instance("1"), instance("2"), instance("3")]
    firsts = Counter(hosts(instances, turn=turn)[0] for turn in range(30))
    assert firsts == {"10.0.0.1": 10, "10.0.0.2": 10, "10.0.0.3": 10}


def test_the_rest_is_in_random_order():
    """So that all others share the load of a dead instance."""
    instances = [instance(str(number)) for number in range(1, 5)]
    seconds = {hosts(instances, turn=0)[1] for _ in range(200)}
    assert seconds == {"10.0.0.2", "10.0.0.3", "10.0.0.4"}


def test_instances_of_the_preferred_zone_come_first():
    """In rotation."""
    zones = [THERE, HERE, THERE, HERE, None]
    instances = [instance(str(n), AVAILABILITY_ZONE=zone) for n, zone in enumerate(zones, 1)]
    orders = [hosts(instances, zone=HERE, turn=turn) for turn in range(4)]
    assert [order[0] for order in orders] == ["10.0.0.2", "10.0.0.4", "10.0.0.2", "10.0.0.4"]
    for order in orders:
        assert set(order[:2]) == {"10.0.0.2", "10.0.0.4"}
        assert set(order[2:]) == {"10.0.0.1", "10.0.0.3", "10.0.0.5"}


def test_unhealthy_instances_come_last_even_from_the_same_zone():
    """If the query returns them at all."""
    sick = Instance("1", ORDERS, HealthStatus.UNHEALTHY, instance("1", AVAILABILITY_ZONE=HERE).attributes)
    far = Instance("2", ORDERS, HealthStatus.HEALTHY, instance("2", AVAILABILITY_ZONE=THERE).attributes)
    assert hosts([sick, far], zone=HERE) == ["10.0.0.2", "10.0.0.1"]


def test_few_instances_of_each_rank_are_tried():
    """A failed zone leaves time for the others."""
    near = [instance(str(number), AVAILABILITY_ZONE=HERE) for number in range(100)]
    far = [instance(str(number), AVAILABILITY_ZONE=THERE) for number in range(100, 200)]
    order = hosts([*near, *far], zone=HERE, turn=7)
    assert order[0] == "10.0.0.7"
    assert [int(host.rpartition(".")[2]) < 100 for host in order] == [True] * MAX_ATTEMPTS + [False] * MAX_ATTEMPTS


@given(
    st.lists(st.tuples(st.sampled_from([HERE, THERE, None]), st.sampled_from(HealthStatus)), min_size=1, max_size=12),
    st.integers(min_value=0, max_value=1 << 20),
    st.sampled_from([HERE, None]),
)
def test_no_instance_is_repeated_or_follows_a_worse_one(kinds, turn, zone):
    """For all instances, turns and zones."""
    instances = {
        f"10.0.0.{number}": Instance(
            str(number), ORDERS, health, instance(str(number), AVAILABILITY_ZONE=place or "").attributes
        )
        for number, (place, health) in enumerate(kinds)
    }
    order = [instances[host] for host in hosts(list(instances.values()), zone=zone, turn=turn)]
    badness = [(each.health is HealthStatus.UNHEALTHY, zone is not None and each.zone != zone) for each in order]
    assert badness == sorted(badness)
    assert len(set(order)) == len(order)
    if len(instances) <= MAX_ATTEMPTS:
        assert set(order) == set(instances.values())


def test_a_grpc_target_lists_addresses_with_ports():
    """In order and once each. Instances without a port are skipped."""
    instances = [instance("1"), instance("2", port=None), instance("3"), instance("4", host="10.0.0.1")]
    assert grpc_target(reachable(instances)) == "ipv4:10.0.0.1:8080,10.0.0.3:8080"


def test_a_grpc_target_has_one_family():
    """The one with more addresses, or IPv4. IPv6 addresses are in brackets."""
    both = instance("1", AWS_INSTANCE_IPV6="2001:db8::1")
    six = Instance("2", ORDERS, attributes={"AWS_INSTANCE_IPV6": "2001:db8::2", "AWS_INSTANCE_PORT": "50051"})
    assert grpc_target(reachable([both, six])) == "ipv6:[2001:db8::1]:8080,[2001:db8::2]:50051"
    assert grpc_target(reachable([both])) == "ipv4:10.0.0.1:8080"


def test_a_grpc_target_needs_ip_addresses_and_ports():
    """Host names cannot be listed."""
    named = Instance("1", ORDERS, attributes={"AWS_INSTANCE_CNAME": "orders.example", "AWS_INSTANCE_PORT": "80"})
    with pytest.raises(AttributeNotFoundError, match="no instance has both an IP address and a port"):
        grpc_target(reachable([named, instance("2", port=None)]))
