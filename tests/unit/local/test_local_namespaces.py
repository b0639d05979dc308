"""Namespaces of the local world, through AWS's own calls."""

from __future__ import annotations

import pytest

from aiocloudmap.local import Quotas, World


def created(call, name="shop", kind="Http", **members):
    operation = call(f"Create{kind}Namespace", Name=name, **members)["OperationId"]
    return call("GetOperation", OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]


def http_name(call, identifier):
    return call("GetNamespace", Id=identifier)["Namespace"]["Properties"]["HttpProperties"]["HttpName"]


def test_a_namespace_is_made_by_an_operation_and_found_by_id_and_arn(call):
    """CreateHttpNamespace answers with an operation, whose target is the namespace."""
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
    """Discovery goes by HttpName, whatever the namespace's type."""
    identifier = created(call, name, kind, **members)
    properties = call("GetNamespace", Id=identifier)["Namespace"]["Properties"]
    assert properties["HttpProperties"] == {"HttpName": name}
    assert properties["DnsProperties"]["SOA"] == {"TTL": 15}


def test_a_reused_name_gets_a_hash_appended_to_its_http_name(call):
    """A Name may occur twice, an HttpName may not."""
    first = created(call, "shop.internal", "PrivateDns", Vpc="vpc-1")
    second = created(call, "shop.internal", "PrivateDns", Vpc="vpc-2")
    assert http_name(call, first) == "shop.internal"
    assert http_name(call, second).startswith("shop.internal-")
    assert call("GetNamespace", Id=second)["Namespace"]["Name"] == "shop.internal"


def test_a_dns_namespace_made_again_is_found_under_another_http_name(call):
    """The name was used before: deleting the namespace does not free it."""
    first = created(call, "shop.internal", "PrivateDns", Vpc="vpc-1")
    call("DeleteNamespace", Id=first)
    second = created(call, "shop.internal", "PrivateDns", Vpc="vpc-1")
    assert http_name(call, second).startswith("shop.internal-")


def test_an_http_namespace_made_again_keeps_its_name(call):
    """Nothing of an HTTP namespace is left in the DNS."""
    call("DeleteNamespace", Id=created(call))
    assert http_name(call, created(call)) == "shop"


def test_discovery_asks_by_http_name_and_not_by_name(world, call, refused):
    """NamespaceNotFound is what the Name of a namespace with another HttpName gets."""
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


def test_the_same_namespace_twice_is_refused_with_the_id_of_the_first(call, refused):
    """NamespaceAlreadyExists names what is there."""
    first = created(call, CreatorRequestId="one")
    with refused("NamespaceAlreadyExists") as caught:
        call("CreateHttpNamespace", Name="shop", CreatorRequestId="two")
    assert caught.value.members == {"NamespaceId": first, "CreatorRequestId": "one"}


def test_the_same_request_twice_makes_one_namespace(call):
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
def test_a_namespace_that_aws_would_not_have_is_refused(call, refused, kind, members):
    """Names by the model's patterns and lengths; required members must be there."""
    with refused("InvalidInput"):
        call(f"Create{kind}Namespace", **members)


def test_a_member_of_the_wrong_type_is_a_serialization_exception(call, refused):
    """AWS's front door refuses what its JSON cannot be."""
    with refused("SerializationException"):
        call("CreateHttpNamespace", Name=7)


def test_a_namespace_with_services_cannot_be_deleted(world, call, refused):
    """ResourceInUse, until the last service has gone."""
    world.add_service("shop/orders")
    [namespace] = call("ListNamespaces")["Namespaces"]
    with refused("ResourceInUse"):
        call("DeleteNamespace", Id=namespace["Id"])
    world.remove_service("shop/orders")
    call("DeleteNamespace", Id=namespace["Id"])
    with refused("NamespaceNotFound"):
        call("GetNamespace", Id=namespace["Id"])


def test_an_account_has_fifty_namespaces_at_most(call, refused):
    """ResourceLimitExceeded: the quota of namespaces per Region."""
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


def test_a_namespace_is_updated_by_the_call_for_its_type_only(call, refused):
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
    """By id and by ARN, for every call that takes one."""
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


def test_filters_are_applied_after_a_page_was_read(call):
    """A page may be empty and still lead on: that is how AWS lists."""
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
def test_namespaces_are_filtered_by_what_aws_filters_by(world, call, each, names):
    """TYPE, NAME, HTTP_NAME, RESOURCE_OWNER."""
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
def test_a_filter_that_aws_does_not_know_is_refused(call, refused, each):
    """Names, conditions and the number of values."""
    with refused("InvalidInput"):
        call("ListNamespaces", Filters=[each])


def test_a_filter_for_owners_takes_two_words_only(call, refused):
    """SELF and OTHER_ACCOUNTS."""
    created(call)
    with refused("InvalidInput"):
        call("ListNamespaces", Filters=[{"Name": "RESOURCE_OWNER", "Values": ["ME"]}])


@pytest.mark.parametrize("members", [{"MaxResults": 0}, {"MaxResults": 101}, {"NextToken": "nonsense"}])
def test_a_page_that_aws_does_not_give_is_refused(call, refused, members):
    """1 to 100 results; a token from this operation."""
    with refused("InvalidInput"):
        call("ListNamespaces", **members)


def test_true_is_no_number(call, refused):
    """JSON tells them apart, Python does not."""
    with refused("SerializationException"):
        call("ListNamespaces", MaxResults=True)


def test_a_token_of_another_operation_is_refused(world, call, refused):
    """A NextToken leads on in the list that it came from."""
    for number in range(2):
        world.add_service(f"shop/orders-{number}")
    token = call("ListServices", MaxResults=1)["NextToken"]
    with refused("InvalidInput"):
        call("ListNamespaces", NextToken=token)


def test_tags_are_kept_with_namespaces_and_services(call, refused):
    """Create calls, TagResource, UntagResource and ListTagsForResource agree."""
    identifier = created(call, Tags=[{"Key": "team", "Value": "a"}])
    arn = call("GetNamespace", Id=identifier)["Namespace"]["Arn"]
    call("TagResource", ResourceARN=arn, Tags=[{"Key": "stage", "Value": "live"}])
    call("UntagResource", ResourceARN=arn, TagKeys=["team", "unknown"])
    assert call("ListTagsForResource", ResourceARN=arn) == {"Tags": [{"Key": "stage", "Value": "live"}]}
    with refused("TooManyTagsException"):
        call("TagResource", ResourceARN=arn, Tags=[{"Key": str(n), "Value": ""} for n in range(50)])
    with refused("ResourceNotFoundException"):
        call("ListTagsForResource", ResourceARN=arn + "x")
