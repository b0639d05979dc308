"""Property tests: the world compared with simple models of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from aiocloudmap.local import RefusedError, World
from aiocloudmap.testing import ManualClock

IDS = st.sampled_from(["a", "b", "c"])
ATTRIBUTES = st.dictionaries(st.sampled_from(["STAGE", "ZONE"]), st.sampled_from(["1", "2"]))
HEALTH = st.sampled_from(["HEALTHY", "UNHEALTHY"])
FILTERS = st.sampled_from(["HEALTHY", "UNHEALTHY", "ALL", "HEALTHY_OR_ELSE_ALL"])
NAMES = {"NamespaceName": "shop", "ServiceName": "orders"}


class Registrations(RuleBasedStateMachine):
    """Registering, deregistering, reporting and waiting, compared with a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.world = World(clock=self.clock, health_delay=10)
        self.world.add_service("shop/orders", health_check=True)
        self.service = self.world.call("ListServices", {})["Services"][0]["Id"]
        self.model: dict[str, dict[str, str]] = {}
        self.revision = 0

    @rule(instance=IDS, attributes=ATTRIBUTES)
    def register(self, instance, attributes):
        self.world.call(
            "RegisterInstance", {"ServiceId": self.service, "InstanceId": instance, "Attributes": attributes}
        )
        self.model[instance] = attributes
        self.revision += 1

    @rule(instance=IDS)
    def deregister(self, instance):
        try:
            self.world.call("DeregisterInstance", {"ServiceId": self.service, "InstanceId": instance})
        except RefusedError as refusal:
            assert refusal.code == "InstanceNotFound"
            assert instance not in self.model
        else:
            del self.model[instance]
            self.revision += 1

    @rule(instance=IDS, status=HEALTH)
    def report(self, instance, status):
        request = {"ServiceId": self.service, "InstanceId": instance, "Status": status}
        try:
            self.world.call("UpdateInstanceCustomHealthStatus", request)
        except RefusedError as refusal:
            assert refusal.code == "InstanceNotFound"
            assert instance not in self.model

    @rule(seconds=st.integers(0, 12))
    def wait(self, seconds):
        self.clock.tick(seconds)

    @invariant()
    def every_instance_exists_once_with_its_last_attributes(self):
        answer = self.world.call("DiscoverInstances", {**NAMES, "HealthStatus": "ALL"})
        found = [(each["InstanceId"], each["Attributes"]) for each in answer["Instances"]]
        assert sorted(found) == sorted(self.model.items())

    @invariant()
    def only_registrations_and_deregistrations_change_the_revision(self):
        assert self.world.call("DiscoverInstancesRevision", NAMES)["InstancesRevision"] == self.revision

    @invariant()
    def healthy_and_unhealthy_instances_are_all_instances(self):
        parts = [
            each["InstanceId"]
            for status in ("HEALTHY", "UNHEALTHY")
            for each in self.world.call("DiscoverInstances", {**NAMES, "HealthStatus": status})["Instances"]
        ]
        assert sorted(parts) == sorted(self.model)


TestRegistrations = Registrations.TestCase
TestRegistrations.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


@settings(max_examples=100, deadline=None)
@given(
    instances=st.dictionaries(st.integers(0, 9).map(str), st.tuples(ATTRIBUTES, HEALTH)),
    query=ATTRIBUTES,
    optional=ATTRIBUTES,
    wanted=FILTERS,
)
def test_discovery_agrees_with_a_simple_model(instances, query, optional, wanted):
    """Query, health and optional parameters."""
    world = World(clock=ManualClock())
    world.add_service("shop/orders", health_check=True)
    for name, (attributes, status) in instances.items():
        world.register("shop/orders", name, attributes)
        world.set_health("shop/orders", name, status)
    matching = {name: each for name, each in instances.items() if query.items() <= each[0].items()}
    healthy = {name: each for name, each in matching.items() if each[1] == "HEALTHY"}
    sick = {name: each for name, each in matching.items() if each[1] == "UNHEALTHY"}
    left = {"HEALTHY": healthy, "UNHEALTHY": sick, "ALL": matching, "HEALTHY_OR_ELSE_ALL": healthy or matching}[wanted]
    preferred = {name for name, each in left.items() if optional.items() <= each[0].items()}

    request = {**NAMES, "QueryParameters": query, "OptionalParameters": optional, "HealthStatus": wanted}
    found = [each["InstanceId"] for each in world.call("DiscoverInstances", request)["Instances"]]
    assert sorted(found) == sorted(preferred or left)


@settings(max_examples=100, deadline=None)
@given(
    members=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(NAMES)), inner),
        max_leaves=5,
    ),
    member=st.sampled_from(["Name", "NamespaceName", "ServiceId", "Attributes", "Filters", "MaxResults", "NextToken"]),
)
def test_any_json_is_answered_or_refused(members, member):
    """By every operation."""
    world = World(clock=ManualClock())
    world.add_service("shop/orders")
    service = world.call("ListServices", {})["Services"][0]["Id"]
    plain = {**NAMES, "ServiceId": service, "Id": service, "InstanceId": "a", "Name": "n", "Attributes": {}}
    for operation in _operations():
        try:
            world.call(operation, plain | {member: members})
        except RefusedError as refusal:
            assert refusal.status == 400


def _operations():
    from aiocloudmap.local.actions import ACTIONS

    return [operation for operation in ACTIONS if not operation.startswith("Delete")]
