"""Services of the local world and their own attributes, through AWS's API."""

from __future__ import annotations

import pytest

A_RECORD = {"DnsRecords": [{"Type": "A", "TTL": 60}]}
ROUTE53 = {"Type": "HTTP", "ResourcePath": "/health"}


@pytest.fixture
def namespaces(call):
    """Ids of an HTTP, a private and a public DNS namespace."""

    def made(kind, name, **members):
        operation = call(f"Create{kind}Namespace", Name=name, **members)["OperationId"]
        return call("GetOperation", OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]

    return {
        "http": made("Http", "shop"),
        "private": made("PrivateDns", "shop.internal", Vpc="vpc-1"),
        "public": made("PublicDns", "shop.example.com"),
    }


@pytest.fixture
def create(call, namespaces):
    def create(where="http", name="orders", **members):
        return call("CreateService", Name=name, NamespaceId=namespaces[where], **members)["Service"]

    return create


def test_a_service_is_created_at_once(call, create):
    """It is found by id and by ARN."""
    service = create(Description="orders", HealthCheckCustomConfig={"FailureThreshold": 3})
    assert service["Type"] == "HTTP"
    assert service["InstanceCount"] == 0
    assert service["HealthCheckCustomConfig"] == {"FailureThreshold": 1}
    assert call("GetService", Id=service["Id"])["Service"] == service
    assert call("GetService", Id=service["Arn"])["Service"] == service


@pytest.mark.parametrize(("where", "members"), [("http", {}), ("private", {"Type": "HTTP"})])
def test_a_service_without_dns_records_has_an_empty_dns_config(call, create, where, members):
    """As AWS answers, in all operations."""
    service = create(where, **members)
    [listed] = call("ListServices")["Services"]
    got = call("GetService", Id=service["Id"])["Service"]
    assert [each["DnsConfig"] for each in (service, listed, got)] == [{}, {}, {}]


def test_a_service_with_dns_records_has_type_dns_http(create):
    """It is found by DNS queries and by DiscoverInstances."""
    service = create("private", DnsConfig=A_RECORD)
    assert service["Type"] == "DNS_HTTP"
    assert service["DnsConfig"]["RoutingPolicy"] == "MULTIVALUE"


def test_the_namespace_may_be_named_in_the_dns_config(call, namespaces):
    """As old clients send it."""
    config = {**A_RECORD, "NamespaceId": namespaces["public"]}
    service = call("CreateService", Name="orders", DnsConfig=config)["Service"]
    assert service["NamespaceId"] == namespaces["public"]


@pytest.mark.parametrize("other", ["private", "missing", "", "x" * 65])
def test_a_dns_config_names_the_same_namespace(call, namespaces, refused, other):
    """Where a request has both ids."""
    where = namespaces["public"]
    call("CreateService", Name="orders", NamespaceId=where, DnsConfig={**A_RECORD, "NamespaceId": where})
    with refused("InvalidInput"):
        config = {**A_RECORD, "NamespaceId": namespaces.get(other, other)}
        call("CreateService", Name="other", NamespaceId=where, DnsConfig=config)


@pytest.mark.parametrize(
    "name", ["orders", "a.b.c", "_orders._tcp", ".", "x" * 63, "o", ".".join(["x" * 63, "y" * 63])]
)
def test_valid_service_names_are_accepted(create, name):
    """Labels joined by dots, or a single dot."""
    assert create(name=name)["Name"] == name


@pytest.mark.parametrize(
    "name", ["", "-orders", "orders-", "a..b", "x" * 64, "with space", "_", ".".join(["x" * 63, "y" * 63, "z"]), "o\n"]
)
def test_invalid_service_names_are_refused(create, refused, name):
    """InvalidInput, by the pattern of the service model."""
    with refused("InvalidInput"):
        create(name=name)


@pytest.mark.parametrize(
    ("where", "members"),
    [
        ("http", {"DnsConfig": A_RECORD}),
        ("private", {"DnsConfig": A_RECORD, "Type": "HTTP"}),
        ("private", {"DnsConfig": A_RECORD, "HealthCheckConfig": ROUTE53}),
        ("http", {"HealthCheckConfig": ROUTE53, "HealthCheckCustomConfig": {}}),
        ("http", {"HealthCheckConfig": {"Type": "TCP", "ResourcePath": "/"}}),
        ("http", {"HealthCheckConfig": {"Type": "PING"}}),
        ("http", {"HealthCheckConfig": {"Type": "HTTP", "FailureThreshold": 11}}),
        ("http", {"HealthCheckCustomConfig": {"FailureThreshold": 0}}),
        ("http", {"Type": "DNS_HTTP"}),
        ("public", {"DnsConfig": {"DnsRecords": [{"Type": "CNAME", "TTL": 60}]}}),
        (
            "public",
            {
                "DnsConfig": {"DnsRecords": [{"Type": "CNAME", "TTL": 60}], "RoutingPolicy": "WEIGHTED"},
                "HealthCheckConfig": ROUTE53,
            },
        ),
        ("public", {"DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": 60}, {"Type": "SRV", "TTL": 60}]}}),
        ("public", {"DnsConfig": {"DnsRecords": []}}),
        ("public", {"DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": -1}]}}),
        ("public", {"DnsConfig": {"DnsRecords": [{"Type": "MX", "TTL": 1}]}}),
    ],
)
def test_an_invalid_service_is_refused(create, refused, where, members):
    """Invalid DNS records and health checks."""
    with refused("InvalidInput"):
        create(where, **members)


