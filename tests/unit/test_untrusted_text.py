"""Untrusted ids, names and attributes in URLs, messages and reprs."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from aiocloudmap import ConfigurationError
from aiocloudmap.errors import AttributeNotFoundError, CloudMapError, InvalidAttributeError
from aiocloudmap.model.instance import Instance
from aiocloudmap.model.query import Query, ServiceName

ORDERS = ServiceName("shop", "orders")
HOSTILE = [
    "user@evil.example",
    "user:word@evil.example",
    "evil.example/",
    "evil.example/path",
    "evil.example?query",
    "evil.example#fragment",
    "evil.example\\@good.example",
    "evil.example:80",
    "evil.example\r\nX-Evil: 1",
    "evil.example\n",
    "evil.example\x00",
    "evil.example\t",
    " evil.example",
    "\x1b[31mevil.example",
    "evil%2eexample",
    "%65vil.example",
    "[::1]",
    "::1%eth0",
    "fe80::1%25eth0",
    "//evil.example",
    "http://evil.example",
    "\u0435vil.example",
    "evil。example",
    "-evil.example",
    "evil..example",
    "../../etc/passwd",
    "127.0.0.1\n",
    "10.0.0.1 ",
]


@pytest.mark.parametrize("key", ["AWS_INSTANCE_IPV4", "AWS_INSTANCE_IPV6", "AWS_INSTANCE_CNAME"])
@pytest.mark.parametrize("value", HOSTILE)
def test_only_hosts_are_valid_as_hosts(key, value):
    """Credentials, paths, line breaks, escapes and other alphabets are not, and not shown."""
    instance = Instance("i-1", ORDERS, attributes={key: value})
    with pytest.raises(InvalidAttributeError) as caught:
        instance.url()
    assert value not in str(caught.value)
    with pytest.raises(InvalidAttributeError):
        assert instance.hosts


@pytest.mark.parametrize("dot", ["", "."])
@pytest.mark.parametrize(
    "value",
    [
        "1",
        "0",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0X7F000001",
        "0x",
        "010.0.0.1",
        "0177.0.0.1",
        "999.1.1.1",
        "1.2.3.4.5",
        "evil.example.1",
        "evil.example.0xa",
    ],
)
def test_addresses_in_unusual_forms_are_not_host_names(value, dot):
    """URL parsers and inet_aton would read some of them as IPv4 addresses."""
    with pytest.raises(InvalidAttributeError, match="invalid AWS_INSTANCE_CNAME of instance i-1: expected an "):
        assert Instance("i-1", ORDERS, attributes={"AWS_INSTANCE_CNAME": value + dot}).host


@pytest.mark.parametrize("value", ["10.0.0.1", "orders-1", "1.orders", "0xorders", "10.0.0.1.nip.io", "3com.", "1-0"])
def test_host_names_may_start_with_a_number(value):
    """As in URLs. A plain IPv4 address is valid, too."""
    assert Instance("i-1", ORDERS, attributes={"AWS_INSTANCE_CNAME": value}).host == value


@given(st.text(max_size=40), st.sampled_from(["AWS_INSTANCE_IPV4", "AWS_INSTANCE_IPV6", "AWS_INSTANCE_CNAME"]))
def test_a_url_has_the_host_of_the_attribute(value, key):
    """For the standard library and for yarl."""
    instance = Instance("i-1", ORDERS, attributes={key: value, "AWS_INSTANCE_PORT": "8080"})
    try:
        url = instance.url("https", "/v1")
    except (InvalidAttributeError, AttributeNotFoundError):
        return
    for host, port, user in (
        (urlsplit(url).hostname, urlsplit(url).port, urlsplit(url).username),
        (URL(url).raw_host, URL(url).port, URL(url).user),
    ):
        assert (host.rstrip("."), port, user) == (instance.host.lower().rstrip("."), 8080, None)


@given(st.text(max_size=40))
def test_no_path_changes_the_host_of_a_url(path):
    """Paths that cannot be in a request line are errors."""
    instance = Instance("i-1", ORDERS, attributes={"AWS_INSTANCE_IPV4": "10.0.0.1"})
    try:
        url = instance.url("http", path)
    except ConfigurationError:
        return
    assert (urlsplit(url).netloc, urlsplit(url).scheme) == ("10.0.0.1", "http")
    assert (URL(url).host, URL(url).user) == ("10.0.0.1", None)
    assert url.isprintable()
    assert " " not in url


@pytest.mark.parametrize("path", ["@evil.example", "//evil.example", ":80@evil.example", "..//evil", "?a=b", "#a", "ä"])
def test_an_unusual_path_stays_a_path(path):
    """The authority ends before it."""
    url = Instance("i-1", ORDERS, attributes={"AWS_INSTANCE_IPV4": "10.0.0.1"}).url(path=path)
    assert urlsplit(url).netloc == "10.0.0.1"
    assert url.endswith(path)


@pytest.mark.parametrize("path", ["/a\r\nX: 1", "/a b", "\\evil.example", "/\x1b[31m", "/a\u202eb", "/\x7f", "\t"])
def test_a_path_with_special_characters_is_an_error(path):
    """It is not shown, since it may be the value of an attribute."""
    with pytest.raises(ConfigurationError, match="^invalid path: .* must be percent-encoded") as caught:
        Instance("i-1", ORDERS, attributes={"AWS_INSTANCE_IPV4": "10.0.0.1"}).url(path=path)
    assert str(caught.value).isprintable()
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize(
    "scheme", [5, None, "", "http:", "http://evil.example/?", "a b", "1http", "http\n", "javascript:x//", "é"]
)
def test_an_invalid_scheme_is_an_error(scheme):
    """It would change the meaning of the URL."""
    with pytest.raises(ConfigurationError, match="^invalid scheme .*: expected one like 'https'$"):
        Instance("i-1", ORDERS, attributes={"AWS_INSTANCE_IPV4": "10.0.0.1"}).url(scheme)


@pytest.mark.parametrize("path", [5, None, b"/health"])
def test_a_path_must_be_a_string(path):
    """The message has its type."""
    with pytest.raises(ConfigurationError, match=f"^invalid path: expected a string .*, not {type(path).__name__}$"):
        Instance("i-1", ORDERS, attributes={"AWS_INSTANCE_IPV4": "10.0.0.1"}).url("http", path)


def test_messages_and_reprs_are_one_printable_line():
    """Endpoints other than AWS may return any id and key."""
    instance = Instance(
        "i\r\n2026 ERROR forged\x1b[2J", ORDERS, attributes={"AWS_INSTANCE_IPV4": "x", "K\x9b\u202e": ""}
    )
    with pytest.raises(InvalidAttributeError) as wrong:
        instance.url()
    with pytest.raises(AttributeNotFoundError) as missing:
        Instance(instance.id, ORDERS, attributes={"K\x9b\u202e\ud800": ""}).url()
    for caught in (wrong, missing):
        assert str(caught.value).isprintable()
        assert repr(caught.value).isprintable()
    assert r"i\r\n2026 ERROR forged\x1b[2J" in str(wrong.value)
    assert repr(instance).isprintable()
    assert str(CloudMapError("größer als 5, ja")) == "größer als 5, ja"


def test_the_repr_of_a_query_has_no_values():
    """Events carry queries into logs."""
    query = Query(ORDERS, "HEALTHY", {"TOKEN": "hidden"}, {"ZONE": "hidden"}, "123456789012")
    shown = "<Query shop/orders, HEALTHY, where ['TOKEN'], prefer ['ZONE'], owned by 123456789012>"
    assert repr(query) == shown
    assert repr(Query(ORDERS)) == "<Query shop/orders, HEALTHY_OR_ELSE_ALL>"
