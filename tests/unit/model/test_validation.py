"""Checks of arguments, and values in messages."""

import pytest

from aiocloudmap import CachePolicy, CloudMap, ConfigurationError, ConnectionPolicy, ServiceName
from aiocloudmap.local import Faults, LocalBackend, World
from aiocloudmap.model.query import Query
from aiocloudmap.model.validation import safe_repr
from aiocloudmap.testing import ManualClock


async def listen(event):
    """The library would not await this."""


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("region", "eu\nwest", r"^invalid region 'eu\\nwest': expected a name like 'eu-west-1', or None$"),
        ("region", "eu-west-1.evil.example/", "^invalid region 'eu-west-1.evil.example/': expected a name"),
        ("endpoint_url", "http://127.0.0.1:99999", r"^invalid endpoint_url: expected a URL \(Port out of range"),
        ("endpoint_url", "http://[::1", r"^invalid endpoint_url: expected a URL \(Invalid IPv6"),
        ("endpoint_url", "http://host name/", "^invalid endpoint_url: expected an http or https URL"),
        ("endpoint_url", 5000, "^invalid endpoint_url: expected a URL, not int"),
        ("backend", 5, "^invalid backend: expected an object with discover, not int$"),
        ("backend", LocalBackend, "^invalid backend: expected an object with discover, not a class$"),
        ("clock", 5, "^invalid clock: expected an object with monotonic, time, call_later, not int$"),
        ("clock", ManualClock, "^invalid clock: expected .*, not a class$"),
        ("on_event", listen, "^invalid on_event: expected a plain function, not a coroutine function$"),
    ],
)
def test_invalid_arguments_of_a_cloud_map_are_errors(argument, value, message):
    """The message has the argument's name and what is expected."""
    with pytest.raises(ConfigurationError, match=message):
        CloudMap(**{argument: value})


def test_a_password_in_the_endpoint_is_an_error():
    """The message does not show it."""
    with pytest.raises(ConfigurationError, match="^invalid endpoint_url: expected a URL without a user name") as caught:
        CloudMap(endpoint_url="http://me:hunter2@127.0.0.1:5000")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("value", [10**400, float("inf"), float("nan")])
def test_numbers_beyond_the_range_of_float_are_invalid(value):
    """They would cause an overflow later."""
    with pytest.raises(ConfigurationError, match="^invalid read_timeout .*: expected a number of 0.001 or more$"):
        ConnectionPolicy(read_timeout=value)


async def test_max_age_may_be_beyond_the_range_of_float():
    """Any answer is newer."""
    world = World()
    world.register("shop/orders", "one", {})
    orders = CloudMap(backend=LocalBackend(world)).service("shop/orders")
    assert len(await orders.resolve(max_age=10**400)) == 1


async def test_invalidate_accepts_a_service():
    """As prefetch does."""
    world = World()
    world.register("shop/orders", "one", {})
    cloud_map = CloudMap(backend=LocalBackend(world))
    orders = cloud_map.service("shop/orders")
    await orders.resolve()
    assert cloud_map.invalidate(orders) == 1


LONG = 10**400
ENDLESS = [10**5000]
"""Python does not print an int of so many digits. In a list, since pytest would print it in the test's name."""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("shop/orders", "'shop/orders'"),
        ("a\n\x1b[2Jé", r"'a\n\x1b[2J\xe9'"),
        ("x" * 81, f"'{'x' * 77}...'"),
        (5, "5"),
        (LONG, f"1{'0' * 76}..."),
        (ENDLESS, "<list>"),
        (["é\n"], r"['\xe9\n']"),
    ],
)
def test_values_are_escaped_and_shortened(value, text):
    """Strings in quotes, others by their repr."""
    assert safe_repr(value) == text


def test_objects_with_a_broken_repr_are_shown_by_type():
    """The message is about another error."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert safe_repr(Broken()) == "<Broken>"


@pytest.mark.parametrize("value", [LONG, ENDLESS, "x" * 4000, ["x" * 4000]], ids=["int", "ints", "str", "list"])
@pytest.mark.parametrize(
    "refusing",
    [
        lambda value: CachePolicy(ttl=value),
        lambda value: CachePolicy(refresh=value),
        lambda value: ConnectionPolicy(max_connections=value),
        lambda value: ConnectionPolicy(read_timeout=value),
        lambda value: CloudMap(region=value),
        lambda value: CloudMap(cache=value),
        lambda value: CloudMap(connections=value),
        lambda value: ServiceName("shop", value),
        lambda value: ServiceName.parse(value),
        lambda value: Query(ServiceName("shop", "orders"), health=value),
        lambda value: Query(ServiceName("shop", "orders"), owner_account=value),
        lambda value: Faults().fail(value),
        lambda value: Faults().hold(operation=value),
        lambda value: World().register(value, "orders-1"),
    ],
)
def test_messages_shorten_long_values(refusing, value):
    """A line of a log is read by people."""
    with pytest.raises(ConfigurationError) as caught:
        refusing(value)
    assert len(str(caught.value)) < 400
