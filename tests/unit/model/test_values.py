"""The nouns: what AWS would refuse is refused here, at once, and values are values."""

import copy
import json
import pickle
import re
from dataclasses import FrozenInstanceError, asdict
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiocloudmap import (
    AttributeNotFoundError,
    ConfigurationError,
    Discovery,
    HealthFilter,
    HealthStatus,
    Instance,
    InvalidAttributeError,
    Query,
    ServiceName,
    Snapshot,
)
from aiocloudmap.model.instance import MAX_INSTANCES
from aiocloudmap.testing import ManualClock

ORDERS = ServiceName("shop", "orders")


def model_pattern(shape: str) -> re.Pattern[str]:
    """The pattern that AWS's own service model gives for a shape."""
    from botocore.session import get_session

    return re.compile(get_session().get_service_model("servicediscovery").shape_for(shape).metadata["pattern"])


@pytest.fixture(scope="module")
def patterns() -> dict[str, re.Pattern[str]]:
    """AWS's patterns, by shape."""
    return {shape: model_pattern(shape) for shape in ("ServiceName", "NamespaceName", "AttrKey", "AttrValue")}


def accepts(make, *arguments) -> bool:
    """Whether it can be made."""
    try:
        make(*arguments)
    except ConfigurationError:
        return False
    return True


# Names


@pytest.mark.parametrize(
    ("text", "namespace", "service"),
    [
        ("shop/orders", "shop", "orders"),
        ("cloudmap://shop/orders", "shop", "orders"),
        ("shop.local/orders.v2", "shop.local", "orders.v2"),
        ("team/shop/orders", "team/shop", "orders"),
        ("cloudmap://team/shop/orders", "team/shop", "orders"),
        ("https://x/y", "https://x", "y"),
        ("shop/.", "shop", "."),
    ],
)
def test_parse_splits_at_the_last_slash(text, namespace, service):
    """Namespaces may hold a slash, services may hold dots; the scheme is a matter of taste."""
    assert ServiceName.parse(text) == ServiceName(namespace, service)


@pytest.mark.parametrize("text", ["shop/orders", "team/shop/orders", "shop.local/orders.v2"])
def test_a_name_reads_as_it_was_written(text):
    """str() and parse() are each other's inverse."""
    assert str(ServiceName.parse(text)) == text
    assert ServiceName.parse(str(ServiceName.parse(text))) == ServiceName.parse(text)


@pytest.mark.parametrize(
    "text", ["", "orders", "/orders", "shop/", "/", "cloudmap://", "cloudmap://orders", "shop.orders"]
)
def test_what_is_not_of_the_form_is_told_what_the_form_is(text):
    """The message shows what came and what would be right."""
    with pytest.raises(ConfigurationError, match=r"Write namespace/service, like 'shop/orders'") as caught:
        ServiceName.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", [None, 5, b"shop/orders", ["shop", "orders"], ORDERS])
def test_what_is_no_string_is_no_name(text):
    """Nothing else is taken for a name."""
    with pytest.raises(ConfigurationError, match="a service name is a string like 'shop/orders'"):
        ServiceName.parse(text)


@pytest.mark.parametrize("parts", [(None, "orders"), ("shop", None), (b"shop", "orders"), (1, 2)])
def test_parts_that_are_no_strings_are_refused(parts):
    """Both parts are strings."""
    with pytest.raises(ConfigurationError, match="made of two strings"):
        ServiceName(*parts)


@pytest.mark.parametrize(
    "service",
    [
        "-a",
        "a-",
        "a..b",
        ".a",
        "a.",
        "..",
        "_",
        "a b",
        "a/b",
        "ä",
        "a\n",
        "a" * 64,
        ".".join(["a" * 63] * 2 + ["b"]),
        "a$",
    ],
)
def test_a_service_name_that_aws_would_refuse_is_refused(service):
    """Labels, their ends, their length, and the whole; the message says the rule."""
    with pytest.raises(ConfigurationError, match=r"is no service name.*63 characters a label, 127 in all"):
        ServiceName("shop", service)


