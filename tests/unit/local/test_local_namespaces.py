"""Namespaces of the local world and their tags, through AWS's API."""

from __future__ import annotations

import pytest

from aiocloudmap.local import Quotas, World


def created(call, name="shop", kind="Http", **members):
    operation = call(f"Create{kind}Namespace", Name=name, **members)["OperationId"]
    return call("GetOperation", OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]


def http_name(call, identifier):
    return call("GetNamespace", Id=identifier)["Namespace"]["Properties"]["HttpProperties"]["HttpName"]


def test_a_namespace_is_created_by_an_operation(call):
    """Its id is the operation's target; it is found by id and by ARN."""
    identifier = created(call, Description="the shop", CreatorRequestId="once")
    namespace = call("GetNamespace", Id=identifier)["Namespace"]
    assert namespace["Name"] == "shop"
    assert namespace["Type"] == "HTTP"
    assert namespace["Description"] == "the shop"
    assert namespace["CreatorRequestId"] == "once"
    assert call("GetNamespace", Id=namespace["Arn"])["Namespace"] == namespace


@pytest.mark.parametrize(
    ("kind", "name", "members"),
    [("PrivateDns", "shop.internal", {"Vpc": "vpc-1"}), ("PublicDns", "shop.example.com", {})],
)
def test_dns_namespaces_have_an_http_name_too(call, kind, name, members):
    """Discovery uses the HttpName for every type of namespace."""
    identifier = created(call, name, kind, **members)
    properties = call("GetNamespace", Id=identifier)["Namespace"]["Properties"]
    assert properties["HttpProperties"] == {"HttpName": name}
    assert properties["DnsProperties"]["SOA"] == {"TTL": 15}


def test_an_http_namespace_has_empty_dns_properties(call):
    """As AWS answers, in both operations."""
    expected = {"DnsProperties": {"SOA": {}}, "HttpProperties": {"HttpName": "shop"}}
    assert call("GetNamespace", Id=created(call))["Namespace"]["Properties"] == expected
    assert call("ListNamespaces")["Namespaces"][0]["Properties"] == expected


def test_a_reused_name_gets_an_http_name_with_a_hash(call):
    """A Name may be used twice, an HttpName may not."""
    first = created(call, "shop.internal", "PrivateDns", Vpc="vpc-1")
    second = created(call, "shop.internal", "PrivateDns", Vpc="vpc-2")
    assert http_name(call, first) == "shop.internal"
    assert http_name(call, second).startswith("shop.internal-")
    assert call("GetNamespace", Id=second)["Namespace"]["Name"] == "shop.internal"


def test_a_recreated_dns_namespace_gets_another_http_name(call):
    """Deleting the namespace does not free its name."""
    first = created(call, "shop.internal", "PrivateDns", Vpc="vpc-1")
    call("DeleteNamespace", Id=first)
    second = created(call, "shop.internal", "PrivateDns", Vpc="vpc-1")
    assert http_name(call, second).startswith("shop.internal-")


def test_a_recreated_http_namespace_keeps_its_name(call):
    """An HTTP namespace has no DNS name."""
    call("DeleteNamespace", Id=created(call))
    assert http_name(call, created(call)) == "shop"


def test_discovery_uses_the_http_name_and_not_the_name(world, call, refused):
    """A Name finds the namespace that has it as HttpName."""
    created(call, "shop.internal", "PrivateDns", Vpc="vpc-1")
    second = created(call, "shop.internal", "PrivateDns", Vpc="vpc-2")
    call("CreateService", Name="orders", NamespaceId=second, Type="HTTP")
    name = http_name(call, second)
    assert call("DiscoverInstances", NamespaceName=name, ServiceName="orders")["Instances"] == []
    with refused("ServiceNotFound"):
        call("DiscoverInstances", NamespaceName="shop.internal", ServiceName="orders")


def test_two_private_namespaces_may_share_a_vpc(call):
    """Only the same name in the same VPC clashes."""
    created(call, "a.internal", "PrivateDns", Vpc="vpc-1")
    assert created(call, "b.internal", "PrivateDns", Vpc="vpc-1")


def test_creating_a_namespace_twice_is_refused(call, refused):
    """NamespaceAlreadyExists has the id of the first."""
    first = created(call, CreatorRequestId="one")
    with refused("NamespaceAlreadyExists") as caught:
        call("CreateHttpNamespace", Name="shop", CreatorRequestId="two")
    assert caught.value.members == {"NamespaceId": first, "CreatorRequestId": "one"}


