"""Service names and queries."""

import re
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiocloudmap import AttributesQuery, ConfigurationError, HealthFilter, Query, ServiceName

ORDERS = ServiceName("shop", "orders")


def model_pattern(shape: str) -> re.Pattern[str]:
    """The pattern of a shape in AWS's service model."""
    from botocore.session import get_session

    return re.compile(get_session().get_service_model("servicediscovery").shape_for(shape).metadata["pattern"])


@pytest.fixture(scope="module")
def patterns() -> dict[str, re.Pattern[str]]:
    """AWS's patterns, by shape."""
    return {shape: model_pattern(shape) for shape in ("ServiceName", "NamespaceName", "AttrKey", "AttrValue")}


def accepts(make, *arguments) -> bool:
    """Whether the arguments are valid."""
    try:
        make(*arguments)
    except ConfigurationError:
        return False
    return True


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
def test_parse_splits_the_text_at_its_last_slash(text, namespace, service):
    """The scheme is optional."""
    assert ServiceName.parse(text) == ServiceName(namespace, service)


@pytest.mark.parametrize("text", ["shop/orders", "team/shop/orders", "shop.local/orders.v2"])
def test_str_and_parse_are_inverse(text):
    """A name that was parsed can be parsed again."""
    assert str(ServiceName.parse(text)) == text
    assert ServiceName.parse(str(ServiceName.parse(text))) == ServiceName.parse(text)


@pytest.mark.parametrize(
    "text", ["", "orders", "/orders", "shop/", "/", "cloudmap://", "cloudmap://orders", "shop orders"]
)
def test_text_of_another_form_is_not_a_service_name(text):
    """The message shows the text and the form."""
    with pytest.raises(ConfigurationError, match=r": expected 'namespace/service'\. Write it like") as caught:
        ServiceName.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", [None, 5, b"shop/orders", ["shop", "orders"]])
def test_parse_accepts_strings_only(text):
    """The message has an example."""
    with pytest.raises(ConfigurationError, match=r"^invalid service name .*: expected a string like 'shop/orders'$"):
        ServiceName.parse(text)


@pytest.mark.parametrize("parts", [(None, "orders"), ("shop", None), (b"shop", "orders"), (1, 2)])
def test_both_parts_of_a_name_are_strings(parts):
    """The message shows the parts."""
    with pytest.raises(ConfigurationError, match=r"^invalid service name \(.*\): expected two strings$"):
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
def test_service_names_that_aws_rejects_are_invalid(service):
    """The message states the rules."""
    with pytest.raises(ConfigurationError, match=r"^invalid service name .*: expected labels .* 63 .* 127\.$"):
        ServiceName("shop", service)


@pytest.mark.parametrize("service", ["a", "a" * 63, "a_b-c", "__", "1", ".", "a.b.c", ".".join(["a" * 63] * 2)])
def test_service_names_that_aws_accepts_are_valid(service):
    """A single dot stands for the namespace itself."""
    assert ServiceName("shop", service).service == service


@pytest.mark.parametrize("namespace", ["", "a b", "ä", "a\n", "\x00", "a" * 1025, " shop", "shop\t"])
def test_namespaces_that_aws_rejects_are_invalid(namespace):
    """Valid are 1 to 1,024 printable ASCII characters without spaces."""
    with pytest.raises(ConfigurationError, match=r"^invalid namespace name .*: expected 1 to 1,024 printable ASCII"):
        ServiceName(namespace, "orders")


@pytest.mark.parametrize("namespace", ["!", "~", "a" * 1024, "shop.local", "a/b"])
def test_namespaces_that_aws_accepts_are_valid(namespace):
    """Any characters from ! to ~."""
    assert ServiceName(namespace, "orders").namespace == namespace


def test_messages_show_hostile_names_escaped_and_shortened():
    """A message is one line of ASCII."""
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
def test_service_names_match_the_pattern_of_aws(patterns, text):
    """The same texts are valid here and there."""
    # fullmatch, since $ lets a line break through.
    assert accepts(ServiceName, "shop", text) == bool(patterns["ServiceName"].fullmatch(text))


@given(st.text(max_size=5) | st.text(alphabet="aB/ .:!~\x7f", max_size=8))
@example("a" * 1024)
@example("a" * 1025)
def test_namespaces_match_the_pattern_of_aws(patterns, text):
    """The same texts are valid here and there."""
    assert accepts(ServiceName, text, "orders") == bool(patterns["NamespaceName"].fullmatch(text))


@given(st.text(alphabet="aB0!~ \t\n\x7fé", max_size=6), st.text(alphabet="aB0!~ \t\n\x7fé", max_size=6))
@example("a" * 255, "a" * 1024)
@example("a" * 256, "a")
@example("a", "a" * 1025)
@example("a", "")
@example("a", "b ")
def test_filters_match_the_patterns_of_aws(patterns, key, value):
    """Names and values in where and prefer, with their lengths."""
    allowed = bool(
        len(key) <= 255
        and len(value) <= 1024
        and patterns["AttrKey"].fullmatch(key)
        and patterns["AttrValue"].fullmatch(value)
    )
    assert accepts(lambda: Query(ORDERS, where={key: value})) == allowed
    assert accepts(lambda: Query(ORDERS, prefer={key: value})) == allowed


def test_service_names_are_ordered_hashable_and_frozen():
    """They are dict keys, and lists of them are sorted."""
    names = [ServiceName("b", "a"), ServiceName("a", "b"), ServiceName("a", "a")]
    assert [str(name) for name in sorted(names)] == ["a/a", "a/b", "b/a"]
    assert len({ServiceName("a", "a"), ServiceName.parse("a/a")}) == 1
    with pytest.raises(FrozenInstanceError):
        names[0].service = "other"