@pytest.mark.parametrize("service", ["a", "a" * 63, "a_b-c", "__", "1", ".", "a.b.c", ".".join(["a" * 63] * 2)])
def test_a_service_name_that_aws_allows_is_allowed(service):
    """Up to 63 characters a label and 127 in all; a dot alone is the namespace itself."""
    assert ServiceName("shop", service).service == service


@pytest.mark.parametrize("namespace", ["", "a b", "ä", "a\n", "\x00", "a" * 1025, " shop", "shop\t"])
def test_a_namespace_that_aws_would_refuse_is_refused(namespace):
    """Printable ASCII without spaces, up to 1,024."""
    with pytest.raises(ConfigurationError, match=r"is no namespace name.*1 to 1,024 printable ASCII"):
        ServiceName(namespace, "orders")


@pytest.mark.parametrize("namespace", ["!", "~", "a" * 1024, "shop.local", "a/b"])
def test_a_namespace_that_aws_allows_is_allowed(namespace):
    """Anything from ! to ~."""
    assert ServiceName(namespace, "orders").namespace == namespace


def test_a_hostile_name_is_shown_escaped_and_shortened():
    """A message is one line of ASCII, however long and whatever the text."""
    with pytest.raises(ConfigurationError) as caught:
        ServiceName.parse("shop/\x1b[31m\n" + "ä" * 500)
    assert str(caught.value).isprintable()
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 700


@given(st.text(alphabet="aB0_-.$ \né", max_size=8))
@example("a" * 63)
@example("a" * 64)
@example(".".join("a" * 128))
@example("a" * 62 + "-")
def test_service_names_are_those_of_awss_pattern(patterns, text):
    """What AWS's model accepts is accepted, and nothing else."""
    # fullmatch, since $ lets a line break through.
    assert accepts(ServiceName, "shop", text) == bool(patterns["ServiceName"].fullmatch(text))


@given(st.text(max_size=5) | st.text(alphabet="aB/ .:!~\x7f", max_size=8))
@example("a" * 1024)
@example("a" * 1025)
def test_namespaces_are_those_of_awss_pattern(patterns, text):
    """What AWS's model accepts is accepted, and nothing else."""
    assert accepts(ServiceName, text, "orders") == bool(patterns["NamespaceName"].fullmatch(text))


@given(st.text(alphabet="aB0!~ \t\n\x7fé", max_size=6), st.text(alphabet="aB0!~ \t\n\x7fé", max_size=6))
@example("a" * 255, "a" * 1024)
@example("a" * 256, "a")
@example("a", "a" * 1025)
@example("a", "")
@example("a", "b ")
def test_attributes_of_a_query_are_those_of_awss_patterns(patterns, key, value):
    """Names and values of where and prefer, with AWS's lengths."""
    allowed = bool(
        len(key) <= 255
        and len(value) <= 1024
        and patterns["AttrKey"].fullmatch(key)
        and patterns["AttrValue"].fullmatch(value)
    )
    assert accepts(lambda: Query(ORDERS, where={key: value})) == allowed
    assert accepts(lambda: Query(ORDERS, prefer={key: value})) == allowed


def test_names_are_ordered_hashable_and_frozen():
    """They are keys, and lists of them are sorted."""
    names = [ServiceName("b", "a"), ServiceName("a", "b"), ServiceName("a", "a")]
    assert [str(name) for name in sorted(names)] == ["a/a", "a/b", "b/a"]
    assert len({ServiceName("a", "a"), ServiceName.parse("a/a")}) == 1
    with pytest.raises(FrozenInstanceError):
        names[0].service = "other"


# Queries


def test_the_order_in_which_a_filter_is_written_makes_no_other_question():
    """Mappings and pairs, in any order: one question, one hash."""
    one = Query(ORDERS, where={"A": "1", "B": "2"}, prefer={"X": "1", "Y": "2"})
    two = Query(ORDERS, where=(("B", "2"), ("A", "1")), prefer={"Y": "2", "X": "1"})
    assert one == two
    assert hash(one) == hash(two)
    assert one.where == (("A", "1"), ("B", "2"))