def test_the_same_create_request_twice_creates_one_namespace(call):
    """A CreatorRequestId makes a retry safe."""
    once = call("CreateHttpNamespace", Name="shop", CreatorRequestId="one")
    assert call("CreateHttpNamespace", Name="shop", CreatorRequestId="one") == once
    assert len(call("ListNamespaces")["Namespaces"]) == 1


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("Http", {"Name": "with space"}),
        ("Http", {"Name": "arn:aws:servicediscovery:eu-west-1:1:namespace/ns-1"}),
        ("Http", {"Name": "x" * 1025}),
        ("Http", {"Name": "shop\n"}),
        ("Http", {}),
        ("Http", {"Name": "shop", "Description": "x" * 1025}),
        ("Http", {"Name": "shop", "CreatorRequestId": "x" * 65}),
        ("PrivateDns", {"Name": "shop.internal"}),
        ("PrivateDns", {"Name": "x" * 254, "Vpc": "vpc-1"}),
        ("PublicDns", {"Name": "shop"}),
        ("PublicDns", {"Name": "-shop.example.com"}),
        (
            "PublicDns",
            {"Name": "shop.example.com", "Properties": {"DnsProperties": {"SOA": {"TTL": -1}}}},
        ),
    ],
)
def test_an_invalid_namespace_is_refused(call, refused, kind, members):
    """Patterns, lengths and required members of the service model."""
    with refused("InvalidInput"):
        call(f"Create{kind}Namespace", **members)


def test_a_member_of_the_wrong_type_is_a_serialization_exception(call, refused):
    """As with AWS's own API."""
    with refused("SerializationException"):
        call("CreateHttpNamespace", Name=7)


def test_a_namespace_with_services_cannot_be_deleted(world, call, refused):
    """ResourceInUse, until its last service is removed."""
    world.add_service("shop/orders")
    [namespace] = call("ListNamespaces")["Namespaces"]
    with refused("ResourceInUse"):
        call("DeleteNamespace", Id=namespace["Id"])
    world.remove_service("shop/orders")
    call("DeleteNamespace", Id=namespace["Id"])
    with refused("NamespaceNotFound"):
        call("GetNamespace", Id=namespace["Id"])


def test_an_account_has_at_most_fifty_namespaces(call, refused):
    """ResourceLimitExceeded: the quota per Region."""
    for number in range(50):
        created(call, f"shop-{number}")
    with refused("ResourceLimitExceeded"):
        call("CreateHttpNamespace", Name="one-more")


def test_the_quota_of_namespaces_can_be_raised(clock, caller):
    """As AWS raises it on request."""
    call = caller(World(clock=clock, quotas=Quotas(namespaces=51)))
    for number in range(51):
        created(call, f"shop-{number}")
    assert len(call("ListNamespaces")["Namespaces"]) == 51


def test_a_namespace_is_updated_by_the_operation_of_its_type(call, refused):
    """UpdateHttpNamespace is for HTTP namespaces."""
    http = created(call)
    private = created(call, "shop.internal", "PrivateDns", Vpc="vpc-1")
    public = created(call, "shop.example.com", "PublicDns")
    soa = {"Properties": {"DnsProperties": {"SOA": {"TTL": 60}}}}
    call("UpdateHttpNamespace", Id=http, Namespace={"Description": "new"})
    call("UpdatePrivateDnsNamespace", Id=private, Namespace=soa)
    call("UpdatePublicDnsNamespace", Id=public, Namespace={**soa, "Description": "new"})
    assert call("GetNamespace", Id=http)["Namespace"]["Description"] == "new"
    for identifier in (private, public):
        properties = call("GetNamespace", Id=identifier)["Namespace"]["Properties"]
        assert properties["DnsProperties"]["SOA"] == {"TTL": 60}
    with refused("InvalidInput"):
        call("UpdateHttpNamespace", Id=private, Namespace={"Description": "new"})
    with refused("InvalidInput"):
        call("UpdateHttpNamespace", Id=http, Namespace={})


def test_an_unknown_namespace_is_not_found(call, refused):
    """By id and by ARN, for every operation that takes one."""
    for identifier in ("ns-unknown", "arn:aws:servicediscovery:eu-west-1:123456789012:namespace/ns-unknown"):
        for operation, members in {
            "GetNamespace": {},
            "DeleteNamespace": {},
            "UpdateHttpNamespace": {"Namespace": {"Description": ""}},
        }.items():
            with refused("NamespaceNotFound"):
                call(operation, Id=identifier, **members)
        with refused("NamespaceNotFound"):
            call("CreateService", Name="orders", NamespaceId=identifier)


def test_filters_apply_after_the_page_is_read(call):
    """A page may be empty and still have a NextToken."""
    for number in range(3):
        created(call, f"other-{number}")
    wanted = created(call, "shop")
    filters = [{"Name": "NAME", "Values": ["shop"], "Condition": "EQ"}]
    pages, token = [], {}
    while True:
        page = call("ListNamespaces", MaxResults=1, Filters=filters, **token)
        pages.append([each["Id"] for each in page["Namespaces"]])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert pages == [[], [], [], [wanted]]


