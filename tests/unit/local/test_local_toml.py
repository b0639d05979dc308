"""Worlds described in TOML, and the errors for invalid files."""

from __future__ import annotations

import pytest

from aiocloudmap import ConfigurationError
from aiocloudmap.local import World

GOOD = """
[shop.orders]
attributes = { OWNER = "team-a" }
unhealthy = ["orders-2"]
[shop.orders.instances.orders-1]
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
[shop.orders.instances.orders-2]
unhealthy = "an attribute like any other"
health = "too"
["shop.internal"."v1.orders"]
health_check = true
["shop.internal"."v1.orders".instances."10.0.0.1:80"]
[shared.orders]
owner_account = "210987654321"
[shared.orders.instances.a]
"""


def test_a_file_describes_a_world(tmp_path):
    """Services, their attributes, instances and their health; quoted names with dots; shared namespaces."""
    file = tmp_path / "services.toml"
    file.write_text(GOOD)
    for source in (file, str(file), GOOD):
        world = World.from_toml(source)
        assert [str(name) for name in world.services()] == ["shared/orders", "shop/orders", "shop.internal/v1.orders"]
        first, second = world.instances("shop/orders")
        assert (first.health, second.health) == ("HEALTHY", "UNHEALTHY")
        assert dict(second.attributes) == {"unhealthy": "an attribute like any other", "health": "too"}
        assert world.instances("shop.internal/v1.orders")[0].health == "HEALTHY"
        assert world.instances("shared/orders", owner_account="210987654321")[0].health == "UNKNOWN"


def test_a_service_has_its_own_attributes(clock):
    """GetServiceAttributes returns them."""
    world = World.from_toml(GOOD, clock=clock)
    owned = [{"Name": "RESOURCE_OWNER", "Values": ["SELF"]}]
    services = {each["Name"]: each["Id"] for each in world.call("ListServices", {"Filters": owned})["Services"]}
    answer = world.call("GetServiceAttributes", {"ServiceId": services["orders"]})
    assert answer["ServiceAttributes"]["Attributes"] == {"OWNER": "team-a"}


def test_settings_are_passed_to_the_world(clock):
    """Such as clock and account."""
    assert World.from_toml(GOOD, clock=clock, account="111111111111").account == "111111111111"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[shop.orders]\nattributes =\n", ["is not TOML", "line 2"]),
        ("[shop.orders\n", ["is not TOML", "line 1"]),
        ("[shop.orders]\n[shop.orders]\n", ["is not TOML"]),
        ("shop = 1\n", ["[shop]", "a number"]),
        ("[shop]\norders = 'x'\n", ["[shop.orders]", "a string"]),
        ("[shop.orders]\nattribute = {}\n", ["[shop.orders]", "'attribute'", "did you mean 'attributes'?"]),
        ("[shop.orders]\ncolour = 'red'\n", ["'colour'", "attributes, health_check, instances"]),
        ("[shop.orders]\nattributes = []\n", ["[shop.orders.attributes]", "a list"]),
        ("[shop.orders]\nhealth_check = 'yes'\n", ["health_check", "true or false"]),
        ("[shop.orders]\nunhealthy = 'a'\n", ["unhealthy", "list of instance ids"]),
        ("[shop.orders]\nunhealthy = ['a']\n", ["invalid unhealthy 'a'", "instances []"]),
        (
            "[shop.orders]\nhealth_check = false\nunhealthy = ['a']\n[shop.orders.instances.a]\n",
            ["health_check = true"],
        ),
        ("[shop.orders]\nowner_account = 1\n", ["owner_account", "twelve digits"]),
        ("[shop.orders.instances]\na = 'x'\n", ["[shop.orders.instances.a]", "a table of attributes"]),
        ("[shop.orders.instances.a]\nPORT = 80\n", ["[shop.orders.instances.a]", "PORT", "in quotes"]),
        ("[shop.orders.instances.a]\nSINCE = 2020-01-01\n", ["a date or time"]),
        ("[shop.orders.instances.a]\nON = true\n", ["a boolean"]),
        ("[shop.orders.instances.'with space']\n", ['instances."with space"', "letters, digits"]),
        ("[shop.orders.instances.a]\nKEY = 'ä'\n", ["[shop.orders.instances.a]", "KEY"]),
        ("[shop.orders.instances.a]\n'a b' = 'x'\n", ["a b"]),
        ("[shop.'-orders']\n", ["-orders", "labels of letters"]),
        ("['the shop'.orders]\n", ["the shop", "printable ASCII"]),
        ("[shop.orders.attributes]\nKEY = 1\n", ["[shop.orders.attributes]", "KEY", "in quotes"]),
        (
            "[shop.orders.attributes]\n" + "\n".join(f"K{n} = ''" for n in range(31)),
            ["[shop.orders]", "up to 30"],
        ),
    ],
)
def test_an_error_names_the_place_and_the_fix(tmp_path, text, expected):
    """The file's name, the line or table, and what was expected."""
    file = tmp_path / "services.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        World.from_toml(file)
    for words in ["services.toml", *expected]:
        assert words in str(caught.value)


def test_an_unreadable_file_is_a_configuration_error(tmp_path):
    """A missing file, a folder, and one that is not UTF-8."""
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    for path, reason in ((tmp_path / "missing.toml", "No such file"), (tmp_path, "directory"), (binary, "UTF-8")):
        with pytest.raises(ConfigurationError, match=reason) as caught:
            World.from_toml(path)
        assert str(path) in str(caught.value)


def test_an_empty_file_is_an_empty_world(tmp_path):
    """It has no services."""
    file = tmp_path / "services.toml"
    file.write_text("")
    assert World.from_toml(file).services() == ()
