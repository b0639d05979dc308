"""Instances and their attributes."""

import json
from dataclasses import FrozenInstanceError, asdict

import pytest

from aiocloudmap import (
    AttributeNotFoundError,
    Discovery,
    HealthStatus,
    Instance,
    InvalidAttributeError,
    ServiceName,
)

ORDERS = ServiceName("shop", "orders")


def test_instances_and_their_attributes_are_frozen():
    """All callers share what is in the cache."""
    given_attributes = {"A": "1"}
    instance = Instance("i", ORDERS, attributes=given_attributes)
    given_attributes["A"] = "2"
    assert instance.attributes == {"A": "1"}
    with pytest.raises(TypeError):
        instance.attributes["A"] = "3"
    with pytest.raises(FrozenInstanceError):
        instance.id = "j"


def test_no_method_changes_the_attributes():
    """A copy can be changed."""
    attributes = Instance("i", ORDERS, attributes={"A": "1"}).attributes
    for change in (
        lambda: attributes.__setitem__("A", "2"),
        lambda: attributes.__delitem__("A"),
        lambda: attributes.__ior__({"A": "2"}),
        lambda: attributes.update(A="2"),
        lambda: attributes.setdefault("B", "2"),
        lambda: attributes.pop("A"),
        attributes.popitem,
        attributes.clear,
    ):
        with pytest.raises(TypeError, match=r"cannot be changed; copy\(\)"):
            change()
    assert attributes == {"A": "1"}
    changed = attributes.copy()
    changed["A"] = "2"
    assert attributes | {"A": "2"} == changed


def test_instances_convert_to_dicts_and_json():
    """So do the attributes alone."""
    instance = Instance("i", ORDERS, HealthStatus.HEALTHY, {"A": "1"})
    expected = {
        "id": "i",
        "service": {"namespace": "shop", "service": "orders"},
        "health": "HEALTHY",
        "attributes": {"A": "1"},
    }
    assert asdict(instance) == expected
    assert json.loads(json.dumps(asdict(instance))) == expected
    assert json.dumps(instance.attributes) == '{"A": "1"}'