def test_every_part_of_a_query_makes_another_question():
    """Service, health, where, prefer and owner each count."""
    queries = {
        Query(ORDERS),
        Query(ServiceName("shop", "carts")),
        Query(ORDERS, health=HealthFilter.ALL),
        Query(ORDERS, where={"A": "1"}),
        Query(ORDERS, prefer={"A": "1"}),
        Query(ORDERS, owner_account="123456789012"),
    }
    assert len(queries) == 6


def test_health_may_be_said_as_text():
    """The enumeration's member comes of it."""
    assert Query(ORDERS, health="ALL").health is HealthFilter.ALL
    assert Query(ORDERS, health="healthy_or_else_all").health is HealthFilter.HEALTHY_OR_ELSE_ALL


@pytest.mark.parametrize("health", ["", None, 1, "SICK"])
def test_what_is_no_health_filter_is_refused(health):
    """With the ones there are."""
    with pytest.raises(
        ConfigurationError, match=r"is no health filter\. Use one of HEALTHY, UNHEALTHY, ALL, HEALTHY_OR"
    ):
        Query(ORDERS, health=health)


@pytest.mark.parametrize("value", ["ab", 5, [1], [("a",)], [("a", "b", "c")], {1: "a", "b": "c"}, ["a"]])
@pytest.mark.parametrize("argument", ["where", "prefer"])
def test_what_is_no_mapping_is_no_filter(argument, value):
    """The message names the argument and shows one that is right."""
    with pytest.raises(ConfigurationError, match=rf"{argument} is no mapping.*{argument}=\{{'STAGE': 'live'\}}"):
        Query(ORDERS, **{argument: value})


@pytest.mark.parametrize("filters", [{1: "a"}, {"": "a"}, {"a b": "c"}, {"ä": "c"}])
def test_what_is_no_attribute_name_is_refused(filters):
    """AWS would refuse it."""
    with pytest.raises(ConfigurationError, match="which is no attribute name"):
        Query(ORDERS, where=filters)


@pytest.mark.parametrize("value", [77, b"x", " a", "ä", "a\n", "b" * 1025])
def test_what_no_attribute_can_have_as_value_is_refused_without_showing_it(value):
    """The key is named, the value is not: it may be a secret."""
    with pytest.raises(ConfigurationError, match="where asks for a value of KEY that no attribute can have") as caught:
        Query(ORDERS, where={"KEY": value})
    assert repr(value) not in str(caught.value)


def test_two_values_for_one_attribute_are_refused():
    """AWS takes a mapping: one of them would be lost on the way, and with it a condition."""
    with pytest.raises(ConfigurationError, match="where names 'STAGE' twice"):
        Query(ORDERS, where=(("STAGE", "live"), ("STAGE", "test")))


@pytest.mark.parametrize("account", ["", "1", "12345678901", "1234567890123", "12345678901a", 123456789012, "٣" * 12])
def test_what_is_no_account_is_refused(account):
    """Twelve ASCII digits, as a string: a number loses its leading zeros."""
    with pytest.raises(ConfigurationError, match=r"is no AWS account id.*as a string"):
        Query(ORDERS, owner_account=account)


@pytest.mark.parametrize(
    ("health", "believes"), [("HEALTHY", True), ("UNHEALTHY", True), ("ALL", False), ("HEALTHY_OR_ELSE_ALL", False)]
)
def test_who_asks_for_a_state_of_health_believes_that_nobody_has_it(health, believes):
    """Emptiness of the other filters may be a gap of a deployment."""
    assert Query(ORDERS, health=health).believes_empty == believes


# Instances


def test_an_instance_is_frozen_and_its_attributes_are_too():
    """What a cache hands out to all must not be changed by one; nor by who made it."""
    given_attributes = {"A": "1"}
    instance = Instance("i", ORDERS, attributes=given_attributes)
    given_attributes["A"] = "2"
    assert instance.attributes == {"A": "1"}
    with pytest.raises(TypeError):
        instance.attributes["A"] = "3"
    with pytest.raises(FrozenInstanceError):
        instance.id = "j"


