"""Private DNS namespaces: hosted zones in one VPC, and names that are taken when an operation ends."""

from __future__ import annotations

import pytest

from aiocloudmap.local import World


def created(call, name="shop", kind="PrivateDns", **members):
    return call(f"Create{kind}Namespace", Name=name, **members)["OperationId"]


@pytest.mark.parametrize(
    ("first", "second"),
    [("priv.local", "sub.priv.local"), ("a.b.priv.local", "priv.local"), ("priv.local", "Sub.PRIV.local")],
)
def test_nested_private_namespaces_in_one_vpc_fail(call, first, second):
    """The operation fails, as Route 53 creates no hosted zone; other VPCs and other types are not affected."""
    created(call, first, "PrivateDns", Vpc="vpc-1")
    operation = call("CreatePrivateDnsNamespace", Name=second, Vpc="vpc-1", CreatorRequestId="one")["OperationId"]
    described = call("GetOperation", OperationId=operation)["Operation"]
    assert (described["Status"], described["ErrorCode"]) == ("FAIL", "CANNOT_CREATE_HOSTED_ZONE")
    assert [each["Name"] for each in call("ListNamespaces")["Namespaces"]] == [first]
    created(call, second, "PrivateDns", Vpc="vpc-2", CreatorRequestId="one")
    created(call, second, "Http")
    assert len(call("ListNamespaces")["Namespaces"]) == 3


def test_a_name_that_only_ends_alike_is_not_nested(call):
    """Names are compared by their labels."""
    created(call, "priv.local", "PrivateDns", Vpc="vpc-1")
    created(call, "otherpriv.local", "PrivateDns", Vpc="vpc-1")
    assert len(call("ListNamespaces")["Namespaces"]) == 2


def test_two_nested_namespaces_created_at_once_make_one(clock, caller):
    """The second one to end fails."""
    call = caller(World(clock=clock, operation_time=1))
    for name in ("priv.local", "sub.priv.local"):
        call("CreatePrivateDnsNamespace", Name=name, Vpc="vpc-1")
    clock.tick(1)
    assert [each["Status"] for each in call("ListOperations")["Operations"]] == ["SUCCESS", "FAIL"]
    assert len(call("ListNamespaces")["Namespaces"]) == 1


def test_two_namespaces_created_at_once_get_two_http_names(clock, caller):
    """The name is taken when the operation ends."""
    call = caller(World(clock=clock, operation_time=1))
    for vpc in ("vpc-1", "vpc-2"):
        call("CreatePrivateDnsNamespace", Name="shop.internal", Vpc=vpc)
    clock.tick(1)
    names = {each["Properties"]["HttpProperties"]["HttpName"] for each in call("ListNamespaces")["Namespaces"]}
    assert len(names) == 2
