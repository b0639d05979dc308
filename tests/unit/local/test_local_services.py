"""Services of the local world, and their own attributes, through AWS's own calls."""

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


def test_a_service_is_there_at_once_and_found_by_id_and_arn(call, create):
    """CreateService is no operation."""
    service = create(Description="orders", HealthCheckCustomConfig={"FailureThreshold": 3})
    assert service["Type"] == "HTTP"
    assert service["InstanceCount"] == 0
    assert service["HealthCheckCustomConfig"] == {"FailureThreshold": 1}
    assert call("GetService", Id=service["Id"])["Service"] == service
    assert call("GetService", Id=service["Arn"])["Service"] == service


def test_a_service_with_dns_records_is_found_both_ways(create):
    """DNS_HTTP: by DNS queries and by DiscoverInstances."""
    service = create("private", DnsConfig=A_RECORD)
    assert service["Type"] == "DNS_HTTP"
    assert service["DnsConfig"]["RoutingPolicy"] == "MULTIVALUE"


def test_the_namespace_may_be_named_in_the_dns_config(call, namespaces):
    """As old clients do."""
    config = {**A_RECORD, "NamespaceId": namespaces["public"]}
    service = call("CreateService", Name="orders", DnsConfig=config)["Service"]
    assert service["NamespaceId"] == namespaces["public"]


@pytest.mark.parametrize(
    "name", ["orders", "a.b.c", "_orders._tcp", ".", "x" * 63, "o", ".".join(["x" * 63, "y" * 63])]
)
def test_names_that_aws_allows_are_allowed(create, name):
    """Labels joined by dots, or a dot."""
    assert create(name=name)["Name"] == name


@pytest.mark.parametrize(
    "name", ["", "-orders", "orders-", "a..b", "x" * 64, "with space", "_", ".".join(["x" * 63, "y" * 63, "z"]), "o\n"]
)
def test_names_that_aws_refuses_are_refused(create, refused, name):
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
def test_a_service_that_aws_would_not_have_is_refused(create, refused, where, members):
    """DNS records only where there is DNS; one kind of health check at most, where it can be."""
    with refused("InvalidInput"):
        create(where, **members)


def test_a_second_service_of_a_name_is_refused_with_the_first(create, refused):
    """ServiceAlreadyExists names what is there."""
    first = create(CreatorRequestId="one")
    with refused("ServiceAlreadyExists") as caught:
        create(CreatorRequestId="two")
    expected = {"ServiceId": first["Id"], "ServiceArn": first["Arn"], "CreatorRequestId": "one"}
    assert caught.value.members == expected


def test_the_same_request_twice_makes_one_service(create, refused):
    """A CreatorRequestId makes a retry safe; it does not excuse another request."""
    assert create(CreatorRequestId="one") == create(CreatorRequestId="one")
    with refused("ServiceAlreadyExists"):
        create(CreatorRequestId="one", HealthCheckCustomConfig={})


def test_case_tells_services_apart_only_where_no_dns_is_asked(create, refused):
    """The DNS knows no case."""
    create(name="orders")
    create(name="ORDERS")
    create("private", name="orders", DnsConfig=A_RECORD)
    with refused("ServiceAlreadyExists"):
        create("private", name="ORDERS", DnsConfig=A_RECORD)


def test_a_service_needs_a_namespace_that_is_there(call, refused):
    """InvalidInput without one, NamespaceNotFound with a wrong one."""
    with refused("InvalidInput"):
        call("CreateService", Name="orders")
    with refused("NamespaceNotFound"):
        call("CreateService", Name="orders", NamespaceId="ns-unknown")


def test_services_are_listed_in_pages_and_by_namespace(call, create, namespaces):
    """A hundred a page where nothing is said."""
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
    """ResourceInUse until the last one has gone; then its attributes go too."""
    service = create()["Id"]
    call("RegisterInstance", ServiceId=service, InstanceId="a", Attributes={})
    with refused("ResourceInUse"):
        call("DeleteService", Id=service)
    call("DeregisterInstance", ServiceId=service, InstanceId="a")
    call("DeleteService", Id=service)
    for operation, member in (("GetService", "Id"), ("DeleteService", "Id"), ("GetServiceAttributes", "ServiceId")):
        with refused("ServiceNotFound"):
            call(operation, **{member: service})


def test_an_update_changes_ttls_and_drops_the_health_check_left_out(call, create):
    """What AWS deletes when it is left out."""
    service = create("public", DnsConfig=A_RECORD, HealthCheckConfig=ROUTE53)["Id"]
    change = {"Description": "new", "DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": 5}]}}
    call("UpdateService", Id=service, Service=change)
    after = call("GetService", Id=service)["Service"]
    assert after["DnsConfig"]["DnsRecords"] == [{"Type": "A", "TTL": 5}]
    assert after["Description"] == "new"
    assert "HealthCheckConfig" not in after


def test_an_update_never_touches_a_custom_health_check(call, create):
    """It can be neither added, nor changed, nor left out."""
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
        (
            "public",
            {"DnsConfig": A_RECORD, "HealthCheckCustomConfig": {}},
            {"DnsConfig": A_RECORD, "HealthCheckConfig": ROUTE53},
        ),
    ],
)
def test_an_update_that_aws_would_not_do_is_refused(call, create, refused, where, made, change):
    """Settings in HTTP namespaces, and types of records, stay as they are."""
    service = create(where, **made)["Id"]
    with refused("InvalidInput"):
        call("UpdateService", Id=service, Service=change)


def test_attributes_of_a_service_are_added_changed_and_taken_away(call, create):
    """The others stay."""
    service = create()
    call("UpdateServiceAttributes", ServiceId=service["Id"], Attributes={"OWNER": "a", "STAGE": "live"})
    call("UpdateServiceAttributes", ServiceId=service["Arn"], Attributes={"OWNER": "b", "with space": ""})
    call("DeleteServiceAttributes", ServiceId=service["Id"], Attributes=["STAGE", "unknown"])
    answer = call("GetServiceAttributes", ServiceId=service["Id"])["ServiceAttributes"]
    assert answer["Attributes"] == {"OWNER": "b", "with space": ""}
    assert answer["ServiceArn"] == service["Arn"]


def test_a_service_has_thirty_attributes_at_most(call, create, refused):
    """ServiceAttributesLimitExceededException; those there are count."""
    service = create()["Id"]
    call("UpdateServiceAttributes", ServiceId=service, Attributes={str(n): "" for n in range(30)})
    call("UpdateServiceAttributes", ServiceId=service, Attributes={"0": "changed"})
    with refused("ServiceAttributesLimitExceededException"):
        call("UpdateServiceAttributes", ServiceId=service, Attributes={"one more": ""})


@pytest.mark.parametrize("attributes", [{}, {"k" * 256: "v"}, {"k": "v" * 1025}])
def test_attributes_that_a_service_cannot_have_are_refused(call, create, refused, attributes):
    """Lengths of keys and values, and at least one."""
    service = create()["Id"]
    with refused("InvalidInput"):
        call("UpdateServiceAttributes", ServiceId=service, Attributes=attributes)


@pytest.mark.parametrize("keys", [[], [str(n) for n in range(31)]])
def test_one_to_thirty_attributes_are_taken_away_at_once(call, create, refused, keys):
    """The bounds of the service model."""
    service = create()["Id"]
    with refused("InvalidInput"):
        call("DeleteServiceAttributes", ServiceId=service, Attributes=keys)
