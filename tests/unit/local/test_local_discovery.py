"""DiscoverInstances of the local world: filters, health, limits and quotas."""

from __future__ import annotations

import pytest

from aiocloudmap.local import Quotas, Rate, World


@pytest.fixture
def service(world, call):
    """The id of a service with a custom health check."""
    world.add_service("shop/orders", health_check=True)
    return call("ListServices")["Services"][0]["Id"]


@pytest.fixture
def found(call):
    """Ids of the instances that a call returns, sorted."""

    def of(**members):
        answer = call("DiscoverInstances", NamespaceName="shop", ServiceName="orders", **members)
        return sorted(each["InstanceId"] for each in answer["Instances"])

    return of


def health(call, service):
    return call("GetInstancesHealthStatus", ServiceId=service)["Status"]


def report(call, service, status, instance="a"):
    call("UpdateInstanceCustomHealthStatus", ServiceId=service, InstanceId=instance, Status=status)


def test_unknown_namespaces_and_services_have_different_errors(world, call, refused):
    """NamespaceNotFound and ServiceNotFound."""
    world.add_service("shop/orders")
    for operation in ("DiscoverInstances", "DiscoverInstancesRevision"):
        with refused("NamespaceNotFound"):
            call(operation, NamespaceName="unknown", ServiceName="orders")
        with refused("ServiceNotFound"):
            call(operation, NamespaceName="shop", ServiceName="unknown")


def test_a_hundred_instances_are_returned_by_default(world, found):
    """MaxResults defaults to 100 and goes up to 1,000."""
    for number in range(150):
        world.register("shop/orders", f"orders-{number}")
    assert len(found()) == 100
    assert len(found(MaxResults=1000)) == 150
    assert len(found(MaxResults=1)) == 1


@pytest.mark.parametrize("most", [0, -1, 1001, 5000])
def test_max_results_is_from_one_to_a_thousand(world, found, refused, most):
    """InvalidInput; botocore does not check the upper bound."""
    world.add_service("shop/orders")
    with refused("InvalidInput"):
        found(MaxResults=most)


@pytest.mark.parametrize(
    "members",
    [
        {"HealthStatus": "SICK"},
        {"QueryParameters": {"with space": "v"}},
        {"OptionalParameters": {"k": " v"}},
        {"NamespaceName": "with space"},
        {"ServiceName": "-orders"},
        {"ServiceName": None},
    ],
)
def test_a_discovery_call_that_aws_refuses_is_refused(world, call, refused, members):
    """By the shapes of the service model."""
    world.add_service("shop/orders")
    with refused("InvalidInput"):
        call("DiscoverInstances", **({"NamespaceName": "shop", "ServiceName": "orders"} | members))


def test_the_order_is_random(world, call):
    """Callers that need an order must sort."""
    for number in range(20):
        world.register("shop/orders", f"orders-{number:02}")
    orders = set()
    for _ in range(5):
        answer = call("DiscoverInstances", NamespaceName="shop", ServiceName="orders")
        orders.add(tuple(each["InstanceId"] for each in answer["Instances"]))
    assert len(orders) == 5


def test_a_seed_repeats_the_order(clock):
    """For tests that need it."""

    def order(seed):
        world = World(clock=clock, seed=seed)
        for number in range(20):
            world.register("shop/orders", f"orders-{number}")
        answer = world.call("DiscoverInstances", {"NamespaceName": "shop", "ServiceName": "orders"})
        return [each["InstanceId"] for each in answer["Instances"]]

    assert order(1) == order(1) != order(2)


def test_all_query_parameters_must_match(world, found):
    """Every key with its value."""
    world.register("shop/orders", "a", {"STAGE": "live", "ZONE": "1"})
    world.register("shop/orders", "b", {"STAGE": "live", "ZONE": "2"})
    world.register("shop/orders", "c", {"STAGE": "test"})
    assert found(QueryParameters={"STAGE": "live"}) == ["a", "b"]
    assert found(QueryParameters={"STAGE": "live", "ZONE": "2"}) == ["b"]
    assert found(QueryParameters={"STAGE": "none"}) == []


def test_optional_parameters_apply_if_anything_matches(world, found):
    """Otherwise they are ignored."""
    world.register("shop/orders", "a", {"STAGE": "live", "ZONE": "1"})
    world.register("shop/orders", "b", {"STAGE": "live", "ZONE": "2"})
    assert found(OptionalParameters={"ZONE": "1"}) == ["a"]
    assert found(OptionalParameters={"ZONE": "3"}) == ["a", "b"]
    assert found(QueryParameters={"ZONE": "2"}, OptionalParameters={"ZONE": "1"}) == ["b"]


