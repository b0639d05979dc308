"""Host names below a namespace, and the addresses that they resolve to."""

from __future__ import annotations

import pytest

from aiocloudmap import (
    AttributeNotFoundError,
    CloudMap,
    ConfigurationError,
    HealthStatus,
    NoInstancesError,
    ServiceName,
    ServiceNotFoundError,
)
from aiocloudmap.integrations.hostnames import Hostnames
from aiocloudmap.local import LocalCloudMap


@pytest.fixture
def local() -> LocalCloudMap:
    """A local Cloud Map with one service and two instances."""
    local = LocalCloudMap()
    for number in (1, 2):
        attributes = {"AWS_INSTANCE_IPV4": f"10.0.0.{number}", "AVAILABILITY_ZONE": f"zone-{number}"}
        local.world.register("shop/orders", f"orders-{number}", attributes)
    return local


@pytest.fixture
def cloud_map(local) -> CloudMap:
    """A client of that Cloud Map."""
    return local.cloud_map(in_process=True)


async def hosts(hostnames: Hostnames, host: str = "orders.shop") -> list[str]:
    """The addresses to try, in order."""
    found = await hostnames.addresses(host)
    assert found is not None
    return [address.host for address in found]


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("orders.shop", ServiceName("shop", "orders")),
        ("orders.shop.", ServiceName("shop", "orders")),
        ("orders.shop..", ServiceName("shop", "orders")),
        ("ORDERS.Shop", ServiceName("shop", "orders")),
        ("my_orders.v2.shop", ServiceName("shop", "my_orders.v2")),
        ("orders.eu.shop", ServiceName("eu.shop", "orders")),
        ("orders.live.Internal.example", ServiceName("Live.internal.example", "orders")),
        ("shop", None),
        ("eu.shop", ServiceName("shop", "eu")),
        ("orders.workshop", None),
        ("shop.example", None),
        ("orders.shop.example", None),
        ("orders.internal.example", None),
        ("localhost", None),
        ("10.0.0.1", None),
        ("", None),
    ],
)
def test_a_name_below_a_namespace_means_a_service(cloud_map, host, service):
    """Whole labels count, in any case; the longest namespace wins."""
    hostnames = Hostnames(cloud_map, namespaces=("shop", "eu.shop", "Live.internal.example"))
    assert hostnames.service(host) == service


@pytest.mark.parametrize("host", ["-orders.shop", ".shop", "a..shop", "...shop", f"{'a' * 64}.shop", "or ders.shop"])
def test_an_invalid_service_name_is_not_found(cloud_map, host):
    """It is an error here, so that it is never looked up elsewhere."""
    with pytest.raises(ServiceNotFoundError, match="invalid service name"):
        Hostnames(cloud_map, namespaces=("shop",)).service(host)


async def test_other_names_make_no_call(cloud_map, local):
    """They resolve to None."""
    assert await Hostnames(cloud_map, namespaces=("shop",)).addresses("example.com") is None
    assert cloud_map.stats().misses == 0


async def test_each_service_has_its_own_rotation(cloud_map, local):
    """Connections to another service in between do not advance it."""
    local.world.register("shop/payments", "payments-1", {"AWS_INSTANCE_IPV4": "10.0.1.1"})
    hostnames = Hostnames(cloud_map, namespaces=("shop",))
    firsts = []
    for _ in range(4):
        firsts.append((await hosts(hostnames))[0])
        await hostnames.addresses("payments.shop")
    assert sorted(firsts[:2]) == ["10.0.0.1", "10.0.0.2"]
    assert firsts[2:] == firsts[:2]


async def test_the_rotation_starts_at_a_random_instance(cloud_map):
    """Processes that start together do not all begin with the same instance."""
    firsts = {(await hosts(Hostnames(cloud_map, namespaces=("shop",))))[0] for _ in range(100)}
    assert firsts == {"10.0.0.1", "10.0.0.2"}


async def test_instances_in_the_zone_come_first(cloud_map):
    """At each call, so they do not rotate with the others."""
    hostnames = Hostnames(cloud_map, namespaces=("shop",), zone="zone-2")
    assert [await hosts(hostnames) for _ in range(3)] == [["10.0.0.2", "10.0.0.1"]] * 3


async def test_the_health_filter_selects_instances(cloud_map, local):
    """By default the healthy ones, or all if there are none."""
    local.world.set_health("shop/orders", "orders-1", HealthStatus.UNHEALTHY)
    assert await hosts(Hostnames(cloud_map, namespaces=("shop",))) == ["10.0.0.2"]
    assert await hosts(Hostnames(cloud_map, namespaces=("shop",), health="ALL")) == ["10.0.0.2", "10.0.0.1"]
    assert await hosts(Hostnames(cloud_map, namespaces=("shop",), health="unhealthy")) == ["10.0.0.1"]


async def test_each_reason_for_having_no_address_has_its_error(cloud_map, local):
    """A missing service, no instance, and no address."""
    hostnames = Hostnames(cloud_map, namespaces=("shop",))
    local.world.add_service("shop/empty")
    local.world.register("shop/queue", "queue-1", {"QUEUE_URL": "here"})
    with pytest.raises(ServiceNotFoundError):
        await hostnames.addresses("odrers.shop")
    with pytest.raises(NoInstancesError, match=r"shop/empty: the service has no instance\. Register one\.$"):
        await hostnames.addresses("empty.shop")
    with pytest.raises(AttributeNotFoundError, match="no instance has an address"):
        await hostnames.addresses("queue.shop")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"namespaces": "shop"}, r"^invalid namespaces 'shop': expected names like \('shop',\)$"),
        ({"namespaces": None}, "^invalid namespaces None: expected names"),
        ({"namespaces": ()}, "^invalid namespaces: expected at least one name$"),
        ({"namespaces": ("shop", "")}, "^invalid namespace '': expected letters, digits, '_' and '-' joined by dots$"),
        ({"namespaces": (".shop",)}, "^invalid namespace '.shop': expected"),
        ({"namespaces": ("shop.",)}, "^invalid namespace 'shop.': expected"),
        ({"namespaces": ("team/shop",)}, "^invalid namespace 'team/shop': expected"),
        ({"namespaces": (1,)}, "^invalid namespace 1: expected"),
        ({"namespaces": ("shop", "Shop")}, "^invalid namespaces: 'shop' and 'Shop' differ only in case"),
        ({"zone": 1}, r"^invalid zone 1: expected str\. Write zone='eu-west-1a'\.$"),
        ({"health": "WELL"}, "^invalid health filter 'WELL'"),
        ({"cloud_map": "shop"}, r"^invalid cloud_map 'shop': expected CloudMap\. Write CloudMap\(\)\.$"),
    ],
)
def test_invalid_arguments_raise_an_error(cloud_map, settings, message):
    """At construction, not at the first connection."""
    arguments = {"cloud_map": cloud_map, "namespaces": ("shop",)} | settings
    with pytest.raises(ConfigurationError, match=message):
        Hostnames(arguments.pop("cloud_map"), **arguments)


def test_a_repeated_namespace_is_allowed(cloud_map):
    """The list may be merged from several settings."""
    assert Hostnames(cloud_map, namespaces=["shop", "shop"]).service("orders.shop") == ServiceName("shop", "orders")
