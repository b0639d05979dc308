"""Addresses of instances: who has one, who is tried first, and what gRPC calls them."""

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
    """One with an IPv4 address of its own, unless told otherwise."""
    attributes = {"AWS_INSTANCE_IPV4": host or f"10.0.0.{id}"} | more
    if port is not None:
        attributes["AWS_INSTANCE_PORT"] = str(port)
    return Instance(id, ORDERS, attributes={key: value for key, value in attributes.items() if value})


def hosts(instances: list[Instance], **how) -> list[str]:
    """The hosts to try, in order."""
    return [address.host for address in in_order(reachable(instances), **how)]


def test_an_instance_is_reached_at_all_its_addresses():
    """IPv4 first; a port where it says one."""
    both = instance("1", AWS_INSTANCE_IPV6="2001:db8::1")
    named = Instance("2", ORDERS, attributes={"AWS_INSTANCE_CNAME": "orders.example"})
    assert reachable([both, named]) == {
        both: (Address("10.0.0.1", 8080, socket.AF_INET), Address("2001:db8::1", 8080, socket.AF_INET6)),
        named: (Address("orders.example", None, None),),
    }


def test_an_address_in_the_place_of_a_host_name_is_an_address():
    """Four numbers between dots; anything else that ends in a number is nothing that can be reached."""
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
def test_one_bad_registration_takes_no_service_down(wrong):
    """Without an address, or with one or a port that is none, an instance is passed over."""
    assert hosts([Instance("0", ORDERS, attributes=wrong), instance("2")]) == ["10.0.0.2"]


def test_where_no_instance_has_an_address_the_error_says_what_they_have():
    """Somebody registered queues, not servers."""
    with pytest.raises(AttributeNotFoundError, match=r"shop/orders: no instance has an address\. There are: QUEUE_URL"):
        reachable([Instance("1", ORDERS, attributes={"QUEUE_URL": "here"})])
    with pytest.raises(AttributeNotFoundError, match="There are: no attributes"):
        reachable([Instance("1", ORDERS)])


def test_where_all_addresses_are_wrong_the_error_is_of_one_of_them():
    """It names the instance that is to be corrected."""
    with pytest.raises(InvalidAttributeError, match="AWS_INSTANCE_PORT of instance 1 is not a port"):
        reachable([instance("1", port="http"), Instance("2", ORDERS)])


def test_each_turn_begins_with_another_instance():
    """So that connections spread evenly."""
    instances = [instance("1"), instance("2"), instance("3")]
    firsts = Counter(hosts(instances, turn=turn)[0] for turn in range(30))
    assert firsts == {"10.0.0.1": 10, "10.0.0.2": 10, "10.0.0.3": 10}


def test_what_a_dead_instance_does_not_take_falls_on_all_others():
    """Not on its neighbour alone: who comes second is a matter of chance."""
    instances = [instance(str(number)) for number in range(1, 5)]
    seconds = {hosts(instances, turn=0)[1] for _ in range(200)}
    assert seconds == {"10.0.0.2", "10.0.0.3", "10.0.0.4"}


def test_instances_of_the_zone_come_first_and_take_turns_among_themselves():
    """Whatever lies between them; the others stand by."""
    zones = [THERE, HERE, THERE, HERE, None]
    instances = [instance(str(n), AVAILABILITY_ZONE=zone) for n, zone in enumerate(zones, 1)]
    orders = [hosts(instances, zone=HERE, turn=turn) for turn in range(4)]
    assert [order[0] for order in orders] == ["10.0.0.2", "10.0.0.4", "10.0.0.2", "10.0.0.4"]
    for order in orders:
        assert set(order[:2]) == {"10.0.0.2", "10.0.0.4"}
        assert set(order[2:]) == {"10.0.0.1", "10.0.0.3", "10.0.0.5"}


def test_unhealthy_instances_come_last_even_from_the_same_zone():
    """Where the question let them in at all."""
    sick = Instance("1", ORDERS, HealthStatus.UNHEALTHY, instance("1", AVAILABILITY_ZONE=HERE).attributes)
    far = Instance("2", ORDERS, HealthStatus.HEALTHY, instance("2", AVAILABILITY_ZONE=THERE).attributes)
    assert hosts([sick, far], zone=HERE) == ["10.0.0.2", "10.0.0.1"]


def test_a_zone_that_is_gone_leaves_attempts_for_the_others():
    """A connection is tried at so many of each kind, not at a thousand."""
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
def test_every_order_holds_each_instance_at_most_once_and_never_a_worse_one_before_a_better(kinds, turn, zone):
    """Whatever there is, whose turn it is, and what is preferred."""
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


def test_a_grpc_target_lists_the_addresses_with_their_ports():
    """In the order of the instances, each address once; who says no port is passed over."""
    instances = [instance("1"), instance("2", port=None), instance("3"), instance("4", host="10.0.0.1")]
    assert grpc_target(reachable(instances)) == "ipv4:10.0.0.1:8080,10.0.0.3:8080"


def test_a_grpc_target_has_one_family():
    """The one that more instances have, IPv4 where it is even; IPv6 addresses stand in brackets."""
    both = instance("1", AWS_INSTANCE_IPV6="2001:db8::1")
    six = Instance("2", ORDERS, attributes={"AWS_INSTANCE_IPV6": "2001:db8::2", "AWS_INSTANCE_PORT": "50051"})
    assert grpc_target(reachable([both, six])) == "ipv6:[2001:db8::1]:8080,[2001:db8::2]:50051"
    assert grpc_target(reachable([both])) == "ipv4:10.0.0.1:8080"


def test_no_grpc_target_is_made_of_host_names_or_without_a_port():
    """Neither can stand in a list of addresses; a port is not guessed."""
    named = Instance("1", ORDERS, attributes={"AWS_INSTANCE_CNAME": "orders.example", "AWS_INSTANCE_PORT": "80"})
    with pytest.raises(AttributeNotFoundError, match="no instance has both an IP address and a port"):
        grpc_target(reachable([named, instance("2", port=None)]))