def test_the_revision_does_not_depend_on_the_filters(world, call):
    """Both operations return the same number."""
    for name in "abc":
        world.register("shop/orders", name, {"NAME": name})
    names = {"NamespaceName": "shop", "ServiceName": "orders"}
    revisions = {
        call("DiscoverInstances", **names, **more)["InstancesRevision"]
        for more in ({}, {"MaxResults": 1}, {"QueryParameters": {"NAME": "a"}}, {"HealthStatus": "UNHEALTHY"})
    }
    assert revisions == {call("DiscoverInstancesRevision", **names)["InstancesRevision"]} == {3}


class TestWithoutAHealthCheck:
    """Health is UNKNOWN and ignored."""

    def test_the_health_filter_is_ignored(self, world, found):
        """Every instance is returned for every filter."""
        world.register("shop/orders", "a")
        for wanted in ("HEALTHY", "UNHEALTHY", "ALL", "HEALTHY_OR_ELSE_ALL"):
            assert found(HealthStatus=wanted) == ["a"]

    def test_the_status_is_unknown(self, world, call):
        """In both operations, even if the registration set an initial status."""
        world.register("shop/orders", "a", {"AWS_INIT_HEALTH_STATUS": "HEALTHY"})
        answer = call("DiscoverInstances", NamespaceName="shop", ServiceName="orders")
        assert answer["Instances"][0]["HealthStatus"] == "UNKNOWN"
        assert health(call, call("ListServices")["Services"][0]["Id"]) == {"a": "UNKNOWN"}

    def test_health_cannot_be_reported(self, world, call, refused):
        """CustomHealthNotFound."""
        world.register("shop/orders", "a")
        with refused("CustomHealthNotFound"):
            report(call, call("ListServices")["Services"][0]["Id"], "UNHEALTHY")


class TestWithACustomHealthCheck:
    """HEALTHY at first; a reported status takes effect 30 seconds later."""

    def test_each_filter_finds_its_instances(self, world, service, found):
        """All four filters and the default."""
        world.register("shop/orders", "a")
        world.register("shop/orders", "b", {"AWS_INIT_HEALTH_STATUS": "UNHEALTHY"})
        assert found(HealthStatus="HEALTHY") == ["a"]
        assert found(HealthStatus="UNHEALTHY") == ["b"]
        assert found(HealthStatus="ALL") == ["a", "b"]
        assert found(HealthStatus="HEALTHY_OR_ELSE_ALL") == ["a"]
        assert found() == ["a"]

    def test_healthy_or_else_all_looks_at_matching_instances(self, world, service, found):
        """Healthy instances that the query excludes do not count."""
        world.register("shop/orders", "a", {"ZONE": "1"})
        world.register("shop/orders", "b", {"ZONE": "2", "AWS_INIT_HEALTH_STATUS": "UNHEALTHY"})
        assert found(HealthStatus="HEALTHY_OR_ELSE_ALL", QueryParameters={"ZONE": "2"}) == ["b"]

    def test_health_comes_before_optional_parameters(self, world, service, found):
        """A healthy instance is preferred to a matching unhealthy one."""
        world.register("shop/orders", "a", {"ZONE": "1"})
        world.register("shop/orders", "b", {"ZONE": "2", "AWS_INIT_HEALTH_STATUS": "UNHEALTHY"})
        assert found(HealthStatus="HEALTHY_OR_ELSE_ALL", OptionalParameters={"ZONE": "2"}) == ["a"]

    def test_a_report_takes_effect_after_thirty_seconds(self, clock, world, call, service):
        """Reporting it again does not shorten the delay."""
        world.register("shop/orders", "a")
        report(call, service, "UNHEALTHY")
        clock.tick(29)
        report(call, service, "UNHEALTHY")
        assert health(call, service) == {"a": "HEALTHY"}
        clock.tick(1)
        assert health(call, service) == {"a": "UNHEALTHY"}

    def test_the_opposite_report_within_the_delay_cancels_it(self, clock, world, call, service):
        """The next report waits the full delay."""
        world.register("shop/orders", "a")
        report(call, service, "UNHEALTHY")
        clock.tick(20)
        report(call, service, "HEALTHY")
        clock.tick(20)
        assert health(call, service) == {"a": "HEALTHY"}
        report(call, service, "UNHEALTHY")
        clock.tick(29)
        assert health(call, service) == {"a": "HEALTHY"}

    def test_the_health_delay_can_be_zero(self, clock, caller):
        """A report takes effect at once."""
        world = World(clock=clock, health_delay=0)
        world.add_service("shop/orders", health_check=True)
        world.register("shop/orders", "a")
        call = caller(world)
        service = call("ListServices")["Services"][0]["Id"]
        report(call, service, "UNHEALTHY")
        assert health(call, service) == {"a": "UNHEALTHY"}

    def test_health_does_not_change_the_revision(self, clock, world, call, service):
        """An unchanged revision does not mean that health is unchanged."""
        world.register("shop/orders", "a")
        report(call, service, "UNHEALTHY")
        clock.tick(30)
        world.set_health("shop/orders", "a", "HEALTHY")
        assert world.revision("shop/orders") == 1

    def test_a_changed_instance_keeps_its_health(self, world, call, service):
        """Unless the change sets one."""
        world.register("shop/orders", "a")
        world.set_health("shop/orders", "a", "UNHEALTHY")
        world.register("shop/orders", "a", {"NEW": "1"})
        assert health(call, service) == {"a": "UNHEALTHY"}
        world.register("shop/orders", "a", {"AWS_INIT_HEALTH_STATUS": "HEALTHY"})
        assert health(call, service) == {"a": "HEALTHY"}

    def test_unknown_instances_have_no_health(self, world, call, service, refused):
        """InstanceNotFound, when asked for and when reported."""
        with refused("InstanceNotFound"):
            call("GetInstancesHealthStatus", ServiceId=service, Instances=["unknown"])
        with refused("InstanceNotFound"):
            report(call, service, "HEALTHY", "unknown")
        with refused("ServiceNotFound"):
            report(call, "srv-unknown", "HEALTHY")

    @pytest.mark.parametrize("status", ["UNKNOWN", "SICK"])
    def test_only_two_statuses_can_be_reported(self, world, call, service, refused, status):
        """HEALTHY and UNHEALTHY."""
        world.register("shop/orders", "a")
        with refused("InvalidInput"):
            report(call, service, status)

    def test_health_is_returned_in_pages_or_for_some_ids(self, world, call, service, refused):
        """MaxResults and NextToken, or a list of ids that is not empty."""
        for name in "abc":
            world.register("shop/orders", name)
        first = call("GetInstancesHealthStatus", ServiceId=service, MaxResults=2)
        second = call("GetInstancesHealthStatus", ServiceId=service, NextToken=first["NextToken"])
        assert [*first["Status"], *second["Status"]] == ["a", "b", "c"]
        some = call("GetInstancesHealthStatus", ServiceId=service, Instances=["c", "a"])
        assert some["Status"] == {"a": "HEALTHY", "c": "HEALTHY"}
        with refused("InvalidInput"):
            call("GetInstancesHealthStatus", ServiceId=service, Instances=[])


