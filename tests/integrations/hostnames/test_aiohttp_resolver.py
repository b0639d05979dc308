"""aiohttp connects to services by name, through `CloudMapResolver`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

from aiocloudmap import (
    CloudMap,
    ConfigurationError,
    ConnectionPolicy,
    DeadlineError,
    NoInstancesError,
    ServiceNotFoundError,
)
from aiocloudmap.integrations.aiohttp import CloudMapResolver
from aiocloudmap.local import LocalCloudMap

NAMESPACES = ("shop",)


@pytest.fixture
def unconnected() -> CloudMap:
    """A CloudMap that works without a running loop."""
    local = LocalCloudMap()
    local.world.register("shop/orders", "a", {"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_PORT": "8080"})
    return local.cloud_map(in_process=True)


class FixedResolver(AbstractResolver):
    """Resolves every name to one address, and records the names."""

    def __init__(self, host: str = "127.0.0.1", *, fails: str | None = None) -> None:
        self.host = host
        self.fails = fails
        self.asked: list[tuple[str, int]] = []
        self.closed = False

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked.append((host, port))
        if host == self.fails:
            raise socket.gaierror(socket.EAI_NONAME, f"{host} is unknown")
        return await ThreadedResolver().resolve(self.host, port, family)

    async def close(self):
        self.closed = True


@contextlib.asynccontextmanager
async def session(stage, *, resolver=None, force_close=True, **options):
    """A session that resolves names for every request, unless it keeps connections alive."""
    resolver = resolver or CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES)
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=force_close, **options)
    async with aiohttp.ClientSession(connector=connector) as made:
        yield made


async def get(client: aiohttp.ClientSession, url: str) -> dict[str, str]:
    """The server's response."""
    async with client.get(url) as response:
        return await response.json()


async def test_a_url_reaches_an_instance_at_the_instances_port(stage):
    """The server sees the name of the URL, as with DNS."""
    stage.register("a", await stage.serve("a"))
    async with session(stage) as client:
        response = await get(client, "http://orders.shop/v1/health")
    assert response == {"id": "a", "host": "orders.shop", "path": "/v1/health"}


async def test_an_instance_without_a_port_is_reached_at_the_urls_port(stage):
    """The URL's port is the default."""
    port = await stage.serve("a")
    stage.register("a", None)
    async with session(stage) as client:
        assert await get(client, f"http://orders.shop:{port}/") == {
            "id": "a",
            "host": f"orders.shop:{port}",
            "path": "/",
        }


async def test_new_connections_rotate_over_all_instances(stage):
    """A connection that is kept alive stays with its instance."""
    for name in "abc":
        stage.register(name, await stage.serve(name))
    async with session(stage) as client:
        served = Counter([(await get(client, "http://orders.shop/"))["id"] for _ in range(9)])
    assert served == {"a": 3, "b": 3, "c": 3}
    async with session(stage, force_close=False) as client:
        assert len({(await get(client, "http://orders.shop/"))["id"] for _ in range(9)}) == 1


@pytest.mark.parametrize("delay", [None, 0.25], ids=["in order", "happy eyeballs"])
async def test_an_instance_that_refuses_connections_is_skipped(stage, delay):
    """With both of aiohttp's ways to connect."""
    stage.register("a", await stage.serve("a"))
    stage.register("b", stage.refuse())
    stage.register("c", stage.refuse())
    async with session(stage, happy_eyeballs_delay=delay) as client:
        assert {(await get(client, "http://orders.shop/"))["id"] for _ in range(6)} == {"a"}


async def test_happy_eyeballs_skips_an_instance_that_does_not_answer(stage):
    """The next one is tried after the delay."""
    stage.register("a", stage.swallow(), AVAILABILITY_ZONE="here")
    stage.register("b", await stage.serve("b"))
    resolver = CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES, zone="here")
    async with session(stage, resolver=resolver, happy_eyeballs_delay=0.01) as client:
        assert (await get(client, "http://orders.shop/"))["id"] == "b"


async def test_if_all_instances_refuse_aiohttp_raises_its_usual_error(stage):
    """So the caller's metrics and retries work as for any host."""
    stage.register("a", stage.refuse())
    stage.register("b", stage.refuse())
    async with session(stage) as client:
        with pytest.raises(aiohttp.ClientConnectorError, match="orders.shop"):
            await get(client, "http://orders.shop/")


