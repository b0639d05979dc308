"""aiohttp reaches services by name, through `CloudMapResolver`."""

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
def resting_map() -> CloudMap:
    """One that can be used with no loop running."""
    local = LocalCloudMap()
    local.world.register("shop/orders", "a", {"AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_PORT": "8080"})
    return local.cloud_map(in_process=True)


class Elsewhere(AbstractResolver):
    """Knows one address for every name, and remembers who was asked for."""

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
    """A session that asks the stage's CloudMap for every request, unless it keeps connections."""
    resolver = resolver or CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES)
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=force_close, **options)
    async with aiohttp.ClientSession(connector=connector) as made:
        yield made


async def get(client: aiohttp.ClientSession, url: str) -> dict[str, str]:
    """What the server said."""
    async with client.get(url) as response:
        return await response.json()


async def test_a_url_reaches_an_instance_at_its_own_port(stage):
    """The server sees the name, as it would have from DNS."""
    stage.register("a", await stage.serve("a"))
    async with session(stage) as client:
        said = await get(client, "http://orders.shop/v1/health")
    assert said == {"id": "a", "host": "orders.shop", "path": "/v1/health"}


async def test_an_instance_that_says_no_port_is_reached_at_the_urls(stage):
    """There is no other."""
    port = await stage.serve("a")
    stage.register("a", None)
    async with session(stage) as client:
        assert await get(client, f"http://orders.shop:{port}/") == {
            "id": "a",
            "host": f"orders.shop:{port}",
            "path": "/",
        }


async def test_new_connections_spread_over_all_instances(stage):
    """In turns; a connection that is kept asks nobody."""
    for name in "abc":
        stage.register(name, await stage.serve(name))
    async with session(stage) as client:
        served = Counter([(await get(client, "http://orders.shop/"))["id"] for _ in range(9)])
    assert served == {"a": 3, "b": 3, "c": 3}
    async with session(stage, force_close=False) as client:
        assert len({(await get(client, "http://orders.shop/"))["id"] for _ in range(9)}) == 1


@pytest.mark.parametrize("delay", [None, 0.25], ids=["one after the other", "happy eyeballs"])
async def test_an_instance_that_refuses_is_passed_over(stage, delay):
    """At every turn, with both of aiohttp's ways to connect."""
    stage.register("a", await stage.serve("a"))
    stage.register("b", stage.refuse())
    stage.register("c", stage.refuse())
    async with session(stage, happy_eyeballs_delay=delay) as client:
        assert {(await get(client, "http://orders.shop/"))["id"] for _ in range(6)} == {"a"}


async def test_an_instance_that_answers_nothing_is_passed_over_by_happy_eyeballs(stage):
    """The next is tried beside it after the delay; the one that answers serves."""
    stage.register("a", stage.swallow(), AVAILABILITY_ZONE="here")
    stage.register("b", await stage.serve("b"))
    resolver = CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES, zone="here")
    async with session(stage, resolver=resolver, happy_eyeballs_delay=0.01) as client:
        assert (await get(client, "http://orders.shop/"))["id"] == "b"


async def test_all_instances_refusing_is_the_error_that_aiohttp_gives_for_any_host(stage):
    """Names, counts and retries of the caller go on working."""
    stage.register("a", stage.refuse())
    stage.register("b", stage.refuse())
    async with session(stage) as client:
        with pytest.raises(aiohttp.ClientConnectorError, match="orders.shop"):
            await get(client, "http://orders.shop/")


async def test_instances_of_the_zone_are_tried_first(stage):
    """The others when those refuse."""
    port = stage.refuse()
    stage.register("a", await stage.serve("a"), AVAILABILITY_ZONE="here")
    stage.register("b", await stage.serve("b"), AVAILABILITY_ZONE="there")
    resolver = CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES, zone="here")
    async with session(stage, resolver=resolver) as client:
        assert {(await get(client, "http://orders.shop/"))["id"] for _ in range(4)} == {"a"}
        stage.register("a", port, AVAILABILITY_ZONE="here")
        stage.cloud_map.invalidate()
        assert {(await get(client, "http://orders.shop/"))["id"] for _ in range(4)} == {"b"}


async def test_health_decides_who_counts(stage):
    """As for every question; the resolver passes it on."""
    stage.register("a", await stage.serve("a"))
    stage.register("b", await stage.serve("b"))
    stage.local.world.set_health("shop/orders", "a", "UNHEALTHY")
    for health, name in (("HEALTHY", "b"), ("UNHEALTHY", "a")):
        resolver = CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES, health=health)
        async with session(stage, resolver=resolver) as client:
            assert (await get(client, "http://orders.shop/"))["id"] == name


async def test_tls_checks_the_name_of_the_url(stage, trust):
    """Server name and certificate are the service's, whatever the address is."""
    stage.register("a", await stage.serve("a", tls_name="orders.shop"))
    async with session(stage) as client:
        async with client.get("https://orders.shop/", ssl=trust) as response:
            assert (await response.json())["host"] == "orders.shop"
    assert stage.server_names == ["orders.shop"]


async def test_an_instance_with_somebody_elses_certificate_is_not_talked_to(stage, trust):
    """Being registered is no proof of who one is."""
    stage.register("a", await stage.serve("a", tls_name="payments.shop"))
    async with session(stage) as client:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await client.get("https://orders.shop/", ssl=trust)


async def test_an_instance_with_a_wrong_certificate_is_passed_over(stage, trust):
    """As one that refuses."""
    stage.register("a", await stage.serve("a", tls_name="payments.shop"), AVAILABILITY_ZONE="here")
    stage.register("b", await stage.serve("b", tls_name="orders.shop"))
    resolver = CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES, zone="here")
    async with session(stage, resolver=resolver) as client:
        async with client.get("https://orders.shop/", ssl=trust) as response:
            assert (await response.json())["id"] == "b"


