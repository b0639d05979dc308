"""Instances of the local world: registering, deregistering, and the operations that do it."""

from __future__ import annotations

import pytest

from aiocloudmap.local import Quotas, World

A_RECORD = {"DnsRecords": [{"Type": "A", "TTL": 60}]}


@pytest.fixture
def service(world, call):
    """The id of a service in an HTTP namespace."""
    world.add_service("shop/orders")
    return call("ListServices")["Services"][0]["Id"]


@pytest.fixture
def dns_service(call):
    """Makes services in a public DNS namespace."""
    operation = call("CreatePublicDnsNamespace", Name="example.com")["OperationId"]
    namespace = call("GetOperation", OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]

    def made(**members):
        return call("CreateService", Name="orders", NamespaceId=namespace, **members)["Service"]["Id"]

    return made


def register(call, service, instance="a", attributes=None, **members):
    return call("RegisterInstance", ServiceId=service, InstanceId=instance, Attributes=attributes or {}, **members)


def revision(call):
    return call("DiscoverInstancesRevision", NamespaceName="shop", ServiceName="orders")["InstancesRevision"]


def test_a_registered_instance_is_there_with_its_attributes(call, service):
    """GetInstance and ListInstances tell the same."""
    register(call, service, attributes={"QUEUE_URL": "https://q"}, CreatorRequestId="one")
    instance = call("GetInstance", ServiceId=service, InstanceId="a")["Instance"]
    assert instance["Attributes"] == {"QUEUE_URL": "https://q"}
    assert instance.pop("CreatorRequestId") == "one"
    assert call("ListInstances", ServiceId=service)["Instances"] == [instance]
    assert call("GetService", Id=service)["Service"]["InstanceCount"] == 1


def test_registering_an_id_again_changes_the_instance(call, service):
    """Upsert: one instance, its attributes replaced, the revision moved."""
    register(call, service, attributes={"A": "1", "B": "1"})
    register(call, service, attributes={"A": "2"})
    assert [each["Attributes"] for each in call("ListInstances", ServiceId=service)["Instances"]] == [{"A": "2"}]
    assert revision(call) == 2


def test_the_revision_only_ever_grows(call, service):
    """A registration and a deregistration move it up, so that no state comes back under an old number."""
    seen = [revision(call)]
    for _ in range(2):
        register(call, service)
        seen.append(revision(call))
        call("DeregisterInstance", ServiceId=service, InstanceId="a")
        seen.append(revision(call))
    assert seen == [0, 1, 2, 3, 4]


def test_deregistering_takes_the_instance_away(call, service, refused):
    """InstanceNotFound afterwards, also for deregistering it again."""
    register(call, service)
    call("DeregisterInstance", ServiceId=service, InstanceId="a")
    assert call("ListInstances", ServiceId=service)["Instances"] == []
    for operation in ("GetInstance", "DeregisterInstance"):
        with refused("InstanceNotFound"):
            call(operation, ServiceId=service, InstanceId="a")


def test_the_same_request_twice_is_one_operation(call, service):
    """A CreatorRequestId makes a retry safe: no second operation, no second revision."""
    once = register(call, service, CreatorRequestId="one")
    assert register(call, service, CreatorRequestId="one") == once
    assert revision(call) == 1
    assert register(call, service, attributes={"A": "1"}, CreatorRequestId="one") != once
    assert revision(call) == 2


def test_an_instance_that_went_can_come_back_with_the_same_token(call, service):
    """A CreatorRequestId is remembered as long as what it made is there."""
    register(call, service, CreatorRequestId="one")
    call("DeregisterInstance", ServiceId=service, InstanceId="a")
    register(call, service, CreatorRequestId="one")
    assert len(call("ListInstances", ServiceId=service)["Instances"]) == 1


@pytest.mark.parametrize("instance", ["", "with space", "x" * 65, "ä", "a\n", "a,b", "a#b"])
def test_an_instance_id_that_aws_refuses_is_refused(call, service, refused, instance):
    """1 to 64 of letters, digits and _/:.@-."""
    with refused("InvalidInput"):
        register(call, service, instance)