async def test_instances_in_the_zone_are_tried_first(stage):
    """The others are tried when those refuse."""
    port = stage.refuse()
    stage.register("a", await stage.serve("a"), AVAILABILITY_ZONE="here")
    stage.register("b", await stage.serve("b"), AVAILABILITY_ZONE="there")
    resolver = CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES, zone="here")
    async with session(stage, resolver=resolver) as client:
        assert {(await get(client, "http://orders.shop/"))["id"] for _ in range(4)} == {"a"}
        stage.register("a", port, AVAILABILITY_ZONE="here")
        stage.cloud_map.invalidate()
        assert {(await get(client, "http://orders.shop/"))["id"] for _ in range(4)} == {"b"}


async def test_the_health_filter_selects_instances(stage):
    """It is passed on to the service."""
    stage.register("a", await stage.serve("a"))
    stage.register("b", await stage.serve("b"))
    stage.local.world.set_health("shop/orders", "a", "UNHEALTHY")
    for health, name in (("HEALTHY", "b"), ("UNHEALTHY", "a")):
        resolver = CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES, health=health)
        async with session(stage, resolver=resolver) as client:
            assert (await get(client, "http://orders.shop/"))["id"] == name


async def test_tls_checks_the_name_of_the_url(stage, trust):
    """SNI and the certificate are for the service's name, at any address."""
    stage.register("a", await stage.serve("a", tls_name="orders.shop"))
    async with session(stage) as client:
        async with client.get("https://orders.shop/", ssl=trust) as response:
            assert (await response.json())["host"] == "orders.shop"
    assert stage.server_names == ["orders.shop"]


async def test_a_certificate_for_another_name_is_rejected(stage, trust):
    """Being registered does not make an instance trusted."""
    stage.register("a", await stage.serve("a", tls_name="payments.shop"))
    async with session(stage) as client:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await client.get("https://orders.shop/", ssl=trust)


async def test_an_instance_with_a_wrong_certificate_is_skipped(stage, trust):
    """Like one that refuses connections."""
    stage.register("a", await stage.serve("a", tls_name="payments.shop"), AVAILABILITY_ZONE="here")
    stage.register("b", await stage.serve("b", tls_name="orders.shop"))
    resolver = CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES, zone="here")
    async with session(stage, resolver=resolver) as client:
        async with client.get("https://orders.shop/", ssl=trust) as response:
            assert (await response.json())["id"] == "b"


async def test_an_ipv6_instance_is_reached(stage, ipv6):
    """Its address is in AWS_INSTANCE_IPV6."""
    stage.register("a", await stage.serve("a", host="::1"), host="::1")
    async with session(stage) as client:
        assert (await get(client, "http://orders.shop/"))["id"] == "a"


async def test_a_connector_of_one_family_gets_addresses_of_that_family(stage, ipv6):
    """Also of an instance that has both; without any, the error says so."""
    stage.register("a", await stage.serve("a", host="::1"), host="127.0.0.1", AWS_INSTANCE_IPV6="::1")
    stage.register("b", stage.refuse(), service="old")
    async with session(stage, family=socket.AF_INET6) as client:
        assert (await get(client, "http://orders.shop/"))["id"] == "a"
        with pytest.raises(
            aiohttp.ClientConnectorDNSError, match="old.shop: no instance has an address of the requested family"
        ):
            await get(client, "http://old.shop/")


async def test_an_instances_host_name_is_resolved_by_the_fallback(stage):
    """It is reached at the instance's own port."""
    port = await stage.serve("a")
    stage.register("a", port, host=None, AWS_INSTANCE_CNAME="balancer.example")
    fallback = FixedResolver()
    resolver = CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES, fallback=fallback)
    async with session(stage, resolver=resolver) as client:
        assert (await get(client, "http://orders.shop/")) == {"id": "a", "host": "orders.shop", "path": "/"}
    assert fallback.asked == [("balancer.example", port)]


async def test_a_host_name_that_does_not_resolve_is_skipped(stage):
    """Without another instance, the fallback's error is the cause."""
    port = await stage.serve("a")
    stage.register("b", port, host=None, AWS_INSTANCE_CNAME="gone.example")
    resolver = CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES, fallback=FixedResolver(fails="gone.example"))
    async with session(stage, resolver=resolver) as client:
        with pytest.raises(
            aiohttp.ClientConnectorDNSError, match="the host names of its instances could not be resolved"
        ) as caught:
            await get(client, "http://orders.shop/")
        assert "gone.example is unknown" in str(caught.value.os_error.__cause__)
        assert "gone.example" not in str(caught.value)
        stage.register("a", port)
        stage.cloud_map.invalidate()
        assert {(await get(client, "http://orders.shop/"))["id"] for _ in range(2)} == {"a"}


