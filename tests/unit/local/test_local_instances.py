"""Instances of the local world: registering, deregistering and listing."""

from __future__ import annotations

import pytest

from aiocloudmap.local import Quotas, World

A_RECORD = {"DnsRecords": [{"Type": "A", "TTL": 60}]}


@pytest.fixture
def dns_service(call):
    """Creates services in a public DNS namespace."""
    operation = call("CreatePublicDnsNamespace", Name="example.com")["OperationId"]
    namespace = call("GetOperation", OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]

    def made(**members):
        return call("CreateService", Name="orders", NamespaceId=namespace, **members)["Service"]["Id"]

    return made


def test_a_registered_instance_has_its_attributes(call, service, register):
    """GetInstance and ListInstances agree."""
    register(service, attributes={"QUEUE_URL": "https://q"}, CreatorRequestId="one")
    instance = call("GetInstance", ServiceId=service, InstanceId="a")["Instance"]
    assert instance["Attributes"] == {"QUEUE_URL": "https://q"}
    assert instance.pop("CreatorRequestId") == "one"
    assert call("ListInstances", ServiceId=service)["Instances"] == [instance]
    assert call("GetService", Id=service)["Service"]["InstanceCount"] == 1


def test_registering_an_id_again_changes_the_instance(call, service, register, revision):
    """Upsert: its attributes are replaced and the revision increases."""
    register(service, attributes={"A": "1", "B": "1"})
    register(service, attributes={"A": "2"})
    assert [each["Attributes"] for each in call("ListInstances", ServiceId=service)["Instances"]] == [{"A": "2"}]
    assert revision() == 2


def test_the_revision_never_decreases(call, service, register, revision):
    """Registering and deregistering both increase it."""
    seen = [revision()]
    for _ in range(2):
        register(service)
        seen.append(revision())
        call("DeregisterInstance", ServiceId=service, InstanceId="a")
        seen.append(revision())
    assert seen == [0, 1, 2, 3, 4]


def test_deregistering_removes_the_instance(call, service, refused, register):
    """Later calls raise InstanceNotFound, also a second deregistration."""
    register(service)
    call("DeregisterInstance", ServiceId=service, InstanceId="a")
    assert call("ListInstances", ServiceId=service)["Instances"] == []
    for operation in ("GetInstance", "DeregisterInstance"):
        with refused("InstanceNotFound"):
            call(operation, ServiceId=service, InstanceId="a")


def test_the_same_registration_twice_is_one_operation(service, register, revision, refused):
    """A CreatorRequestId makes a retry safe. It cannot be used for other attributes or another instance."""
    once = register(service, CreatorRequestId="one")
    assert register(service, CreatorRequestId="one") == once
    assert revision() == 1
    for instance, attributes in (("a", {"A": "1"}), ("b", {})):
        with refused("DuplicateRequest") as caught:
            register(service, instance, attributes, CreatorRequestId="one")
        assert caught.value.members == {"DuplicateOperationId": once["OperationId"]}
    assert register(service, attributes={"A": "1"}, CreatorRequestId="two") != once
    assert register(service, CreatorRequestId="one") != once
    assert revision() == 3


def test_a_deregistered_instance_can_return_with_the_same_token(call, service, register):
    """A CreatorRequestId is remembered as long as the instance exists."""
    register(service, CreatorRequestId="one")
    call("DeregisterInstance", ServiceId=service, InstanceId="a")
    register(service, CreatorRequestId="one")
    assert len(call("ListInstances", ServiceId=service)["Instances"]) == 1


@pytest.mark.parametrize("instance", ["", "with space", "x" * 65, "ä", "a\n", "a,b", "a#b"])
def test_an_invalid_instance_id_is_refused(call, service, refused, instance, register):
    """It has 1 to 64 letters, digits and any of _/:.@-."""
    with refused("InvalidInput"):
        register(service, instance)


@pytest.mark.parametrize("instance", ["a", "x" * 64, "i-0/1:2.3@4_5"])
def test_a_valid_instance_id_is_accepted(call, service, instance, register):
    """Slashes, colons, dots, at-signs, underscores and dashes."""
    register(service, instance)
    assert call("GetInstance", ServiceId=service, InstanceId=instance)["Instance"]["Id"] == instance


@pytest.mark.parametrize(
    "attributes",
    [
        {"with space": "v"},
        {"": "v"},
        {"k" * 256: "v"},
        {"ä": "v"},
        {"k": " v"},
        {"k": "v" * 1025},
        {"k": "ä"},
        {"k": "a\nb"},
        {str(n): "v" for n in range(31)},
        {str(n): "v" * 1000 for n in range(5)},
        {"AWS_INIT_HEALTH_STATUS": "UNKNOWN"},
        {"AWS_EC2_INSTANCE_ID": "i-1", "QUEUE_URL": "q"},
        {"AWS_ALIAS_DNS_NAME": "lb.example.com"},
        {"AWS_ALIAS_DNS_NAME": "lb.example.com", "AWS_INSTANCE_PORT": "80"},
    ],
)
def test_invalid_attributes_are_refused(call, service, refused, attributes, register):
    """Patterns, lengths, 30 custom ones, 5,000 characters in all, and combinations of reserved ones."""
    with refused("InvalidInput"):
        register(service, attributes=attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"k": ""},
        {"k": "trailing space "},
        {"k" * 255: "v" * 1024},
        {**{f"k{n}": "v" for n in range(30)}, "AWS_INSTANCE_IPV4": "192.0.2.1", "AWS_INSTANCE_PORT": "80"},
        {**{str(n): "v" * 999 for n in range(4)}, "rest": "v" * 996},
    ],
)
def test_valid_attributes_are_accepted(call, service, attributes, register):
    """Up to the limits; reserved ones do not count towards the 30."""
    register(service, attributes=attributes)
    assert call("GetInstance", ServiceId=service, InstanceId="a")["Instance"]["Attributes"] == attributes