def test_every_way_to_change_the_attributes_is_refused():
    """All that a dict has; and a copy may be changed."""
    attributes = Instance("i", ORDERS, attributes={"A": "1"}).attributes
    for change in (
        lambda: attributes.__setitem__("A", "2"),
        lambda: attributes.__delitem__("A"),
        lambda: attributes.__ior__({"A": "2"}),
        lambda: attributes.update(A="2"),
        lambda: attributes.setdefault("B", "2"),
        lambda: attributes.pop("A"),
        attributes.popitem,
        attributes.clear,
    ):
        with pytest.raises(TypeError, match=r"cannot be changed; copy\(\)"):
            change()
    assert attributes == {"A": "1"}
    changed = attributes.copy()
    changed["A"] = "2"
    assert attributes | {"A": "2"} == changed


def test_an_instance_can_be_made_a_dict_and_json():
    """What dashboards and logs do with it; the attributes alone, too."""
    instance = Instance("i", ORDERS, HealthStatus.HEALTHY, {"A": "1"})
    expected = {
        "id": "i",
        "service": {"namespace": "shop", "service": "orders"},
        "health": "HEALTHY",
        "attributes": {"A": "1"},
    }
    assert asdict(instance) == expected
    assert json.loads(json.dumps(asdict(instance))) == expected
    assert json.dumps(instance.attributes) == '{"A": "1"}'