@pytest.mark.parametrize("instance", ["a", "x" * 64, "i-0/1:2.3@4_5"])
def test_an_instance_id_that_aws_allows_is_allowed(call, service, instance):
    """Slashes, colons, dots, at-signs, underscores and dashes."""
    register(call, service, instance)
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
def test_attributes_that_aws_refuses_are_refused(call, service, refused, attributes):
    """Patterns, lengths, thirty custom ones, 5,000 characters in all, and what reserved ones exclude."""
    with refused("InvalidInput"):
        register(call, service, attributes=attributes)


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
def test_attributes_that_aws_allows_are_allowed(call, service, attributes):
    """Up to the limits; reserved ones do not count among the thirty."""
    register(call, service, attributes=attributes)
    assert call("GetInstance", ServiceId=service, InstanceId="a")["Instance"]["Attributes"] == attributes


@pytest.mark.parametrize(
    ("attributes", "code"), [({"k": 1}, "SerializationException"), ("k=v", "SerializationException")]
)
def test_attributes_of_the_wrong_type_are_refused(call, service, refused, attributes, code):
    """A map of strings to strings."""
    with refused(code):
        register(call, service, attributes=attributes)


def test_an_ec2_instance_gets_its_address(call, service):
    """AWS fills in the primary private IPv4 address."""
    register(call, service, attributes={"AWS_EC2_INSTANCE_ID": "i-1", "AWS_INIT_HEALTH_STATUS": "HEALTHY"})
    attributes = call("GetInstance", ServiceId=service, InstanceId="a")["Instance"]["Attributes"]
    assert attributes["AWS_INSTANCE_IPV4"].startswith("10.0.")


def test_ec2_instances_are_for_http_namespaces(call, dns_service, refused):
    """The service model says so."""
    with refused("InvalidInput"):
        register(call, dns_service(), attributes={"AWS_EC2_INSTANCE_ID": "i-1"})


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
def test_dns_records_need_what_they_are_made_of(call, dns_service, refused, config, attributes, allowed):
    """A: IPv4. AAAA: IPv6. SRV: port and address. CNAME: a name. Alias: an A or AAAA record, weighted."""
    service = dns_service(DnsConfig=config)
    if allowed:
        assert register(call, service, attributes=attributes)["OperationId"]
    else:
        with refused("InvalidInput"):
            register(call, service, attributes=attributes)


def test_a_service_has_a_thousand_instances_at_most(world, call, service, refused):
    """ResourceLimitExceeded for one more, but not for one that is there."""
    for number in range(1000):
        world.register("shop/orders", f"orders-{number}")
    with refused("ResourceLimitExceeded"):
        register(call, service, "one-more")
    assert register(call, service, "orders-0")["OperationId"]


def test_a_namespace_has_so_many_instances_at_most(clock, caller, refused):
    """ResourceLimitExceeded over all its services; AWS raises it on request."""
    world = World(clock=clock, quotas=Quotas(instances_per_namespace=2))
    world.register("shop/a", "1")
    world.register("shop/b", "1")
    with refused("ResourceLimitExceeded"):
        world.register("shop/b", "2")
    world.register("other/b", "2")


def test_an_unknown_service_is_not_found(call, refused):
    """By every call that names one."""
    for operation in ("RegisterInstance", "DeregisterInstance", "GetInstance", "ListInstances"):
        with refused("ServiceNotFound"):
            call(operation, ServiceId="srv-unknown", InstanceId="a", Attributes={})


def test_instances_are_listed_in_pages(world, call, service):
    """A hundred a page where nothing is said, and no more when asked; none twice, none left out."""
    for number in range(150):
        world.register("shop/orders", f"orders-{number}")
    first = call("ListInstances", ServiceId=service)
    second = call("ListInstances", ServiceId=service, MaxResults=100, NextToken=first["NextToken"])
    assert "NextToken" not in second
    listed = [each["Id"] for each in first["Instances"] + second["Instances"]]
    assert (len(first["Instances"]), listed) == (100, [f"orders-{number}" for number in range(150)])


def test_an_instance_that_goes_between_two_pages_hides_no_other(world, call, service):
    """A token remembers where it was, not how many there were."""
    for name in "abcd":
        world.register("shop/orders", name)
    first = call("ListInstances", ServiceId=service, MaxResults=2)
    world.deregister("shop/orders", "a")
    rest = call("ListInstances", ServiceId=service, NextToken=first["NextToken"])
    assert [each["Id"] for each in rest["Instances"]] == ["c", "d"]


