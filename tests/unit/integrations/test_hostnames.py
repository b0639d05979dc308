"""Names in URLs: which are Cloud Map's, and what comes of those that are."""

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
from aiocloudmap.integrations.hostnames import UrlNames
from aiocloudmap.local import LocalCloudMap


@pytest.fixture
def local() -> LocalCloudMap:
    """A world with one service of two instances."""
    local = LocalCloudMap()
    for number in (1, 2):
        attributes = {"AWS_INSTANCE_IPV4": f"10.0.0.{number}", "AVAILABILITY_ZONE": f"zone-{number}"}
        local.world.register("shop/orders", f"orders-{number}", attributes)
    return local


@pytest.fixture
def cloud_map(local) -> CloudMap:
    """Asks that world."""
    return local.cloud_map(in_process=True)


async def hosts(names: UrlNames, host: str = "orders.shop") -> list[str]:
    """The hosts to try, in order."""
    found = await names.addresses(host)
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
    """Of the longest namespace that fits, as it was spelled; whole labels only, in any case."""
    names = UrlNames(cloud_map, namespaces=("shop", "eu.shop", "Live.internal.example"))
    assert names.service(host) == service


@pytest.mark.parametrize("host", ["-orders.shop", ".shop", "a..shop", "...shop", f"{'a' * 64}.shop", "or ders.shop"])
def test_a_name_that_no_service_can_have_stays_cloud_maps(cloud_map, host):
    """It is not found, and never looked up elsewhere."""
    with pytest.raises(ServiceNotFoundError, match="invalid service name"):
        UrlNames(cloud_map, namespaces=("shop",)).service(host)


async def test_names_of_others_are_nobodys_here(cloud_map, local):
    """Nothing is asked."""
    assert await UrlNames(cloud_map, namespaces=("shop",)).addresses("example.com") is None
    assert cloud_map.stats().misses == 0


async def test_connections_to_a_service_take_turns_whatever_other_services_do(cloud_map, local):
    """Each service has a rotation of its own."""
    local.world.register("shop/payments", "payments-1", {"AWS_INSTANCE_IPV4": "10.0.1.1"})
    names = UrlNames(cloud_map, namespaces=("shop",))
    firsts = []
    for _ in range(4):
        firsts.append((await hosts(names))[0])
        await names.addresses("payments.shop")
    assert sorted(firsts[:2]) == ["10.0.0.1", "10.0.0.2"]
    assert firsts[2:] == firsts[:2]


async def test_the_rotation_starts_anywhere(cloud_map):
    """Processes that start together do not all begin with the same instance."""
    firsts = {(await hosts(UrlNames(cloud_map, namespaces=("shop",))))[0] for _ in range(100)}
    assert firsts == {"10.0.0.1", "10.0.0.2"}


async def test_the_zone_decides_who_is_first(cloud_map):
    """At each connection."""
    names = UrlNames(cloud_map, namespaces=("shop",), zone="zone-2")
    assert [await hosts(names) for _ in range(3)] == [["10.0.0.2", "10.0.0.1"]] * 3


async def test_health_decides_who_counts(cloud_map, local):
    """As for any other question: the healthy ones, or else all, unless told otherwise."""
    local.world.set_health("shop/orders", "orders-1", HealthStatus.UNHEALTHY)
    assert await hosts(UrlNames(cloud_map, namespaces=("shop",))) == ["10.0.0.2"]
    assert await hosts(UrlNames(cloud_map, namespaces=("shop",), health="ALL")) == ["10.0.0.2", "10.0.0.1"]
    assert await hosts(UrlNames(cloud_map, namespaces=("shop",), health="unhealthy")) == ["10.0.0.1"]


async def test_what_cannot_be_reached_is_told_apart(cloud_map, local):
    """No service, no instance, no address: each by its name."""
    names = UrlNames(cloud_map, namespaces=("shop",))
    local.world.add_service("shop/empty")
    local.world.register("shop/queue", "queue-1", {"QUEUE_URL": "here"})
    with pytest.raises(ServiceNotFoundError):
        await names.addresses("odrers.shop")
    with pytest.raises(NoInstancesError, match=r"shop/empty: the service has no instance\. Register one\.$"):
        await names.addresses("empty.shop")
    with pytest.raises(AttributeNotFoundError, match="no instance has an address"):
        await names.addresses("queue.shop")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"namespaces": "shop"}, r"namespaces='shop' is no collection of names. Write namespaces=\('shop',\)"),
        ({"namespaces": None}, "namespaces=None is no collection"),
        ({"namespaces": ()}, "names none"),
        ({"namespaces": ("shop", "")}, "'' is no namespace that can end a host name"),
        ({"namespaces": (".shop",)}, "'.shop' is no namespace"),
        ({"namespaces": ("shop.",)}, "'shop.' is no namespace"),
        ({"namespaces": ("team/shop",)}, "'team/shop' is no namespace that can end a host name"),
        ({"namespaces": (1,)}, "1 is no namespace"),
        ({"namespaces": ("shop", "Shop")}, "'Shop' and 'shop' are one name in a URL"),
        ({"zone": 1}, "zone=1 is no zone"),
        ({"health": "WELL"}, "invalid health filter 'WELL'"),
        ({"cloud_map": "shop"}, "'shop' is no CloudMap"),
    ],
)
def test_what_cannot_be_is_refused_at_once(cloud_map, settings, message):
    """The first connection would tell too late."""
    arguments = {"cloud_map": cloud_map, "namespaces": ("shop",)} | settings
    with pytest.raises(ConfigurationError, match=message):
        UrlNames(arguments.pop("cloud_map"), **arguments)


def test_a_namespace_may_be_given_twice(cloud_map):
    """Lists come from settings."""
    assert UrlNames(cloud_map, namespaces=["shop", "shop"]).service("orders.shop") == ServiceName("shop", "orders")
