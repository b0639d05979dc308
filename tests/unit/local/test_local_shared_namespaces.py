"""Namespaces that another account shares."""

from __future__ import annotations

import pytest


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

    def test_its_operations_are_told_with_the_owner_only(self, call, shared, refused, register):
        """GetOperation takes OwnerAccount."""
        operation = register(shared["Arn"])["OperationId"]
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