def test_creating_a_service_twice_is_refused(create, refused):
    """ServiceAlreadyExists has the id of the first."""
    first = create(CreatorRequestId="one")
    with refused("ServiceAlreadyExists") as caught:
        create(CreatorRequestId="two")
    expected = {"ServiceId": first["Id"], "ServiceArn": first["Arn"], "CreatorRequestId": "one"}
    assert caught.value.members == expected


def test_the_same_create_request_twice_creates_one_service(create, refused):
    """A CreatorRequestId makes a retry safe, but not a different request."""
    assert create(CreatorRequestId="one") == create(CreatorRequestId="one")
    with refused("ServiceAlreadyExists"):
        create(CreatorRequestId="one", HealthCheckCustomConfig={})


def test_service_names_are_case_sensitive_unless_in_dns(create, refused):
    """DNS names are not case-sensitive."""
    create(name="orders")
    create(name="ORDERS")
    create("private", name="orders", DnsConfig=A_RECORD)
    with refused("ServiceAlreadyExists"):
        create("private", name="ORDERS", DnsConfig=A_RECORD)


def test_a_service_requires_an_existing_namespace(call, refused):
    """InvalidInput without one, NamespaceNotFound with an unknown one."""
    with refused("InvalidInput"):
        call("CreateService", Name="orders")
    with refused("NamespaceNotFound"):
        call("CreateService", Name="orders", NamespaceId="ns-unknown")


def test_services_are_listed_in_pages_and_by_namespace(call, create, namespaces):
    """100 a page by default."""
    for number in range(101):
        create(name=f"orders-{number}")
    create("private", name="other", Type="HTTP")
    first = call("ListServices")
    second = call("ListServices", NextToken=first["NextToken"])
    assert (len(first["Services"]), len(second["Services"])) == (100, 2)
    assert "NextToken" not in second
    only = call("ListServices", MaxResults=100, Filters=[{"Name": "NAMESPACE_ID", "Values": [namespaces["private"]]}])
    assert (only["Services"], "NextToken" in only) == ([], True)
    rest = call(
        "ListServices",
        NextToken=only["NextToken"],
        Filters=[{"Name": "NAMESPACE_ID", "Values": [namespaces["private"]]}],
    )
    assert [each["Name"] for each in rest["Services"]] == ["other"]


def test_a_service_with_instances_cannot_be_deleted(call, create, refused):
    """ResourceInUse until the last one is deregistered."""
    service = create()["Id"]
    call("RegisterInstance", ServiceId=service, InstanceId="a", Attributes={})
    with refused("ResourceInUse"):
        call("DeleteService", Id=service)
    call("DeregisterInstance", ServiceId=service, InstanceId="a")
    call("DeleteService", Id=service)
    for operation, member in (("GetService", "Id"), ("DeleteService", "Id"), ("GetServiceAttributes", "ServiceId")):
        with refused("ServiceNotFound"):
            call(operation, **{member: service})


def test_an_update_changes_ttls_and_removes_an_omitted_health_check(call, create):
    """AWS deletes settings that the call leaves out."""
    service = create("public", DnsConfig=A_RECORD, HealthCheckConfig=ROUTE53)["Id"]
    change = {"Description": "new", "DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": 5}]}}
    call("UpdateService", Id=service, Service=change)
    after = call("GetService", Id=service)["Service"]
    assert after["DnsConfig"]["DnsRecords"] == [{"Type": "A", "TTL": 5}]
    assert after["Description"] == "new"
    assert "HealthCheckConfig" not in after


def test_a_description_alone_deletes_the_other_settings(call, create):
    """In a DNS namespace; a record that is left out is deleted too."""
    both = {"DnsRecords": [{"Type": "A", "TTL": 60}, {"Type": "AAAA", "TTL": 60}]}
    service = create("public", DnsConfig=both, HealthCheckConfig=ROUTE53)["Id"]
    call("UpdateService", Id=service, Service={"DnsConfig": A_RECORD, "HealthCheckConfig": ROUTE53})
    after = call("GetService", Id=service)["Service"]
    assert (after["DnsConfig"]["DnsRecords"], "HealthCheckConfig" in after) == (A_RECORD["DnsRecords"], True)
    call("UpdateService", Id=service, Service={"Description": "new"})
    after = call("GetService", Id=service)["Service"]
    assert (after["Description"], after["DnsConfig"], "HealthCheckConfig" in after) == ("new", {}, False)