class TestOperationsThatTakeTime:
    """An operation of four seconds."""

    @pytest.fixture
    def world(self, clock):
        return World(clock=clock, operation_time=4)

    def status(self, call, operation):
        return call("GetOperation", OperationId=operation)["Operation"]["Status"]

    def test_an_operation_goes_from_submitted_over_pending_to_success(self, clock, call, service):
        """And its effect is seen at its end, not before."""
        operation = register(call, service)["OperationId"]
        seen = []
        for _ in range(3):
            seen.append((self.status(call, operation), revision(call)))
            clock.tick(2)
        assert seen == [("SUBMITTED", 0), ("PENDING", 0), ("SUCCESS", 1)]

    def test_a_second_one_on_the_same_instance_is_a_duplicate(self, clock, call, service, refused):
        """DuplicateRequest names the one that is running; other instances are free."""
        operation = register(call, service)["OperationId"]
        for again in ("RegisterInstance", "DeregisterInstance"):
            with refused("DuplicateRequest") as caught:
                call(again, ServiceId=service, InstanceId="a", Attributes={})
            assert caught.value.members == {"DuplicateOperationId": operation}
        register(call, service, "b")
        clock.tick(4)
        assert call("DeregisterInstance", ServiceId=service, InstanceId="a")["OperationId"]

    def test_the_same_request_again_is_told_of_the_running_operation(self, call, service):
        """A retry with the same CreatorRequestId is no clash."""
        once = register(call, service, CreatorRequestId="one")
        assert register(call, service, CreatorRequestId="one") == once

    def test_a_namespace_on_its_way_is_not_there_and_not_made_twice(self, clock, call, refused):
        """DuplicateRequest until it is there, NamespaceAlreadyExists afterwards."""
        operation = call("CreateHttpNamespace", Name="new")["OperationId"]
        identifier = call("GetOperation", OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]
        with refused("NamespaceNotFound"):
            call("GetNamespace", Id=identifier)
        with refused("DuplicateRequest"):
            call("CreateHttpNamespace", Name="new")
        clock.tick(4)
        assert call("GetNamespace", Id=identifier)
        with refused("NamespaceAlreadyExists"):
            call("CreateHttpNamespace", Name="new")

    def test_a_namespace_on_its_way_out_gets_no_services(self, clock, world, call, refused):
        """Once the deletion is done, it is not found."""
        world.add_namespace("old")
        identifier = call("ListNamespaces")["Namespaces"][0]["Id"]
        call("DeleteNamespace", Id=identifier)
        with refused("DuplicateRequest"):
            call("DeleteNamespace", Id=identifier)
        clock.tick(4)
        with refused("NamespaceNotFound"):
            call("CreateService", Name="orders", NamespaceId=identifier)

    def test_a_service_is_in_use_while_an_instance_is_on_its_way(self, call, service, refused):
        """It has no instance yet, and may not go."""
        register(call, service)
        with refused("ResourceInUse"):
            call("DeleteService", Id=service)

    def test_a_failed_operation_changes_nothing(self, clock, world, call, service):
        """FAIL, with AWS's ErrorCode."""
        world.fail_operations(code="THROTTLED_REQUEST", message="slow down")
        operation = register(call, service)["OperationId"]
        clock.tick(4)
        told = call("GetOperation", OperationId=operation)["Operation"]
        assert (told["Status"], told["ErrorCode"], told["ErrorMessage"]) == ("FAIL", "THROTTLED_REQUEST", "slow down")
        assert call("ListInstances", ServiceId=service)["Instances"] == []
        assert revision(call) == 0

    def test_the_testers_hand_does_not_wait(self, world, call, service):
        """World.register acts at once, whatever operations take."""
        world.register("shop/orders", "a")
        assert revision(call) == 1

    def test_operations_are_listed_by_what_they_were(self, clock, call, service):
        """Filters by type, status, target and date; instance operations are listed as well."""
        began = clock.time()
        operation = register(call, service)["OperationId"]
        clock.tick(4)
        register(call, service, "b")
        filters = {
            "TYPE": (["REGISTER_INSTANCE"], "EQ", 2),
            "STATUS": (["SUCCESS", "FAIL"], "IN", 1),
            "SERVICE_ID": ([service], "EQ", 2),
            "NAMESPACE_ID": (["ns-other"], "EQ", 0),
            "UPDATE_DATE": ([str(began), str(began + 4)], "BETWEEN", 2),
        }
        for name, (values, condition, count) in filters.items():
            each = {"Name": name, "Values": values, "Condition": condition}
            assert len(call("ListOperations", Filters=[each])["Operations"]) == count, name
        documented = [{"Name": "STATUS", "Values": ["SUCCEED"]}]
        assert call("ListOperations", Filters=documented)["Operations"] == [{"Id": operation, "Status": "SUCCESS"}]

    def test_dates_that_are_none_are_refused(self, call, service, refused):
        """UPDATE_DATE takes seconds since the epoch."""
        register(call, service)
        each = {"Name": "UPDATE_DATE", "Values": ["today", "tomorrow"], "Condition": "BETWEEN"}
        with refused("InvalidInput"):
            call("ListOperations", Filters=[each])


