"""The methods of `World` for tests, which take effect at once."""

from __future__ import annotations

import threading

import pytest

from aiocloudmap import ConfigurationError
from aiocloudmap.local import RefusedError, World
from aiocloudmap.model.instance import HealthStatus
from aiocloudmap.model.query import ServiceName
from aiocloudmap.testing import ManualClock


def test_registering_creates_namespace_and_service(world):
    """With one line."""
    world.register("shop/orders", "orders-1", {"QUEUE_URL": "https://q"})
    [instance] = world.instances("shop/orders")
    assert (instance.id, instance.health, dict(instance.attributes)) == (
        "orders-1",
        HealthStatus.UNKNOWN,
        {"QUEUE_URL": "https://q"},
    )
    assert world.services() == (ServiceName("shop", "orders"),)


def test_a_service_name_may_be_text_url_or_object(world):
    """All three name the same service."""
    world.register("shop/orders", "a")
    world.register("cloudmap://shop/orders", "b")
    world.register(ServiceName("shop", "orders"), "c")
    assert [each.id for each in world.instances("shop/orders")] == ["a", "b", "c"]


def test_setting_health_adds_a_health_check(world):
    """The other instances become HEALTHY."""
    world.register("shop/orders", "a")
    world.register("shop/orders", "b")
    world.set_health("shop/orders", "a", "UNHEALTHY")
    assert [each.health for each in world.instances("shop/orders")] == [HealthStatus.UNHEALTHY, HealthStatus.HEALTHY]


def test_instances_services_and_namespaces_can_be_removed(world, refused):
    """Removing them again is refused."""
    world.register("shop/orders", "a")
    world.deregister("shop/orders", "a")
    assert world.revision("shop/orders") == 2
    with refused("InstanceNotFound"):
        world.deregister("shop/orders", "a")
    world.remove_service("shop/orders")
    with refused("ServiceNotFound"):
        world.remove_service("shop/orders")
    world.remove_namespace("shop")
    with refused("NamespaceNotFound"):
        world.remove_namespace("shop")
    with refused("NamespaceNotFound"):
        world.instances("shop/orders")


def test_removing_a_namespace_removes_its_services(world):
    """Other namespaces stay."""
    world.register("shop/orders", "a")
    world.register("other/orders", "a")
    world.remove_namespace("shop")
    assert world.services() == (ServiceName("other", "orders"),)


def test_a_service_can_be_removed_during_an_operation(clock):
    """The operation then has no effect."""
    world = World(clock=clock, operation_time=1)
    world.add_service("shop/orders")
    service = world.call("ListServices", {})["Services"][0]["Id"]
    for operation in ("RegisterInstance", "DeregisterInstance"):
        world.register("shop/orders", operation)
        world.call(operation, {"ServiceId": service, "InstanceId": operation, "Attributes": {}})
    world.deregister("shop/orders", "DeregisterInstance")
    world.remove_service("shop/orders")
    clock.tick(1)
    assert world.call("ListServices", {}) == {"Services": []}


def test_adding_a_service_again_changes_it(world):
    """Given attributes are replaced; a health check is never removed."""
    world.add_service("shop/orders", attributes={"OWNER": "a"}, health_check=True)
    world.add_service("shop/orders")
    service = world.call("ListServices", {})["Services"][0]
    attributes = world.call("GetServiceAttributes", {"ServiceId": service["Id"]})["ServiceAttributes"]["Attributes"]
    assert (attributes, "HealthCheckCustomConfig" in service) == ({"OWNER": "a"}, True)


def test_a_shared_namespace_is_found_by_its_name(world):
    """Without an owner, unless the account has a namespace with the same name."""
    world.register("shared/orders", "a", owner_account="210987654321")
    world.register("shared/orders", "b")
    assert len(world.instances("shared/orders")) == 2
    world.add_namespace("shared", owner_account=world.account)
    with pytest.raises(RefusedError):
        world.instances("shared/orders")


@pytest.mark.parametrize("name", ["orders", "shop/", "/orders", "shop/-orders", "with space/orders"])
def test_an_invalid_name_is_a_configuration_error(world, name):
    """As everywhere in the library."""
    with pytest.raises(ConfigurationError):
        world.register(name, "a")


def test_invalid_arguments_are_refused(world, refused):
    """Ids, attributes, statuses and account ids."""
    with refused("InvalidInput"):
        world.register("shop/orders", "with space")
    assert world.services() == ()
    with refused("InvalidInput"):
        world.register("shop/orders", "a", {"k": "ä"})
    world.register("shop/orders", "a")
    with refused("InvalidInput"):
        world.set_health("shop/orders", "a", "UNKNOWN")
    with refused("InvalidInput"):
        world.register("new/orders", "a", owner_account="1")


def test_an_invalid_account_id_is_refused(clock):
    """It has twelve digits."""
    with pytest.raises(RefusedError):
        World(clock=clock, account="1")


def test_the_repr_shows_counts(world):
    """For debugging."""
    world.register("shop/orders", "a")
    assert "1 namespaces, 1 services, 1 instances" in repr(world)


class SlowClock(ManualClock):
    """Blocks in `monotonic` until the test allows it to return."""

    def __init__(self):
        super().__init__()
        self.asked, self.asked_again, self.may_answer = threading.Event(), threading.Event(), threading.Event()

    def monotonic(self):
        if self.asked.is_set():
            self.asked_again.set()
        self.asked.set()
        self.may_answer.wait(10)
        return super().monotonic()


def test_threads_change_the_world_one_at_a_time():
    """A second thread does not read the clock while the first is inside."""
    clock = SlowClock()
    world = World(clock=clock)
    threads = [threading.Thread(target=world.register, args=("shop/orders", name)) for name in "ab"]
    threads[0].start()
    assert clock.asked.wait(10)
    threads[1].start()
    assert not clock.asked_again.wait(0.1)
    clock.may_answer.set()
    for thread in threads:
        thread.join()
    assert (len(world.instances("shop/orders")), world.revision("shop/orders")) == (2, 2)