def test_the_order_of_filters_does_not_matter():
    """Mappings and pairs in any order make equal queries."""
    one = Query(ORDERS, where={"A": "1", "B": "2"}, prefer={"X": "1", "Y": "2"})
    two = Query(ORDERS, where=(("B", "2"), ("A", "1")), prefer={"Y": "2", "X": "1"})
    assert one == two
    assert hash(one) == hash(two)
    assert one.where == (("A", "1"), ("B", "2"))


def test_queries_differ_if_any_part_differs():
    """Service, health, where, prefer and owner_account."""
    queries = {
        Query(ORDERS),
        Query(ServiceName("shop", "carts")),
        Query(ORDERS, health=HealthFilter.ALL),
        Query(ORDERS, where={"A": "1"}),
        Query(ORDERS, prefer={"A": "1"}),
        Query(ORDERS, owner_account="123456789012"),
    }
    assert len(queries) == 6


def test_health_may_be_text():
    """In lower case, too."""
    assert Query(ORDERS, health="ALL").health is HealthFilter.ALL
    assert Query(ORDERS, health="healthy_or_else_all").health is HealthFilter.HEALTHY_OR_ELSE_ALL


@pytest.mark.parametrize("health", ["", None, 1, "SICK"])
def test_an_unknown_health_filter_is_invalid(health):
    """The message lists the valid ones."""
    with pytest.raises(
        ConfigurationError, match=r"^invalid health filter .*: expected one of HEALTHY, UNHEALTHY, ALL, HEALTHY_OR"
    ):
        Query(ORDERS, health=health)


@pytest.mark.parametrize("value", ["ab", 5, [1], [("a",)], [("a", "b", "c")], {1: "a", "b": "c"}, ["a"]])
@pytest.mark.parametrize("argument", ["where", "prefer"])
def test_filters_must_be_mappings(argument, value):
    """The message has an example."""
    example = rf"{argument}=\{{'STAGE': 'live'\}}"
    with pytest.raises(ConfigurationError, match=rf"^invalid {argument}: expected a mapping .*\. Write {example}\.$"):
        Query(ORDERS, **{argument: value})


@pytest.mark.parametrize("filters", [{1: "a"}, {"": "a"}, {"a b": "c"}, {"ä": "c"}])
def test_filters_have_valid_attribute_names(filters):
    """AWS would reject these."""
    with pytest.raises(ConfigurationError, match="^invalid attribute name .* in where: expected 1 to 255 "):
        Query(ORDERS, where=filters)


@pytest.mark.parametrize("value", [77, b"x", " a", "ä", "a\n", "b" * 1025])
def test_messages_do_not_show_invalid_values(value):
    """They may be secret."""
    with pytest.raises(ConfigurationError, match="^invalid value of KEY in where: expected a string") as caught:
        Query(ORDERS, where={"KEY": value})
    assert repr(value) not in str(caught.value)


def test_filters_have_one_value_for_each_attribute():
    """AWS takes a mapping, so that one of the two conditions would be lost."""
    with pytest.raises(ConfigurationError, match="^invalid where: expected one value for 'STAGE'"):
        Query(ORDERS, where=(("STAGE", "live"), ("STAGE", "test")))


@pytest.mark.parametrize("account", ["", "1", "12345678901", "1234567890123", "12345678901a", 123456789012, "٣" * 12])
def test_account_ids_have_twelve_digits(account):
    """They are strings: a number loses its leading zeros."""
    with pytest.raises(ConfigurationError, match=r"invalid owner_account .*: expected the 12 digits .* as a string$"):
        Query(ORDERS, owner_account=account)


@pytest.mark.parametrize(
    ("health", "believes"), [("HEALTHY", True), ("UNHEALTHY", True), ("ALL", False), ("HEALTHY_OR_ELSE_ALL", False)]
)
def test_queries_for_one_health_accept_an_empty_answer_at_once(health, believes):
    """For other filters, it may be a gap during a deployment."""
    assert Query(ORDERS, health=health).believes_empty == believes


def test_queries_for_attributes_check_the_account():
    """As queries for instances do."""
    assert AttributesQuery(ORDERS, "123456789012") == AttributesQuery(ORDERS, "123456789012")
    with pytest.raises(ConfigurationError, match="invalid owner_account '1234'"):
        AttributesQuery(ORDERS, "1234")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("arn:aws:servicediscovery:eu-west-1:123456789012:service/srv-abc", "not an id or ARN"),
        ("srv-abc", "not an id or ARN"),
        ("orders.shop", "If this is a host name, write 'shop/orders'"),
        ("orders.v2.shop", "write 'shop/orders.v2'"),
        ("orders", "Write it like 'shop/orders'"),
    ],
)
def test_the_advice_for_a_name_knows_what_was_meant(text, advice):
    """Ids, ARNs and host names are refused at once, with a hint."""
    with pytest.raises(ConfigurationError, match=f"^invalid service name .*: expected 'namespace/service'.*{advice}"):
        ServiceName.parse(text)


def test_parse_returns_a_name_as_it_is():
    """So that a function may take both."""
    assert ServiceName.parse(ORDERS) is ORDERS


@pytest.mark.parametrize("kind", [Query, AttributesQuery])
@pytest.mark.parametrize("service", ["shop/orders", 5, None])
def test_a_query_is_about_a_service_name(kind, service):
    """Not about a text."""
    with pytest.raises(ConfigurationError, match="^invalid service .*: expected ServiceName"):
        kind(service)