@pytest.mark.parametrize(
    ("each", "names"),
    [
        ({"Name": "TYPE", "Values": ["HTTP"]}, {"shop", "shared"}),
        ({"Name": "TYPE", "Values": ["DNS_"], "Condition": "BEGINS_WITH"}, {"shop.internal"}),
        ({"Name": "NAME", "Values": ["shop"], "Condition": "BEGINS_WITH"}, {"shop", "shop.internal"}),
        ({"Name": "HTTP_NAME", "Values": ["shop"]}, {"shop"}),
        ({"Name": "RESOURCE_OWNER", "Values": ["OTHER_ACCOUNTS"]}, {"shared"}),
        ({"Name": "RESOURCE_OWNER", "Values": ["SELF"]}, {"shop", "shop.internal"}),
    ],
)
def test_namespaces_have_four_filters(world, call, each, names):
    """TYPE, NAME, HTTP_NAME and RESOURCE_OWNER."""
    created(call)
    created(call, "shop.internal", "PrivateDns", Vpc="vpc-1")
    world.add_namespace("shared", owner_account="210987654321")
    found = call("ListNamespaces", Filters=[each])["Namespaces"]
    assert {namespace["Name"] for namespace in found} == names


@pytest.mark.parametrize(
    "each",
    [
        {"Name": "COLOUR", "Values": ["red"]},
        {"Name": "NAME", "Values": []},
        {"Name": "NAME", "Values": ["a", "b"]},
        {"Name": "NAME", "Values": ["a"], "Condition": "BETWEEN"},
        {"Name": "NAME", "Values": ["a"], "Condition": "LIKE"},
        {"Name": "NAME"},
    ],
)
def test_an_invalid_filter_is_refused(call, refused, each):
    """Names, conditions and the number of values."""
    with refused("InvalidInput"):
        call("ListNamespaces", Filters=[each])


def test_the_owner_filter_has_two_values(call, refused):
    """SELF and OTHER_ACCOUNTS."""
    created(call)
    with refused("InvalidInput"):
        call("ListNamespaces", Filters=[{"Name": "RESOURCE_OWNER", "Values": ["ME"]}])


@pytest.mark.parametrize("members", [{"MaxResults": 0}, {"MaxResults": 101}, {"NextToken": "nonsense"}])
def test_an_invalid_page_is_refused(call, refused, members):
    """1 to 100 results, and a NextToken of the operation."""
    with refused("InvalidInput"):
        call("ListNamespaces", **members)


def test_true_is_not_a_number(call, refused):
    """A bool is an int in Python, but not in JSON."""
    with refused("SerializationException"):
        call("ListNamespaces", MaxResults=True)


def test_a_token_of_another_operation_is_refused(world, call, refused):
    """A NextToken belongs to the list it came from."""
    for number in range(2):
        world.add_service(f"shop/orders-{number}")
    token = call("ListServices", MaxResults=1)["NextToken"]
    with refused("InvalidInput"):
        call("ListNamespaces", NextToken=token)


def test_tags_can_be_added_removed_and_listed(call, refused):
    """With create calls, TagResource, UntagResource and ListTagsForResource."""
    identifier = created(call, Tags=[{"Key": "team", "Value": "a"}])
    arn = call("GetNamespace", Id=identifier)["Namespace"]["Arn"]
    call("TagResource", ResourceARN=arn, Tags=[{"Key": "stage", "Value": "live"}])
    call("UntagResource", ResourceARN=arn, TagKeys=["team", "unknown"])
    assert call("ListTagsForResource", ResourceARN=arn) == {"Tags": [{"Key": "stage", "Value": "live"}]}
    with refused("TooManyTagsException"):
        call("TagResource", ResourceARN=arn, Tags=[{"Key": str(n), "Value": ""} for n in range(50)])
    with refused("ResourceNotFoundException"):
        call("ListTagsForResource", ResourceARN=arn + "x")


@pytest.mark.parametrize("key", ["k", "{}"])
def test_a_request_has_at_most_two_hundred_tags(call, refused, key):
    """Repeated keys count too."""
    arn = call("GetNamespace", Id=created(call))["Namespace"]["Arn"]
    keys = [key.format(number) for number in range(201)]
    call("UntagResource", ResourceARN=arn, TagKeys=keys[:200])
    with refused("InvalidInput"):
        call("UntagResource", ResourceARN=arn, TagKeys=keys)
    with refused("InvalidInput"):
        call("TagResource", ResourceARN=arn, Tags=[{"Key": key, "Value": ""} for key in keys])