def test_instances_are_equal_by_value_and_hashable():
    """Attributes count for equality."""
    one, same = (Instance("i", ORDERS, HealthStatus.HEALTHY, {"A": "1"}) for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    assert one != Instance("i", ORDERS, HealthStatus.HEALTHY, {"A": "2"})
    assert one != Instance("i", ORDERS, HealthStatus.UNHEALTHY, {"A": "1"})
    assert Instance("i", ORDERS).health is HealthStatus.UNKNOWN


def test_the_repr_of_an_instance_has_no_values():
    """Values may be secret or hostile."""
    shown = repr(Instance("i-1", ORDERS, HealthStatus.HEALTHY, {"TOKEN": "hidden-value", "A": "1"}))
    assert shown == "<Instance 'i-1' of shop/orders, HEALTHY, attributes ['A', 'TOKEN']>"


@pytest.mark.parametrize(
    ("attributes", "host"),
    [
        ({}, None),
        ({"AWS_INSTANCE_IPV4": "10.0.0.1"}, "10.0.0.1"),
        ({"AWS_INSTANCE_IPV6": "2001:DB8::1"}, "2001:db8::1"),
        ({"AWS_INSTANCE_CNAME": "db.example.com"}, "db.example.com"),
        ({"AWS_INSTANCE_CNAME": "my_host-1.example.com."}, "my_host-1.example.com."),
        ({"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_IPV6": "::1", "AWS_INSTANCE_CNAME": "a"}, "10.0.0.1"),
        ({"AWS_INSTANCE_IPV6": "::1", "AWS_INSTANCE_CNAME": "a"}, "::1"),
        ({"AWS_INSTANCE_IPV4": "", "AWS_INSTANCE_CNAME": "a"}, "a"),
    ],
)
def test_host_is_the_first_address_or_name(attributes, host):
    """IPv4, then IPv6, then CNAME, else None."""
    assert Instance("i", ORDERS, attributes=attributes).host == host


def test_hosts_are_all_addresses_and_names():
    """In the same order. Only the attributes that are read have to be valid."""
    attributes = {"AWS_INSTANCE_CNAME": "a", "AWS_INSTANCE_IPV6": "::1", "AWS_INSTANCE_IPV4": "10.0.0.1"}
    assert Instance("i", ORDERS, attributes=attributes).hosts == ("10.0.0.1", "::1", "a")
    assert Instance("i", ORDERS).hosts == ()
    half = Instance("i", ORDERS, attributes=attributes | {"AWS_INSTANCE_IPV6": "1::2::3"})
    assert half.host == "10.0.0.1"
    with pytest.raises(InvalidAttributeError, match="AWS_INSTANCE_IPV6 of instance i"):
        _ = half.hosts


@pytest.mark.parametrize(
    "attributes",
    [
        {"AWS_INSTANCE_IPV4": "10.0.0.256"},
        {"AWS_INSTANCE_IPV4": "10.0.0.1/evil"},
        {"AWS_INSTANCE_IPV4": "010.0.0.1"},
        {"AWS_INSTANCE_IPV6": "1::2::3"},
        {"AWS_INSTANCE_CNAME": "a b"},
        {"AWS_INSTANCE_CNAME": "a/../b"},
        {"AWS_INSTANCE_CNAME": "user@host"},
        {"AWS_INSTANCE_CNAME": "a..b"},
        {"AWS_INSTANCE_CNAME": "a" * 254},
    ],
)
def test_reading_an_invalid_host_is_an_error(attributes):
    """The message has the attribute's name, but not its value."""
    instance = Instance("i-1", ORDERS, attributes=attributes)
    [(key, value)] = attributes.items()
    with pytest.raises(
        InvalidAttributeError, match=f"^shop/orders: invalid {key} of instance i-1: expected an "
    ) as caught:
        _ = instance.host
    assert value not in str(caught.value)


@pytest.mark.parametrize(("text", "port"), [("1", 1), ("80", 80), ("65535", 65535), (None, None)])
def test_port_is_a_number_from_1_to_65535(text, port):
    """None if it is not set."""
    attributes = {} if text is None else {"AWS_INSTANCE_PORT": text}
    assert Instance("i", ORDERS, attributes=attributes).port == port


@pytest.mark.parametrize("text", ["0", "65536", "-1", "+80", "80.0", "http", "", " 80", "८०", "1_0", "9" * 5000, "²"])
def test_reading_an_invalid_port_is_an_error(text):
    """The host can still be read."""
    instance = Instance("i-1", ORDERS, attributes={"AWS_INSTANCE_PORT": text, "AWS_INSTANCE_IPV4": "10.0.0.1"})
    assert instance.host == "10.0.0.1"
    with pytest.raises(InvalidAttributeError, match="invalid AWS_INSTANCE_PORT of .*: expected a port from 1 to 65535"):
        _ = instance.port
    with pytest.raises(InvalidAttributeError):
        instance.url()


def test_zone_is_the_attribute_that_ecs_sets():
    """AVAILABILITY_ZONE, or None."""
    assert Instance("i", ORDERS, attributes={"AVAILABILITY_ZONE": "eu-west-1a"}).zone == "eu-west-1a"
    assert Instance("i", ORDERS).zone is None


@pytest.mark.parametrize(
    ("attributes", "arguments", "url"),
    [
        ({"AWS_INSTANCE_IPV4": "10.0.0.1"}, {}, "http://10.0.0.1"),
        ({"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_PORT": "8080"}, {}, "http://10.0.0.1:8080"),
        ({"AWS_INSTANCE_IPV6": "::1", "AWS_INSTANCE_PORT": "8080"}, {"path": "/v1"}, "http://[::1]:8080/v1"),
        ({"AWS_INSTANCE_IPV6": "::1"}, {"scheme": "https"}, "https://[::1]"),
        ({"AWS_INSTANCE_CNAME": "a.example"}, {"scheme": "grpc", "path": "v1"}, "grpc://a.example/v1"),
    ],
)
def test_url_joins_scheme_host_port_and_path(attributes, arguments, url):
    """IPv6 addresses are in brackets, and one slash precedes the path."""
    assert Instance("i", ORDERS, attributes=attributes).url(**arguments) == url


def test_an_instance_without_an_address_has_no_url():
    """The message lists the attributes it has."""
    with pytest.raises(AttributeNotFoundError, match=r"instance i-1 has no address\. It has: A, B\.") as caught:
        Instance("i-1", ORDERS, attributes={"B": "1", "A": "1"}).url()
    assert caught.value.available == ("A", "B")


def test_a_discovery_is_as_old_as_its_backend_says():
    """A shared cache returns answers that are already old."""
    assert Discovery(()).age == 0
    assert Discovery((), age=12.5).age == 12.5


def test_a_load_balancer_is_a_host():
    """Cloud Map registers one by AWS_ALIAS_DNS_NAME. An address of the instance's own comes first."""
    alias = {"AWS_ALIAS_DNS_NAME": "lb-1.eu-west-1.elb.amazonaws.com"}
    service = ServiceName("shop", "orders")
    assert Instance("a", service, attributes=alias).host == "lb-1.eu-west-1.elb.amazonaws.com"
    assert Instance("a", service, attributes={**alias, "AWS_INSTANCE_IPV4": "10.0.0.1"}).host == "10.0.0.1"