def test_a_route_53_health_check_filters_but_cannot_be_reported(world, call, found, refused):
    """World.set_health sets its result."""
    world.add_namespace("shop")
    namespace = call("ListNamespaces")["Namespaces"][0]["Id"]
    check = {"Type": "TCP"}
    created = call("CreateService", Name="orders", NamespaceId=namespace, HealthCheckConfig=check)["Service"]
    with refused("InvalidInput"):
        world.register("shop/orders", "a")
    world.register("shop/orders", "a", {"AWS_INSTANCE_IPV4": "192.0.2.1", "AWS_INSTANCE_PORT": "80"})
    with refused("CustomHealthNotFound"):
        report(call, created["Id"], "UNHEALTHY")
    world.set_health("shop/orders", "a", "UNHEALTHY")
    assert found(HealthStatus="UNHEALTHY") == ["a"]


class TestQuotas:
    """One bucket for each operation, shared by all callers."""

    NAMES = {"NamespaceName": "shop", "ServiceName": "orders"}  # noqa: RUF012

    def test_discover_instances_allows_2000_requests_and_1000_a_second(self, clock, world, call, refused):
        """One more is RequestLimitExceeded."""
        world.add_service("shop/orders")
        for _ in range(2000):
            world.call("DiscoverInstances", self.NAMES)
        with refused("RequestLimitExceeded"):
            call("DiscoverInstances", **self.NAMES)
        clock.tick(0.0015)
        call("DiscoverInstances", **self.NAMES)
        with refused("RequestLimitExceeded"):
            call("DiscoverInstances", **self.NAMES)
        call("DiscoverInstancesRevision", **self.NAMES)

    def test_a_bucket_never_holds_more_than_its_burst(self, clock, caller, refused):
        """An hour without requests adds no more."""
        world = World(clock=clock, quotas=Quotas(discover_instances_revision=Rate(burst=1, per_second=10)))
        world.add_service("shop/orders")
        call = caller(world)
        for _ in range(2):
            call("DiscoverInstancesRevision", **self.NAMES)
            clock.tick(3600)
        call("DiscoverInstancesRevision", **self.NAMES)
        with refused("RequestLimitExceeded"):
            call("DiscoverInstancesRevision", **self.NAMES)

    def test_quotas_can_be_unlimited(self, clock):
        """For load tests."""
        world = World(clock=clock, quotas=Quotas.unlimited())
        for number in range(1001):
            world.register("shop/orders", str(number))
        for _ in range(2500):
            world.call("DiscoverInstancesRevision", self.NAMES)
        assert len(world.instances("shop/orders")) == 1001


def test_an_unknown_operation_is_refused(world, refused):
    """UnknownOperationException."""
    with refused("UnknownOperationException"):
        world.call("DiscoverEverything", {})