def test_an_unknown_operation_is_not_found(call, refused):
    """OperationNotFound."""
    with refused("OperationNotFound"):
        call("GetOperation", OperationId="unknown")


def test_finished_operations_are_forgotten_after_a_while(world, call, service):
    """The log is bounded."""
    for _ in range(2500):
        world.call("RegisterInstance", {"ServiceId": service, "InstanceId": "a", "Attributes": {}})
    listed, token = 0, {}
    while True:
        page = call("ListOperations", **token)
        listed += len(page["Operations"])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert 1000 <= listed <= 2000


class TestASharedNamespace:
    """One that another account owns: found by ARN, and by OwnerAccount."""

    OWNER = "210987654321"

    @pytest.fixture
    def shared(self, world, call):
        world.add_service("shared/orders", owner_account=self.OWNER)
        return call("ListServices")["Services"][0]

    def test_discovery_finds_it_with_its_owner_only(self, world, call, shared, refused):
        """Without OwnerAccount it is NamespaceNotFound, as with a wrong one."""
        world.register("shared/orders", "a", owner_account=self.OWNER)
        names = {"NamespaceName": "shared", "ServiceName": "orders"}
        for owner in ({}, {"OwnerAccount": world.account}, {"OwnerAccount": "111111111111"}):
            for operation in ("DiscoverInstances", "DiscoverInstancesRevision"):
                with refused("NamespaceNotFound"):
                    call(operation, **names, **owner)
        assert len(call("DiscoverInstances", **names, OwnerAccount=self.OWNER)["Instances"]) == 1

    def test_the_control_plane_needs_its_arn(self, call, shared, refused):
        """Ids are for one's own."""
        assert call("GetService", Id=shared["Arn"])["Service"]["ResourceOwner"] == self.OWNER
        with refused("ServiceNotFound"):
            call("GetService", Id=shared["Id"])

    def test_its_operations_are_told_with_the_owner_only(self, call, shared, refused):
        """GetOperation takes OwnerAccount."""
        operation = register(call, shared["Arn"])["OperationId"]
        with refused("OperationNotFound"):
            call("GetOperation", OperationId=operation)
        assert call("GetOperation", OperationId=operation, OwnerAccount=self.OWNER)["Operation"]["Status"] == "SUCCESS"

    def test_a_namespace_of_the_same_name_is_another(self, world, call, shared):
        """Names are an account's own."""
        world.add_namespace("shared", owner_account=world.account)
        assert len(call("ListNamespaces")["Namespaces"]) == 2

    def test_only_its_owner_deletes_it(self, call, shared, refused):
        """Access is denied to the others."""
        namespace = call("ListNamespaces")["Namespaces"][0]
        with refused("AccessDeniedException"):
            call("DeleteNamespace", Id=namespace["Arn"])

    @pytest.mark.parametrize("owner", ["1", "12345678901a", "1234567890123"])
    def test_an_account_id_that_is_none_is_refused(self, call, shared, refused, owner):
        """Twelve digits."""
        with refused("InvalidInput"):
            call("DiscoverInstances", NamespaceName="shared", ServiceName="orders", OwnerAccount=owner)