@pytest.mark.parametrize(
    ("attributes", "code"), [({"k": 1}, "SerializationException"), ("k=v", "SerializationException")]
)
def test_attributes_of_the_wrong_type_are_refused(call, service, refused, attributes, code, register):
    """A map of strings to strings."""
    with refused(code):
        register(service, attributes=attributes)


def test_an_ec2_instance_gets_its_address(call, service, register):
    """AWS adds the primary private IPv4 address."""
    register(service, attributes={"AWS_EC2_INSTANCE_ID": "i-1", "AWS_INIT_HEALTH_STATUS": "HEALTHY"})
    attributes = call("GetInstance", ServiceId=service, InstanceId="a")["Instance"]["Attributes"]
    assert attributes["AWS_INSTANCE_IPV4"].startswith("10.0.")


def test_ec2_instances_require_an_http_namespace(call, dns_service, refused, register):
    """As the service model documents."""
    with refused("InvalidInput"):
        register(dns_service(), attributes={"AWS_EC2_INSTANCE_ID": "i-1"})


@pytest.mark.parametrize(
    ("config", "attributes", "allowed"),
    [
        (A_RECORD, {"AWS_INSTANCE_IPV4": "192.0.2.1"}, True),
        (A_RECORD, {}, False),
        (A_RECORD, {"AWS_INSTANCE_IPV4": "192.0.2.256"}, False),
        ({"DnsRecords": [{"Type": "AAAA", "TTL": 1}]}, {"AWS_INSTANCE_IPV6": "2001:db8::1"}, True),
        ({"DnsRecords": [{"Type": "AAAA", "TTL": 1}]}, {"AWS_INSTANCE_IPV4": "192.0.2.1"}, False),
        (
            {"DnsRecords": [{"Type": "SRV", "TTL": 1}]},
            {"AWS_INSTANCE_IPV4": "192.0.2.1", "AWS_INSTANCE_PORT": "80"},
            True,
        ),
        ({"DnsRecords": [{"Type": "SRV", "TTL": 1}]}, {"AWS_INSTANCE_PORT": "80"}, False),
        ({"DnsRecords": [{"Type": "SRV", "TTL": 1}]}, {"AWS_INSTANCE_IPV4": "192.0.2.1"}, False),
        (
            {"DnsRecords": [{"Type": "SRV", "TTL": 1}]},
            {"AWS_INSTANCE_IPV4": "192.0.2.1", "AWS_INSTANCE_PORT": "65536"},
            False,
        ),
        (
            {"DnsRecords": [{"Type": "CNAME", "TTL": 1}], "RoutingPolicy": "WEIGHTED"},
            {"AWS_INSTANCE_CNAME": "example.com"},
            True,
        ),
        ({"DnsRecords": [{"Type": "CNAME", "TTL": 1}], "RoutingPolicy": "WEIGHTED"}, {}, False),
        ({**A_RECORD, "RoutingPolicy": "WEIGHTED"}, {"AWS_ALIAS_DNS_NAME": "lb.example.com"}, True),
        (A_RECORD, {"AWS_ALIAS_DNS_NAME": "lb.example.com"}, False),
    ],
)
def test_dns_records_require_their_attributes(call, dns_service, refused, config, attributes, allowed, register):
    """A: IPv4. AAAA: IPv6. SRV: port and address. CNAME: a name. Alias: an A or AAAA record, weighted."""
    service = dns_service(DnsConfig=config)
    if allowed:
        assert register(service, attributes=attributes)["OperationId"]
    else:
        with refused("InvalidInput"):
            register(service, attributes=attributes)


def test_a_service_has_at_most_a_thousand_instances(world, call, service, refused, register):
    """One more is ResourceLimitExceeded; changing an existing one is not."""
    for number in range(1000):
        world.register("shop/orders", f"orders-{number}")
    with refused("ResourceLimitExceeded"):
        register(service, "one-more")
    assert register(service, "orders-0")["OperationId"]


def test_a_namespace_has_a_limit_of_instances(clock, caller, refused):
    """ResourceLimitExceeded, over all its services."""
    world = World(clock=clock, quotas=Quotas(instances_per_namespace=2))
    world.register("shop/a", "1")
    world.register("shop/b", "1")
    with refused("ResourceLimitExceeded"):
        world.register("shop/b", "2")
    world.register("other/b", "2")


def test_an_unknown_service_is_not_found(call, refused):
    """By every operation that names one."""
    for operation in ("RegisterInstance", "DeregisterInstance", "GetInstance", "ListInstances"):
        with refused("ServiceNotFound"):
            call(operation, ServiceId="srv-unknown", InstanceId="a", Attributes={})


def test_instances_are_listed_in_pages(world, call, service):
    """100 a page by default; each instance once."""
    for number in range(150):
        world.register("shop/orders", f"orders-{number}")
    first = call("ListInstances", ServiceId=service)
    second = call("ListInstances", ServiceId=service, MaxResults=100, NextToken=first["NextToken"])
    assert "NextToken" not in second
    listed = [each["Id"] for each in first["Instances"] + second["Instances"]]
    assert (len(first["Instances"]), listed) == (100, [f"orders-{number}" for number in range(150)])


def test_deregistering_between_pages_skips_no_instance(world, call, service):
    """The token stores a position, not a count."""
    for name in "abcd":
        world.register("shop/orders", name)
    first = call("ListInstances", ServiceId=service, MaxResults=2)
    world.deregister("shop/orders", "a")
    rest = call("ListInstances", ServiceId=service, NextToken=first["NextToken"])
    assert [each["Id"] for each in rest["Instances"]] == ["c", "d"]