def test_a_description_alone_keeps_the_settings_in_an_http_namespace(call, create):
    """They cannot be updated there."""
    service = create(HealthCheckConfig=ROUTE53)["Id"]
    call("UpdateService", Id=service, Service={"Description": "new"})
    after = call("GetService", Id=service)["Service"]
    assert after["HealthCheckConfig"] == {**ROUTE53, "FailureThreshold": 1}


def test_a_health_check_of_another_type_requires_deleting_the_first(call, create, refused):
    """Its path and threshold may change."""
    service = create("public", HealthCheckConfig=ROUTE53)["Id"]
    changed = {"Type": "HTTP", "ResourcePath": "/new", "FailureThreshold": 2}
    call("UpdateService", Id=service, Service={"HealthCheckConfig": changed})
    assert call("GetService", Id=service)["Service"]["HealthCheckConfig"] == changed
    for kind in ("TCP", "HTTPS"):
        with refused("InvalidInput"):
            call("UpdateService", Id=service, Service={"HealthCheckConfig": {"Type": kind}})
    call("UpdateService", Id=service, Service={})
    call("UpdateService", Id=service, Service={"HealthCheckConfig": {"Type": "TCP"}})
    assert call("GetService", Id=service)["Service"]["HealthCheckConfig"]["Type"] == "TCP"


def test_an_update_keeps_a_custom_health_check(call, create):
    """It cannot be added, changed or removed."""
    service = create("private", DnsConfig=A_RECORD, HealthCheckCustomConfig={})["Id"]
    call("UpdateService", Id=service, Service={"DnsConfig": A_RECORD})
    assert call("GetService", Id=service)["Service"]["HealthCheckCustomConfig"] == {"FailureThreshold": 1}


@pytest.mark.parametrize(
    ("where", "made", "change"),
    [
        ("http", {}, {"HealthCheckConfig": ROUTE53}),
        ("http", {}, {"DnsConfig": A_RECORD}),
        ("public", {"Type": "HTTP"}, {"DnsConfig": A_RECORD}),
        ("public", {"DnsConfig": A_RECORD}, {"DnsConfig": {"DnsRecords": [{"Type": "AAAA", "TTL": 5}]}}),
        ("public", {"DnsConfig": A_RECORD}, {"DnsConfig": {"DnsRecords": []}}),
        ("public", {"DnsConfig": A_RECORD}, {"DnsConfig": {"DnsRecords": A_RECORD["DnsRecords"] * 2}}),
        (
            "public",
            {"DnsConfig": A_RECORD, "HealthCheckCustomConfig": {}},
            {"DnsConfig": A_RECORD, "HealthCheckConfig": ROUTE53},
        ),
    ],
)
def test_an_invalid_update_is_refused(call, create, refused, where, made, change):
    """Settings in HTTP namespaces and record types cannot change."""
    service = create(where, **made)["Id"]
    with refused("InvalidInput"):
        call("UpdateService", Id=service, Service=change)


def test_service_attributes_are_added_changed_and_deleted(call, create):
    """Other attributes stay."""
    service = create()
    call("UpdateServiceAttributes", ServiceId=service["Id"], Attributes={"OWNER": "a", "STAGE": "live"})
    call("UpdateServiceAttributes", ServiceId=service["Arn"], Attributes={"OWNER": "b", "with space": ""})
    call("DeleteServiceAttributes", ServiceId=service["Id"], Attributes=["STAGE", "unknown"])
    answer = call("GetServiceAttributes", ServiceId=service["Id"])["ServiceAttributes"]
    assert answer["Attributes"] == {"OWNER": "b", "with space": ""}
    assert answer["ServiceArn"] == service["Arn"]


def test_a_service_has_at_most_thirty_attributes(call, create, refused):
    """ServiceAttributesLimitExceededException, counting existing ones."""
    service = create()["Id"]
    call("UpdateServiceAttributes", ServiceId=service, Attributes={str(n): "" for n in range(30)})
    call("UpdateServiceAttributes", ServiceId=service, Attributes={"0": "changed"})
    with refused("ServiceAttributesLimitExceededException"):
        call("UpdateServiceAttributes", ServiceId=service, Attributes={"one more": ""})


@pytest.mark.parametrize(
    "attributes", [{}, {"k" * 256: "v"}, {"k": "v" * 1025}, {str(number): "" for number in range(31)}]
)
def test_invalid_service_attributes_are_refused(call, create, refused, attributes):
    """Lengths of keys and values, and the number of attributes in a request."""
    service = create()["Id"]
    with refused("InvalidInput"):
        call("UpdateServiceAttributes", ServiceId=service, Attributes=attributes)


@pytest.mark.parametrize("keys", [[], [str(n) for n in range(31)]])
def test_one_to_thirty_attributes_are_deleted_at_once(call, create, refused, keys):
    """The limits of the service model."""
    service = create()["Id"]
    with refused("InvalidInput"):
        call("DeleteServiceAttributes", ServiceId=service, Attributes=keys)
