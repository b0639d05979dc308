"""CloudMap's arguments are checked where they are given."""

import pytest

from aiocloudmap import CloudMap, ConfigurationError, ConnectionPolicy
from aiocloudmap.local import LocalBackend, World
from aiocloudmap.testing import ManualClock


async def listen(event):
    """Nobody would await this."""


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("region", "eu\nwest", r"region='eu\\nwest' is no Region"),
        ("region", "eu-west-1.evil.example/", "is no Region"),
        ("endpoint_url", "http://127.0.0.1:99999", "is no URL: Port out of range"),
        ("endpoint_url", "http://[::1", "is no URL: Invalid IPv6"),
        ("endpoint_url", "http://host name/", "is no URL"),
        ("endpoint_url", 5000, "is of type int"),
        ("backend", 5, "backend is of type int. Give an object with discover"),
        ("backend", LocalBackend, "backend is a class"),
        ("clock", 5, "clock is of type int. Give an object with monotonic, time, call_later"),
        ("clock", ManualClock, "clock is a class"),
        ("on_event", listen, "on_event is a coroutine function"),
    ],
)
def test_what_cannot_work_is_refused_at_once(argument, value, message):
    """With the argument's name and what would be right."""
    with pytest.raises(ConfigurationError, match=message):
        CloudMap(**{argument: value})


def test_a_password_in_the_endpoint_is_refused_and_not_repeated():
    """AWS requests carry a signature in the header that it would need."""
    with pytest.raises(ConfigurationError, match="has a user name in it") as caught:
        CloudMap(endpoint_url="http://me:hunter2@127.0.0.1:5000")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("value", [10**400, float("inf"), float("nan")])
def test_a_number_that_no_float_holds_is_out_of_range(value):
    """A clear error instead of an overflow somewhere below."""
    with pytest.raises(ConfigurationError, match="out of range"):
        ConnectionPolicy(read_timeout=value)


async def test_a_max_age_beyond_every_float_is_just_very_old():
    """Nothing is older than that."""
    world = World()
    world.register("shop/orders", "one", {})
    orders = CloudMap(backend=LocalBackend(world)).service("shop/orders")
    assert len(await orders.resolve(max_age=10**400)) == 1


async def test_invalidate_takes_a_handle_too():
    """As prefetch does."""
    world = World()
    world.register("shop/orders", "one", {})
    cloud_map = CloudMap(backend=LocalBackend(world))
    orders = cloud_map.service("shop/orders")
    await orders.resolve()
    assert cloud_map.invalidate(orders) == 1