async def test_an_ipv6_instance_is_reached(stage, ipv6):
    """By the address in its own attribute."""
    stage.register("a", await stage.serve("a", host="::1"), host="::1")
    async with session(stage) as client:
        assert (await get(client, "http://orders.shop/"))["id"] == "a"


async def test_a_connector_of_one_family_gets_addresses_of_that_family(stage, ipv6):
    """Of an instance that has both; where none is left the error says so."""
    stage.register("a", await stage.serve("a", host="::1"), host="127.0.0.1", AWS_INSTANCE_IPV6="::1")
    stage.register("b", stage.refuse(), service="old")
    async with session(stage, family=socket.AF_INET6) as client:
        assert (await get(client, "http://orders.shop/"))["id"] == "a"
        with pytest.raises(aiohttp.ClientConnectorDNSError, match="old.shop: no instance has an address of the family"):
            await get(client, "http://old.shop/")


async def test_an_instance_with_a_host_name_is_looked_up_by_the_fallback(stage):
    """At the instance's own port."""
    port = await stage.serve("a")
    stage.register("a", port, host=None, AWS_INSTANCE_CNAME="balancer.example")
    fallback = Elsewhere()
    resolver = CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES, fallback=fallback)
    async with session(stage, resolver=resolver) as client:
        assert (await get(client, "http://orders.shop/")) == {"id": "a", "host": "orders.shop", "path": "/"}
    assert fallback.asked == [("balancer.example", port)]


async def test_a_host_name_that_leads_nowhere_is_passed_over(stage):
    """As an instance that refuses; where there is no other, the fallback's error is the cause."""
    port = await stage.serve("a")
    stage.register("b", port, host=None, AWS_INSTANCE_CNAME="gone.example")
    resolver = CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES, fallback=Elsewhere(fails="gone.example"))
    async with session(stage, resolver=resolver) as client:
        with pytest.raises(aiohttp.ClientConnectorDNSError, match="no host name of its instances leads") as caught:
            await get(client, "http://orders.shop/")
        assert "gone.example is unknown" in str(caught.value.os_error.__cause__)
        assert "gone.example" not in str(caught.value)
        stage.register("a", port)
        stage.cloud_map.invalidate()
        assert {(await get(client, "http://orders.shop/"))["id"] for _ in range(2)} == {"a"}


async def test_all_other_names_are_looked_up_by_the_fallback(stage):
    """Which is the user's, and stays open; Cloud Map is not asked."""
    port = await stage.serve("a")
    fallback = Elsewhere()
    resolver = CloudMapResolver(stage.cloud_map, namespaces=NAMESPACES, fallback=fallback)
    async with session(stage, resolver=resolver) as client:
        assert (await get(client, f"http://example.com:{port}/"))["id"] == "a"
    await resolver.close()
    assert (fallback.asked, fallback.closed) == ([("example.com", port)], False)
    assert stage.cloud_map.stats().misses == 0


async def test_without_a_fallback_the_system_is_asked(stage):
    """In a thread, with whatever else is installed."""
    port = await stage.serve("a")
    async with session(stage) as client:
        assert (await get(client, f"http://localhost:{port}/"))["id"] == "a"


async def test_a_service_that_is_not_there_is_a_name_that_does_not_exist(stage):
    """aiohttp's own error, with the cause in it; no other resolver is tried."""
    stage.local.world.add_service("shop/empty")
    fallback = Elsewhere()
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


async def test_an_outage_is_a_name_that_may_be_there_later(stage):
    """The code of DNS for it, so that a retry of the caller's knows."""
    with stage.local.faults.server_error():
        async with session(stage) as client:
            with pytest.raises(aiohttp.ClientConnectorDNSError) as caught:
                await get(client, "http://orders.shop/")
    assert caught.value.errno == socket.EAI_AGAIN


async def test_a_deadline_of_cloud_maps_is_no_deadline_of_the_call(stage):
    """aiohttp would let a bare TimeoutError through."""
    hasty = stage.local.cloud_map(in_process=True, connections=ConnectionPolicy(discovery_timeout=0.05))
    with stage.local.faults.hang():
        async with session(stage, resolver=CloudMapResolver(hasty, namespaces=NAMESPACES)) as client:
            with pytest.raises(aiohttp.ClientConnectorDNSError) as caught:
                await get(client, "http://orders.shop/")
    assert isinstance(caught.value.os_error.__cause__, DeadlineError)


async def test_a_wrong_setting_is_not_taken_for_a_missing_name():
    """It would be retried, and never go away."""
    resolver = CloudMapResolver(CloudMap(shared=False), namespaces=NAMESPACES)
    with pytest.raises(ConfigurationError, match="Region"):
        await resolver.resolve("orders.shop")


async def test_cancelling_a_request_that_waits_for_cloud_map_leaves_nothing_behind(stage):
    """Nor does it disturb the next."""
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


def test_making_one_needs_no_event_loop_and_one_serves_several(resting_map):
    """It can be made at import, as a CloudMap can."""
    resolver = CloudMapResolver(resting_map, namespaces=NAMESPACES)
    for _ in range(2):
        [found] = asyncio.run(resolver.resolve("orders.shop", 80))
        assert (found["hostname"], found["host"], found["port"]) == ("orders.shop", "10.0.0.1", 8080)
        assert asyncio.run(resolver.resolve("localhost", 80))[0]["host"] == "127.0.0.1"


def test_a_fallback_that_is_none_is_refused(resting_map):
    """The first other name would tell too late."""
    with pytest.raises(ConfigurationError, match="is no resolver"):
        CloudMapResolver(resting_map, namespaces=NAMESPACES, fallback="8.8.8.8")
