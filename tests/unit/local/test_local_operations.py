"""Operations of the local world: their status, conflicts, failures and lists."""

from __future__ import annotations

import pytest

from aiocloudmap.local import World


class TestOperationsThatTakeTime:
    """Operations that take four seconds."""

    @pytest.fixture
    def world(self, clock):
        return World(clock=clock, operation_time=4)

    def status(self, call, operation):
        return call("GetOperation", OperationId=operation)["Operation"]["Status"]

    def test_an_operation_is_submitted_then_pending_then_successful(self, clock, call, service, register, revision):
        """Its effect is visible when it ends."""
        operation = register(service)["OperationId"]
        seen = []
        for _ in range(3):
            seen.append((self.status(call, operation), revision()))
            clock.tick(2)
        assert seen == [("SUBMITTED", 0), ("PENDING", 0), ("SUCCESS", 1)]

    def test_a_second_operation_on_an_instance_is_refused(self, clock, call, service, refused, register):
        """DuplicateRequest names the running one; other instances are not affected."""
        operation = register(service)["OperationId"]
        for again in ("RegisterInstance", "DeregisterInstance"):
            with refused("DuplicateRequest") as caught:
                call(again, ServiceId=service, InstanceId="a", Attributes={})
            assert caught.value.members == {"DuplicateOperationId": operation}
        register(service, "b")
        clock.tick(4)
        assert call("DeregisterInstance", ServiceId=service, InstanceId="a")["OperationId"]

    def test_the_same_request_again_returns_the_running_operation(self, call, service, register):
        """A retry with the same CreatorRequestId does not conflict."""
        once = register(service, CreatorRequestId="one")
        assert register(service, CreatorRequestId="one") == once

    def test_a_namespace_being_created_does_not_exist_yet(self, clock, call, refused):
        """Creating it again is DuplicateRequest, then NamespaceAlreadyExists."""
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

    def test_a_namespace_being_deleted_cannot_be_deleted_again(self, clock, world, call, refused):
        """Once the deletion ends, it does not exist."""
        world.add_namespace("old")
        identifier = call("ListNamespaces")["Namespaces"][0]["Id"]
        call("DeleteNamespace", Id=identifier)
        with refused("DuplicateRequest"):
            call("DeleteNamespace", Id=identifier)
        clock.tick(4)
        with refused("NamespaceNotFound"):
            call("CreateService", Name="orders", NamespaceId=identifier)

    def test_a_service_is_in_use_while_an_instance_is_being_registered(self, call, service, refused, register):
        """It has no instance yet, and cannot be deleted."""
        register(service)
        with refused("ResourceInUse"):
            call("DeleteService", Id=service)

    def test_a_failed_operation_changes_nothing(self, clock, world, call, service, register, revision):
        """FAIL, with AWS's ErrorCode."""
        world.fail_operations(code="THROTTLED_REQUEST", message="slow down")
        operation = register(service)["OperationId"]
        clock.tick(4)
        failed = call("GetOperation", OperationId=operation)["Operation"]
        expected = {"Status": "FAIL", "ErrorCode": "THROTTLED_REQUEST", "ErrorMessage": "slow down"}
        assert failed.items() >= expected.items()
        assert call("ListInstances", ServiceId=service)["Instances"] == []
        assert revision() == 0

    def test_world_register_does_not_wait_for_an_operation(self, world, call, service, revision):
        """It takes effect at once."""
        world.register("shop/orders", "a")
        assert revision() == 1

    def test_operations_have_five_filters(self, clock, call, service, register):
        """Type, status, service, namespace and date; instance operations are listed too."""
        began = clock.time()
        operation = register(service)["OperationId"]
        clock.tick(4)
        register(service, "b")
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

    def test_invalid_dates_are_refused(self, call, service, refused, register):
        """UPDATE_DATE takes seconds since the epoch."""
        register(service)
        each = {"Name": "UPDATE_DATE", "Values": ["today", "tomorrow"], "Condition": "BETWEEN"}
        with refused("InvalidInput"):
            call("ListOperations", Filters=[each])


def test_an_unknown_operation_is_not_found(call, refused):
    """OperationNotFound."""
    with refused("OperationNotFound"):
        call("GetOperation", OperationId="unknown")


def test_old_operations_are_removed(world, call, service):
    """The log has a size limit."""
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
