"""Errors that AWS's model names for an operation and that need a special situation, and the faults for all of them."""

from __future__ import annotations

import pytest
from botocore.session import get_session

from aiocloudmap import ConfigurationError
from aiocloudmap.local import Faults, Quotas, World

A_RECORD = {"DnsRecords": [{"Type": "A", "TTL": 60}]}


@pytest.fixture
def slow(clock, caller):
    """Calls a world whose operations take a second."""
    return caller(World(clock=clock, operation_time=1))


@pytest.fixture
def namespace(slow, clock):
    """Creates a namespace and returns its id."""

    def namespace(kind="Http", name="shop", **members):
        operation = slow(f"Create{kind}Namespace", Name=name, **members)["OperationId"]
        clock.tick(1)
        return slow("GetOperation", OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]

    return namespace


def test_a_public_namespace_may_exist_already(slow, refused, namespace):
    """As for the other types."""
    existing = namespace("PublicDns", "shop.example.com")
    with refused("NamespaceAlreadyExists") as caught:
        slow("CreatePublicDnsNamespace", Name="shop.example.com")
    assert caught.value.members["NamespaceId"] == existing


def test_services_of_a_namespace_may_be_limited(clock, caller, refused):
    """AWS publishes no number, so there is none by default."""
    world = World(clock=clock, quotas=Quotas(services_per_namespace=1))
    call = caller(world)
    world.add_namespace("shop")
    namespace = call("ListNamespaces")["Namespaces"][0]["Id"]
    call("CreateService", Name="orders", NamespaceId=namespace)
    with refused("ResourceLimitExceeded"):
        call("CreateService", Name="mail", NamespaceId=namespace)
    assert Quotas.unlimited().services_per_namespace == Quotas().services_per_namespace == float("inf")


@pytest.mark.parametrize(
    ("kind", "name", "members"),
    [("Http", "shop", {}), ("PrivateDns", "shop.local", {"Vpc": "vpc-1"}), ("PublicDns", "shop.example.com", {})],
)
def test_a_namespace_being_deleted_is_in_use(slow, clock, refused, namespace, kind, name, members):
    """It cannot be updated, and gets no service."""
    identifier = namespace(kind, name, **members)
    slow("DeleteNamespace", Id=identifier)
    with refused("ResourceInUse"):
        slow(f"Update{kind}Namespace", Id=identifier, Namespace={"Description": "new"})
    with refused("NamespaceNotFound"):
        slow("CreateService", Name="orders", NamespaceId=identifier)
    clock.tick(1)
    assert slow("ListNamespaces")["Namespaces"] == []


def test_a_namespace_being_updated_gets_services(slow, refused, namespace):
    """CreateService has no error for it; a second update is a DuplicateRequest."""
    identifier = namespace()
    slow("UpdateHttpNamespace", Id=identifier, Namespace={"Description": "new"})
    assert slow("CreateService", Name="orders", NamespaceId=identifier)
    with refused("DuplicateRequest"):
        slow("UpdateHttpNamespace", Id=identifier, Namespace={"Description": "newer"})


def test_instances_of_a_service_being_updated_are_in_use(slow, clock, refused, register, namespace):
    """Their records change with the service's; other services are not affected."""
    where = namespace("PublicDns", "shop.example.com")
    ids = [
        slow("CreateService", Name=name, NamespaceId=where, DnsConfig=A_RECORD)["Service"]["Id"] for name in ("a", "b")
    ]
    request = {"InstanceId": "1", "Attributes": {"AWS_INSTANCE_IPV4": "10.0.0.1"}}
    slow("RegisterInstance", ServiceId=ids[0], **request)
    clock.tick(1)
    slow("UpdateService", Id=ids[0], Service={"DnsConfig": A_RECORD})
    with refused("ResourceInUse"):
        slow("RegisterInstance", ServiceId=ids[0], **request)
    with refused("ResourceInUse"):
        slow("DeregisterInstance", ServiceId=ids[0], InstanceId="1")
    assert slow("RegisterInstance", ServiceId=ids[1], **request)
    clock.tick(1)
    assert slow("DeregisterInstance", ServiceId=ids[0], InstanceId="1")


def test_faults_know_every_error_of_the_service_model():
    """Without a status; each is 400, as AWS's JSON protocol sends it."""
    model = get_session().get_service_model("servicediscovery")
    codes = sorted(shape.name for shape in model.error_shapes)
    assert len(codes) >= 15
    assert {code: Faults().fail(code).amount for code in codes} == dict.fromkeys(codes, 400)


def test_a_misspelled_error_of_the_model_is_suggested():
    """As for the codes of discovery."""
    with pytest.raises(ConfigurationError, match="Did you mean 'InstanceNotFound'"):
        Faults().fail("InstanceNotFoundd")