async def test_all_other_names_are_resolved_by_the_fallback(stage):
    """Cloud Map is not called, and closing the resolver leaves the fallback open."""
    port = await stage.serve("a")
    fallback = FixedResolver()
    resolver = CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES, fallback=fallback)
    async with session(stage, resolver=resolver) as client:
        assert (await get(client, f"http://example.com:{port}/"))["id"] == "a"
    await resolver.close()
    assert (fallback.asked, fallback.closed) == ([("example.com", port)], False)
    assert stage.cloud_map.stats().misses == 0


async def test_without_a_fallback_the_system_resolves_other_names(stage, name_service):
    """In a thread, even if aiodns is installed."""
    port = await stage.serve("a")
    async with session(stage) as client:
        assert (await get(client, f"http://example.com:{port}/"))["id"] == "a"
    assert name_service == ["example.com"]


async def test_a_missing_service_is_a_dns_error(stage):
    """It contains the cause, and the fallback is not called."""
    stage.local.world.add_service("shop/empty")
    fallback = FixedResolver()
    resolver = CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES, fallback=fallback)
    async with session(stage, resolver=resolver) as client:
        for host, cause in (
            ("odrers.shop", ServiceNotFoundError),
            ("empty.shop", NoInstancesError),
            ("-x.shop", ServiceNotFoundError),
        ):
            with pytest.raises(aiohttp.ClientConnectorDNSError) as caught:
                await get(client, f"http://{host}/")
            assert caught.value.errno == socket.EAI_NONAME
            assert isinstance(caught.value.os_error.__cause__, cause)
            assert str(caught.value.os_error.__cause__) in str(caught.value)
    assert fallback.asked == []


async def test_an_outage_is_a_temporary_dns_error(stage):
    """With the code of a name server's temporary failure, so that callers may retry."""
    with stage.local.faults.server_error():
        async with session(stage) as client:
            with pytest.raises(aiohttp.ClientConnectorDNSError) as caught:
                await get(client, "http://orders.shop/")
    assert caught.value.errno == socket.EAI_AGAIN


async def test_a_discovery_timeout_is_a_dns_error(stage):
    """aiohttp would pass on a plain TimeoutError as its own."""
    hasty = stage.local.cloud_map(in_process=True, connections=ConnectionPolicy(discovery_timeout=0.05))
    with stage.local.faults.hang():
        async with session(stage, resolver=CloudMapResolver(hasty, namespaces=NAMESPACES)) as client:
            with pytest.raises(aiohttp.ClientConnectorDNSError) as caught:
                await get(client, "http://orders.shop/")
    assert isinstance(caught.value.os_error.__cause__, DeadlineError)


async def test_a_missing_region_stays_a_configuration_error():
    """As a connect error it would be retried in vain."""
    resolver = CloudMapResolver(CloudMap(shared=False), namespaces=NAMESPACES)
    with pytest.raises(ConfigurationError, match="Region"):
        await resolver.resolve("orders.shop")


async def test_cancelling_a_request_that_waits_for_cloud_map_is_clean(stage):
    """The next request works."""
    stage.register("a", await stage.serve("a"))
    async with session(stage) as client:
        with stage.local.faults.hold():
            waiting = asyncio.create_task(get(client, "http://orders.shop/"))
            await stage.local.faults.until_held()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            stage.local.faults.release()
        assert (await get(client, "http://orders.shop/"))["id"] == "a"


def test_one_resolver_works_on_several_loops(unconnected, name_service):
    """Creating it needs no running loop, so it can be created at import."""
    resolver = CloudMapResolver(unconnected, namespaces=NAMESPACES)
    for _ in range(2):
        [found] = asyncio.run(resolver.resolve("orders.shop", 80))
        assert (found["hostname"], found["host"], found["port"]) == ("orders.shop", "10.0.0.1", 8080)
        assert asyncio.run(resolver.resolve("example.com", 80))[0]["host"] == "127.0.0.1"


def test_an_invalid_fallback_raises_an_error(unconnected):
    """At construction, not at the first other name."""
    with pytest.raises(ConfigurationError, match=r"fallback\b.*'8\.8\.8\.8'.*Write fallback=aiohttp"):
        CloudMapResolver(unconnected, namespaces=NAMESPACES, fallback="8.8.8.8")
