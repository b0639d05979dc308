"""Operations of the local world: how far they are, what they clash with, how they are told."""

from __future__ import annotations

import pytest

from aiocloudmap.local import World


class TestOperationsThatTakeTime:
    """An operation of four seconds."""

    @pytest.fixture
    def world(self, clock):
        return World(clock=clock, operation_time=4)

    def status(self, call, operation):
        return call("GetOperation", OperationId=operation)["Operation"]["Status"]

    def test_an_operation_goes_from_submitted_over_pending_to_success(self, clock, call, service, register, revision):
        """And its effect is seen at its end, not before."""
        operation = register(service)["OperationId"]
        seen = []
        for _ in range(3):
            seen.append((self.status(call, operation), revision()))
            clock.tick(2)
        assert seen == [("SUBMITTED", 0), ("PENDING", 0), ("SUCCESS", 1)]

    def test_a_second_one_on_the_same_instance_is_a_duplicate(self, clock, call, service, refused, register):
        """DuplicateRequest names the one that is running; other instances are free."""
        operation = register(service)["OperationId"]
        for again in ("RegisterInstance", "DeregisterInstance"):
            with refused("DuplicateRequest") as caught:
                call(again, ServiceId=service, InstanceId="a", Attributes={})
            assert caught.value.members == {"DuplicateOperationId": operation}
        register(service, "b")
        clock.tick(4)
        assert call("DeregisterInstance", ServiceId=service, InstanceId="a")["OperationId"]

    def test_the_same_request_again_is_told_of_the_running_operation(self, call, service, register):
        """A retry with the same CreatorRequestId is no clash."""
        once = register(service, CreatorRequestId="one")
        assert register(service, CreatorRequestId="one") == once

    def test_a_namespace_on_its_way_is_not_there_and_not_made_twice(self, clock, call, refused):
        """DuplicateRequest until it is there, NamespaceAlreadyExists afterwards."""
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

    def test_a_namespace_on_its_way_out_gets_no_services(self, clock, world, call, refused):
        """Once the deletion is done, it is not found."""
        world.add_namespace("old")
        identifier = call("ListNamespaces")["Namespaces"][0]["Id"]
        call("DeleteNamespace", Id=identifier)
        with refused("DuplicateRequest"):
            call("DeleteNamespace", Id=identifier)
        clock.tick(4)
        with refused("NamespaceNotFound"):
            call("CreateService", Name="orders", NamespaceId=identifier)

    def test_a_service_is_in_use_while_an_instance_is_on_its_way(self, call, service, refused, register):
        """It has no instance yet, and may not go."""
        register(service)
        with refused("ResourceInUse"):
            call("DeleteService", Id=service)

    def test_a_failed_operation_changes_nothing(self, clock, world, call, service, register, revision):
        """FAIL, with AWS's ErrorCode."""
        world.fail_operations(code="THROTTLED_REQUEST", message="slow down")
        operation = register(service)["OperationId"]
        clock.tick(4)
        told = call("GetOperation", OperationId=operation)["Operation"]
        assert (told["Status"], told["ErrorCode"], told["ErrorMessage"]) == ("FAIL", "THROTTLED_REQUEST", "slow down")
        assert call("ListInstances", ServiceId=service)["Instances"] == []
        assert revision() == 0

    def test_the_testers_hand_does_not_wait(self, world, call, service, revision):
        """World.register acts at once, whatever operations take."""
        world.register("shop/orders", "a")
        assert revision() == 1

    def test_operations_are_listed_by_what_they_were(self, clock, call, service, register):
        """Filters by type, status, target and date; instance operations are listed as well."""
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

    def test_dates_that_are_none_are_refused(self, call, service, refused, register):
        """UPDATE_DATE takes seconds since the epoch."""
        register(service)
        each = {"Name": "UPDATE_DATE", "Values": ["today", "tomorrow"], "Condition": "BETWEEN"}
        with refused("InvalidInput"):
            call("ListOperations", Filters=[each])


def test_an_unknown_operation_is_not_found(call, refused):
    """OperationNotFound."""
    with refused("OperationNotFound"):
        call("GetOperation", OperationId="unknown")


def test_finished_operations_are_forgotten_after_a_while(world, call, service):
    """The log is bounded."""
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
