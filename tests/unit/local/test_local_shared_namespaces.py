"""Namespaces that another account shares."""

from __future__ import annotations

import pytest


class TestASharedNamespace:
    """A namespace that another account owns: found by ARN, and by OwnerAccount."""

    OWNER = "210987654321"

    @pytest.fixture
    def shared(self, world, call):
        world.add_service("shared/orders", owner_account=self.OWNER)
        return call("ListServices")["Services"][0]

    def test_discovery_requires_its_owner(self, world, call, shared, refused):
        """Without OwnerAccount, or with a wrong one, it is NamespaceNotFound."""
        world.register("shared/orders", "a", owner_account=self.OWNER)
        names = {"NamespaceName": "shared", "ServiceName": "orders"}
        for owner in ({}, {"OwnerAccount": world.account}, {"OwnerAccount": "111111111111"}):
            for operation in ("DiscoverInstances", "DiscoverInstancesRevision"):
                with refused("NamespaceNotFound"):
                    call(operation, **names, **owner)
        assert len(call("DiscoverInstances", **names, OwnerAccount=self.OWNER)["Instances"]) == 1

    def test_the_control_plane_requires_its_arn(self, call, shared, refused):
        """An id finds the account's own resources only."""
        assert call("GetService", Id=shared["Arn"])["Service"]["ResourceOwner"] == self.OWNER
        with refused("ServiceNotFound"):
            call("GetService", Id=shared["Id"])

    def test_its_operations_require_the_owner(self, call, shared, refused, register):
        """GetOperation takes OwnerAccount."""
        operation = register(shared["Arn"])["OperationId"]
        with refused("OperationNotFound"):
            call("GetOperation", OperationId=operation)
        assert call("GetOperation", OperationId=operation, OwnerAccount=self.OWNER)["Operation"]["Status"] == "SUCCESS"

    def test_another_account_may_use_the_same_name(self, world, call, shared):
        """Both namespaces are listed."""
        world.add_namespace("shared", owner_account=world.account)
        assert len(call("ListNamespaces")["Namespaces"]) == 2

    def test_only_its_owner_can_delete_it(self, call, shared, refused):
        """AccessDeniedException for other accounts."""
        namespace = call("ListNamespaces")["Namespaces"][0]
        with refused("AccessDeniedException"):
            call("DeleteNamespace", Id=namespace["Arn"])

    @pytest.mark.parametrize("owner", ["1", "12345678901a", "1234567890123"])
    def test_an_invalid_account_id_is_refused(self, call, shared, refused, owner):
        """It has twelve digits."""
        with refused("InvalidInput"):
            call("DiscoverInstances", NamespaceName="shared", ServiceName="orders", OwnerAccount=owner)
