"""CreatorRequestId and UpdaterRequestId: a request that is sent again takes effect once."""

from __future__ import annotations

import pytest

from aiocloudmap.local import World

CREATIONS = [
    ("CreateHttpNamespace", {"Name": "shop"}),
    ("CreatePrivateDnsNamespace", {"Name": "shop.internal", "Vpc": "vpc-1"}),
    ("CreatePublicDnsNamespace", {"Name": "shop.example.com"}),
]
DNS = {"Properties": {"DnsProperties": {"SOA": {"TTL": 60}}}}
KINDS = ["Http", "PrivateDns", "PublicDns"]


@pytest.fixture(params=[0, 10], ids=["done", "running"])
def call(request, clock, caller):
    """Operations end at once, or are still running when the request is repeated."""
    return caller(World(clock=clock, seed=1, operation_time=request.param))


@pytest.fixture
def namespace(call, clock):
    """Creates a namespace, and returns its id."""

    def namespace(kind):
        operation = call(*CREATIONS[KINDS.index(kind)][:1], **CREATIONS[KINDS.index(kind)][1])["OperationId"]
        clock.tick(10)
        return call("GetOperation", OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]

    return namespace


@pytest.mark.parametrize(("operation", "members"), CREATIONS)
def test_a_namespace_is_created_once_for_one_id(call, clock, operation, members):
    """The answer is the first operation. A public namespace may share its name, but not its request."""
    once = call(operation, CreatorRequestId="one", **members)
    assert call(operation, CreatorRequestId="one", **members) == once
    clock.tick(10)
    assert len(call("ListNamespaces")["Namespaces"]) == 1


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("CreatePublicDnsNamespace", {"Name": "other.example.com"}),
        ("CreatePublicDnsNamespace", {"Name": "shop.example.com", "Description": "new"}),
        ("CreatePublicDnsNamespace", {"Name": "shop.example.com", **DNS}),
        ("CreateHttpNamespace", {"Name": "shop.example.com"}),
    ],
)
def test_one_id_for_another_namespace_is_a_duplicate_request(call, refused, operation, members):
    """It names the operation of the first request."""
    once = call("CreatePublicDnsNamespace", Name="shop.example.com", CreatorRequestId="one")
    with refused("DuplicateRequest") as caught:
        call(operation, CreatorRequestId="one", **members)
    assert caught.value.members == {"DuplicateOperationId": once["OperationId"]}


def test_an_id_is_free_again_after_its_namespace_is_deleted(call, clock):
    """Nothing is left that a retry could create twice."""
    once = call("CreateHttpNamespace", Name="shop", CreatorRequestId="one")
    clock.tick(10)
    call("DeleteNamespace", Id=call("ListNamespaces")["Namespaces"][0]["Id"])
    clock.tick(10)
    assert call("CreateHttpNamespace", Name="shop", CreatorRequestId="one") != once


@pytest.mark.parametrize("kind", KINDS)
def test_a_namespace_is_updated_once_for_one_id(call, clock, refused, namespace, kind):
    """Other members with the same id are a DuplicateRequest; another update makes the id free again."""
    names = {"Id": namespace(kind)}
    first, second = {"Description": "first"}, {"Description": "second"}
    once = call(f"Update{kind}Namespace", **names, Namespace=first, UpdaterRequestId="one")
    assert call(f"Update{kind}Namespace", **names, Namespace=first, UpdaterRequestId="one") == once
    with refused("DuplicateRequest") as caught:
        call(f"Update{kind}Namespace", **names, Namespace=second, UpdaterRequestId="one")
    assert caught.value.members == {"DuplicateOperationId": once["OperationId"]}
    clock.tick(10)
    call(f"Update{kind}Namespace", **names, Namespace=second)
    clock.tick(10)
    assert call(f"Update{kind}Namespace", **names, Namespace=first, UpdaterRequestId="one") != once


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("value", "code"), [("", "InvalidInput"), ("x" * 65, "InvalidInput"), (1, "SerializationException")]
)
def test_an_invalid_updater_request_id_is_refused(call, refused, namespace, kind, value, code):
    """By the shape ResourceId."""
    identifier = namespace(kind)
    with refused(code):
        call(f"Update{kind}Namespace", Id=identifier, Namespace={"Description": "new"}, UpdaterRequestId=value)


def test_a_running_registration_is_compared_too(call, clock, refused, register, namespace):
    """A retry has the same attributes."""
    service = call("CreateService", Name="orders", NamespaceId=namespace("Http"))["Service"]["Id"]
    once = register(service, attributes={"A": "1"}, CreatorRequestId="one")
    assert register(service, attributes={"A": "1"}, CreatorRequestId="one") == once
    with refused("DuplicateRequest"):
        register(service, attributes={"A": "2"}, CreatorRequestId="one")


def test_a_service_is_created_once_for_one_id(call, refused, namespace):
    """A service of that name with another description already exists."""
    request = {"Name": "orders", "NamespaceId": namespace("Http"), "CreatorRequestId": "one", "Description": "a"}
    assert call("CreateService", **request) == call("CreateService", **request)
    with refused("ServiceAlreadyExists"):
        call("CreateService", **(request | {"Description": "b"}))