def test_instances_are_equal_by_value_and_hashable():
    """Attributes count for equality."""
    one, same = (Instance("i", ORDERS, HealthStatus.HEALTHY, {"A": "1"}) for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    assert one != Instance("i", ORDERS, HealthStatus.HEALTHY, {"A": "2"})
    assert one != Instance("i", ORDERS, HealthStatus.UNHEALTHY, {"A": "1"})
    assert Instance("i", ORDERS).health is HealthStatus.UNKNOWN


def test_a_repr_shows_no_value():
    """Values may be secret or hostile; keys, health and names are enough in a log."""
    shown = repr(Instance("i-1", ORDERS, HealthStatus.HEALTHY, {"TOKEN": "hidden-value", "A": "1"}))
    assert shown == "<Instance 'i-1' of shop/orders, HEALTHY, attributes ['A', 'TOKEN']>"


@pytest.mark.parametrize(
    ("attributes", "host"),
    [
        ({}, None),
        ({"AWS_INSTANCE_IPV4": "10.0.0.1"}, "10.0.0.1"),
        ({"AWS_INSTANCE_IPV6": "2001:DB8::1"}, "2001:db8::1"),
        ({"AWS_INSTANCE_CNAME": "db.example.com"}, "db.example.com"),
        ({"AWS_INSTANCE_CNAME": "my_host-1.example.com."}, "my_host-1.example.com."),
        ({"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_IPV6": "::1", "AWS_INSTANCE_CNAME": "a"}, "10.0.0.1"),
        ({"AWS_INSTANCE_IPV6": "::1", "AWS_INSTANCE_CNAME": "a"}, "::1"),
        ({"AWS_INSTANCE_IPV4": "", "AWS_INSTANCE_CNAME": "a"}, "a"),
    ],
)
def test_host_is_the_address_or_else_the_name(attributes, host):
    """IPv4, then IPv6, then CNAME; None without any."""
    assert Instance("i", ORDERS, attributes=attributes).host == host


def test_hosts_are_all_addresses_and_names():
    """In the order of preference; a wrong one among them is an error here, and none where it is not read."""
    attributes = {"AWS_INSTANCE_CNAME": "a", "AWS_INSTANCE_IPV6": "::1", "AWS_INSTANCE_IPV4": "10.0.0.1"}
    assert Instance("i", ORDERS, attributes=attributes).hosts == ("10.0.0.1", "::1", "a")
    assert Instance("i", ORDERS).hosts == ()
    half = Instance("i", ORDERS, attributes=attributes | {"AWS_INSTANCE_IPV6": "1::2::3"})
    assert half.host == "10.0.0.1"
    with pytest.raises(InvalidAttributeError, match="AWS_INSTANCE_IPV6 of instance i"):
        _ = half.hosts


@pytest.mark.parametrize(
    "attributes",
    [
        {"AWS_INSTANCE_IPV4": "10.0.0.256"},
        {"AWS_INSTANCE_IPV4": "10.0.0.1/evil"},
        {"AWS_INSTANCE_IPV4": "010.0.0.1"},
        {"AWS_INSTANCE_IPV6": "1::2::3"},
        {"AWS_INSTANCE_CNAME": "a b"},
        {"AWS_INSTANCE_CNAME": "a/../b"},
        {"AWS_INSTANCE_CNAME": "user@host"},
        {"AWS_INSTANCE_CNAME": "a..b"},
        {"AWS_INSTANCE_CNAME": "a" * 254},
    ],
)
def test_what_is_no_host_is_told_when_it_is_asked_for(attributes):
    """Making the instance is no error; reading the wrong attribute is, and the message names it but not its value."""
    instance = Instance("i-1", ORDERS, attributes=attributes)
    [(key, value)] = attributes.items()
    with pytest.raises(InvalidAttributeError, match=f"shop/orders: {key} of instance i-1 is not an address") as caught:
        _ = instance.host
    assert value not in str(caught.value)


@pytest.mark.parametrize(("text", "port"), [("1", 1), ("80", 80), ("65535", 65535), (None, None)])
def test_port_is_a_number_from_1_to_65535(text, port):
    """Or None, where there is none."""
    attributes = {} if text is None else {"AWS_INSTANCE_PORT": text}
    assert Instance("i", ORDERS, attributes=attributes).port == port


@pytest.mark.parametrize("text", ["0", "65536", "-1", "+80", "80.0", "http", "", " 80", "८०", "1_0", "9" * 5000, "²"])
def test_what_is_no_port_is_told_when_it_is_asked_for(text):
    """Not when the instance is made: an address may be all that somebody wants."""
    instance = Instance("i-1", ORDERS, attributes={"AWS_INSTANCE_PORT": text, "AWS_INSTANCE_IPV4": "10.0.0.1"})
    assert instance.host == "10.0.0.1"
    with pytest.raises(InvalidAttributeError, match="AWS_INSTANCE_PORT of instance i-1 is not a port from 1 to 65535"):
        _ = instance.port
    with pytest.raises(InvalidAttributeError):
        instance.url()


def test_zone_is_what_ecs_writes():
    """AVAILABILITY_ZONE, or None."""
    assert Instance("i", ORDERS, attributes={"AVAILABILITY_ZONE": "eu-west-1a"}).zone == "eu-west-1a"
    assert Instance("i", ORDERS).zone is None


@pytest.mark.parametrize(
    ("attributes", "arguments", "url"),
    [
        ({"AWS_INSTANCE_IPV4": "10.0.0.1"}, {}, "http://10.0.0.1"),
        ({"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_PORT": "8080"}, {}, "http://10.0.0.1:8080"),
        ({"AWS_INSTANCE_IPV6": "::1", "AWS_INSTANCE_PORT": "8080"}, {"path": "/v1"}, "http://[::1]:8080/v1"),
        ({"AWS_INSTANCE_IPV6": "::1"}, {"scheme": "https"}, "https://[::1]"),
        ({"AWS_INSTANCE_CNAME": "a.example"}, {"scheme": "grpc", "path": "v1"}, "grpc://a.example/v1"),
    ],
)
def test_url_joins_scheme_host_port_and_path(attributes, arguments, url):
    """IPv6 in brackets, no port where there is none, one slash before the path."""
    assert Instance("i", ORDERS, attributes=attributes).url(**arguments) == url


def test_an_instance_without_an_address_has_no_url():
    """The message lists what it has instead."""
    with pytest.raises(AttributeNotFoundError, match=r"instance i-1 has no address\. It has: A, B\.") as caught:
        Instance("i-1", ORDERS, attributes={"B": "1", "A": "1"}).url()
    assert caught.value.available == ("A", "B")


# Snapshots


def snapshot(*ids: str, **settings) -> Snapshot:
    """One with instances of these ids."""
    return Snapshot(ORDERS, [Instance(each, ORDERS, attributes={"N": each}) for each in ids], **settings)


def test_a_snapshot_is_a_sequence_sorted_by_id():
    """In whatever order a backend found them."""
    found = snapshot("c", "a", "b")
    assert [each.id for each in found] == ["a", "b", "c"]
    assert (len(found), found[0].id, found[-1].id) == (3, "a", "c")
    assert [each.id for each in found[1:]] == ["b", "c"]
    assert found[1] in found
    assert found.index(found[1]) == 1
    assert [each.id for each in reversed(found)] == ["c", "b", "a"]
    assert bool(found)
    assert not snapshot()


def test_snapshots_of_the_same_instances_are_equal_whenever_they_were_fetched():
    """Service, instances and revision count; so a watcher sees what changed and nothing else."""
    clock = ManualClock()
    one = snapshot("a", "b", revision=3, clock=clock)
    clock.tick(5)
    same = snapshot("b", "a", revision=3, clock=clock)
    assert one == same
    assert hash(one) == hash(same)
    assert one != snapshot("a", "b", revision=4)
    assert one != snapshot("a", revision=3)
    assert one != ["a", "b"]


def test_a_snapshot_tells_when_it_was_fetched_and_how_old_it_is():
    """An aware datetime in UTC, and seconds that grow with either clock."""
    clock = ManualClock(time=1_700_000_000)
    found = snapshot("a", clock=clock)
    assert found.fetched_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert found.age == 0
    clock.tick(5)
    assert found.age == 5
    clock.freeze(10)
    assert found.age == 15
    clock.set_back(100)
    assert found.age == 5
    assert found.fetched_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_a_snapshot_may_be_older_than_its_arrival():
    """elapsed counts from the moment the answer was given."""
    assert snapshot("a", clock=ManualClock(), elapsed=45).age == 45


def test_values_are_those_of_the_instances_that_have_the_attribute():
    """In the order of the instances."""
    found = Snapshot(
        ORDERS,
        [
            Instance("b", ORDERS, attributes={"ZONE": "2"}),
            Instance("a", ORDERS, attributes={"ZONE": "1"}),
            Instance("c", ORDERS),
        ],
    )
    assert found.values("ZONE") == ("1", "2")
    assert found.values("MISSING") == ()


@pytest.mark.parametrize(("count", "maybe"), [(0, False), (999, False), (1000, True)])
def test_as_many_as_an_answer_can_hold_may_not_be_all(count, maybe):
    """1,000 is AWS's maximum."""
    assert MAX_INSTANCES == 1000
    assert Snapshot(ORDERS, [Instance(f"{n:04}", ORDERS) for n in range(count)]).maybe_truncated is maybe


def test_a_snapshot_never_changes():
    """The cache hands the same one to everybody."""
    found = snapshot("a", revision=1)
    for name in ("service", "instances", "revision", "anything"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(found, name, None)
    with pytest.raises(TypeError):
        found[0] = None
    with pytest.raises(FrozenInstanceError):
        del found.service
    assert found.revision == 1


def test_the_repr_of_a_snapshot_counts():
    """Service, how many, how old; no values."""
    clock = ManualClock()
    assert repr(snapshot("a", clock=clock)) == "<Snapshot of shop/orders: 1 instance, 0.0 s old>"
    assert repr(snapshot(clock=clock)) == "<Snapshot of shop/orders: 0 instances, 0.0 s old>"


@pytest.mark.parametrize(
    "value",
    [
        ORDERS,
        Query(ORDERS, HealthFilter.ALL, (("A", "1"),), (("B", "2"),), "123456789012"),
        Instance("i", ORDERS, HealthStatus.HEALTHY, {"A": "1"}),
        Instance("i", ORDERS, attributes={"A": "1"}).attributes,
        Discovery((Instance("i", ORDERS, attributes={"A": "1"}),), 5),
        snapshot("b", "a", revision=7),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_survive_pickling_and_copying(value):
    """Process pools, task queues and a second level of cache hand them on."""
    for again in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert again == value
        assert type(again) is type(value)


def test_a_pickled_snapshot_keeps_its_moment_on_a_machine_with_another_uptime():
    """Monotonic clocks of two machines have nothing to do with each other; the wall clock tells the age."""
    ages_ago = ManualClock(monotonic=10_000_000.0, time=datetime.now(UTC).timestamp() - 60)
    found = snapshot("a", clock=ages_ago)
    again = pickle.loads(pickle.dumps(found))
    assert again.fetched_at == found.fetched_at
    assert 60 <= again.age < 600
