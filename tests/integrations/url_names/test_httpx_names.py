"""httpx2 and httpx reach services by name, through `CloudMapTransport`."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from types import ModuleType

import pytest

from aiocloudmap import (
    CloudMap,
    ConfigurationError,
    ConnectionPolicy,
    DeadlineError,
    NoInstancesError,
    ServiceNotFoundError,
    UnavailableError,
)

httpx = pytest.importorskip("httpx")
httpx2 = pytest.importorskip("httpx2")
integration = pytest.importorskip("aiocloudmap.integrations.httpx")

NAMESPACES = ("shop",)


@pytest.fixture(params=["httpx2", "httpx"])
def library(request) -> ModuleType:
    """One, then the other."""
    return {"httpx2": httpx2, "httpx": httpx}[request.param]


@contextlib.asynccontextmanager
async def client(library, stage, *, cloud_map=None, timeout=None, **options):
    """A client that asks the stage's CloudMap for every request, as it keeps no connection unless told to."""
    # A context that trusts nobody is made at once.
    given = {
        "namespaces": NAMESPACES,
        "limits": library.Limits(max_keepalive_connections=0),
        "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    }
    transport = integration.CloudMapTransport(cloud_map or stage.cloud_map, **(given | options))
    async with library.AsyncClient(transport=transport, timeout=timeout) as made:
        yield made


async def test_a_url_reaches_an_instance_at_its_own_port(stage, library):
    """The server sees the name, as it would have from DNS."""
    stage.register("a", await stage.serve("a"))
    async with client(library, stage) as http:
        response = await http.get("http://orders.shop/v1/health")
    assert isinstance(response, library.Response)
    assert response.json() == {"id": "a", "host": "orders.shop", "path": "/v1/health"}


async def test_an_instance_that_says_no_port_is_reached_at_the_urls(stage, library):
    """There is no other."""
    port = await stage.serve("a")
    stage.register("a", None)
    async with client(library, stage) as http:
        assert (await http.get(f"http://orders.shop:{port}/")).json()["host"] == f"orders.shop:{port}"


async def test_new_connections_spread_over_all_instances(stage, library):
    """In turns; a connection that is kept asks nobody."""
    for name in "abc":
        stage.register(name, await stage.serve(name))
    async with client(library, stage) as http:
        served = Counter([(await http.get("http://orders.shop/")).json()["id"] for _ in range(9)])
    assert served == {"a": 3, "b": 3, "c": 3}
    async with client(library, stage, limits=None) as http:
        assert len({(await http.get("http://orders.shop/")).json()["id"] for _ in range(9)}) == 1


async def test_an_instance_that_refuses_is_passed_over(stage, library):
    """At every turn."""
    stage.register("a", await stage.serve("a"))
    stage.register("b", stage.refuse())
    stage.register("c", stage.refuse())
    async with client(library, stage) as http:
        assert {(await http.get("http://orders.shop/")).json()["id"] for _ in range(6)} == {"a"}


async def test_an_instance_that_answers_nothing_leaves_time_for_the_next(stage, library):
    """Each may use its share of the time for connecting, not all of it."""
    stage.register("a", stage.swallow(), AVAILABILITY_ZONE="here")
    stage.register("b", await stage.serve("b"))
    async with client(library, stage, zone="here", timeout=library.Timeout(None, connect=0.6)) as http:
        assert (await http.get("http://orders.shop/")).json()["id"] == "b"


async def test_all_instances_refusing_is_the_librarys_connect_error(stage, library):
    """It says which service, and at how many addresses."""
    stage.register("a", stage.refuse())
    stage.register("b", stage.refuse())
    async with client(library, stage) as http:
        with pytest.raises(library.ConnectError, match="orders.shop: none of 2 addresses took the connection"):
            await http.get("http://orders.shop/")


async def test_all_instances_answering_nothing_is_the_librarys_connect_timeout(stage, library):
    """After the time that was allowed for connecting, all attempts together."""
    stage.register("a", stage.swallow())
    async with client(library, stage, timeout=library.Timeout(None, connect=0.05)) as http:
        with pytest.raises(library.ConnectTimeout, match="orders.shop: none of 1 addresses"):
            await http.get("http://orders.shop/")


async def test_instances_of_the_zone_are_tried_first(stage, library):
    """The others stand by."""
    stage.register("a", await stage.serve("a"), AVAILABILITY_ZONE="here")
    stage.register("b", await stage.serve("b"), AVAILABILITY_ZONE="there")
    async with client(library, stage, zone="here") as http:
        assert {(await http.get("http://orders.shop/")).json()["id"] for _ in range(4)} == {"a"}


async def test_health_decides_who_counts(stage, library):
    """As for every question; the transport passes it on."""
    stage.register("a", await stage.serve("a"))
    stage.register("b", await stage.serve("b"))
    stage.local.world.set_health("shop/orders", "a", "UNHEALTHY")
    for health, name in (("HEALTHY", "b"), ("UNHEALTHY", "a")):
        async with client(library, stage, health=health) as http:
            assert (await http.get("http://orders.shop/")).json()["id"] == name


async def test_tls_checks_the_name_of_the_url(stage, library, trust):
    """Server name and certificate are the service's, whatever the address is."""
    stage.register("a", await stage.serve("a", tls_name="orders.shop"))
    async with client(library, stage, verify=trust) as http:
        assert (await http.get("https://orders.shop/")).json()["host"] == "orders.shop"
    assert stage.server_names == ["orders.shop"]


async def test_an_instance_with_somebody_elses_certificate_is_not_talked_to(stage, library, trust):
    """Being registered is no proof of who one is."""
    stage.register("a", await stage.serve("a", tls_name="payments.shop"))
    async with client(library, stage, verify=trust) as http:
        with pytest.raises(library.ConnectError, match="payments.shop|not valid for 'orders.shop'"):
            await http.get("https://orders.shop/")


async def test_certificates_are_checked_unless_told_otherwise(stage, library):
    """By the library's own idea of whom to trust, which knows nothing of this one's issuer."""
    stage.register("a", await stage.serve("a", tls_name="orders.shop"))
    async with client(library, stage, verify=True) as http:
        with pytest.raises(library.ConnectError, match="(?i)certificate"):
            await http.get("https://orders.shop/")
    async with client(library, stage, verify=False) as http:
        assert (await http.get("https://orders.shop/")).json()["id"] == "a"


async def test_an_ipv6_instance_is_reached(stage, library, ipv6):
    """By the address in its own attribute."""
    stage.register("a", await stage.serve("a", host="::1"), host="::1")
    async with client(library, stage) as http:
        assert (await http.get("http://orders.shop/")).json()["id"] == "a"


async def test_an_instance_with_a_host_name_is_looked_up_as_any_host(stage, library):
    """At the instance's own port; its own name is nothing that the server sees."""
    stage.register("a", await stage.serve("a"), host=None, AWS_INSTANCE_CNAME="localhost")
    async with client(library, stage) as http:
        assert (await http.get("http://orders.shop/")).json() == {"id": "a", "host": "orders.shop", "path": "/"}


async def test_all_other_names_are_the_librarys_business(stage, library):
    """Cloud Map is not asked."""
    port = await stage.serve("a")
    async with client(library, stage) as http:
        assert (await http.get(f"http://localhost:{port}/")).json()["id"] == "a"
        assert (await http.get(f"http://127.0.0.1:{port}/")).json()["id"] == "a"
    assert stage.cloud_map.stats().misses == 0


async def test_a_service_that_is_not_there_is_a_connect_error(stage, library):
    """The library's own, in the words and with the cause of this one."""
    stage.local.world.add_service("shop/empty")
    async with client(library, stage) as http:
        for host, cause in (
            ("odrers.shop", ServiceNotFoundError),
            ("empty.shop", NoInstancesError),
            ("-x.shop", ServiceNotFoundError),
        ):
            with pytest.raises(library.ConnectError) as caught:
                await http.get(f"http://{host}/")
            assert type(caught.value.__cause__) is cause
            assert str(caught.value) == str(caught.value.__cause__)
            assert caught.value.request.url.host == host


async def test_an_outage_keeps_the_causes_of_its_error(stage, library):
    """All the way down to whatever broke."""
    broken = OSError("the cable is cut")

    class Cut:
        async def discover(self, query):
            raise UnavailableError("nobody answers", service=query.service) from broken

    async with client(library, stage, cloud_map=CloudMap(backend=Cut())) as http:
        with pytest.raises(library.ConnectError) as caught:
            await http.get("http://orders.shop/")
    assert type(caught.value.__cause__) is UnavailableError
    assert caught.value.__cause__.__cause__ is broken


async def test_waiting_for_cloud_map_is_part_of_the_time_for_connecting(stage, library):
    """Who gives up disturbs nobody: the answer serves the next."""
    stage.register("a", await stage.serve("a"))
    with stage.local.faults.hold():
        async with client(library, stage, timeout=0.02) as http:
            with pytest.raises(library.ConnectTimeout, match="orders.shop: Cloud Map did not answer in time"):
                await http.get("http://orders.shop/")
        stage.local.faults.release()
        async with client(library, stage) as http:
            assert (await http.get("http://orders.shop/")).json()["id"] == "a"
    assert stage.cloud_map.stats().misses == 2
    assert stage.cloud_map.stats().refreshes == 1


async def test_discoverys_own_deadline_is_a_time_out_too(stage, library):
    """Whoever retries those retries this."""
    hasty = stage.local.cloud_map(in_process=True, connections=ConnectionPolicy(discovery_timeout=0.02))
    with stage.local.faults.hang():
        async with client(library, stage, cloud_map=hasty) as http:
            with pytest.raises(library.ConnectTimeout) as caught:
                await http.get("http://orders.shop/")
    assert type(caught.value.__cause__) is DeadlineError


async def test_a_wrong_setting_is_not_taken_for_a_missing_name(stage, library):
    """It would be retried, and never go away."""
    async with client(library, stage, cloud_map=CloudMap(shared=False)) as http:
        with pytest.raises(ConfigurationError, match="Region"):
            await http.get("http://orders.shop/")


async def test_a_silent_server_is_the_librarys_read_timeout(stage, library):
    """Once connected, all time-outs are as they always are."""
    stage.register("a", stage.mute())
    async with client(library, stage, timeout=library.Timeout(None, read=0.02)) as http:
        with pytest.raises(library.ReadTimeout):
            await http.get("http://orders.shop/")


async def test_limits_hold_and_a_full_pool_is_the_librarys_pool_timeout(stage, library):
    """A response that is not read keeps its connection; the limits may be of either library."""
    stage.register("a", await stage.serve("a"))
    limits = httpx.Limits(max_connections=1)
    async with client(library, stage, limits=limits, timeout=library.Timeout(None, pool=0.01)) as http:
        async with http.stream("GET", "http://orders.shop/"):
            with pytest.raises(library.PoolTimeout):
                await http.get("http://orders.shop/")
        assert (await http.get("http://orders.shop/")).status_code == 200


async def test_a_body_is_read_as_it_comes(stage, library):
    """The server sends the end when the beginning has been read."""
    stage.register("a", await stage.serve("a"))
    async with client(library, stage) as http:
        async with http.stream("GET", "http://orders.shop/in-parts") as response:
            parts = response.aiter_raw()
            assert await anext(parts) == b"the beginning"
            stage.go_on.set()
            assert await anext(parts) == b"the end"


async def test_a_body_is_sent_as_it_is_made(stage, library):
    """The client makes the end when the server has got the beginning."""
    stage.register("a", await stage.serve("a"))

    async def body():
        yield b"the beginning"
        await stage.began.wait()
        yield b", the end"

    async with client(library, stage) as http:
        response = await http.post("http://orders.shop/upload", content=body())
    assert response.text == "the beginning, the end"


async def test_a_body_that_breaks_off_is_the_librarys_protocol_error(stage, library):
    """While it is read, not only while it is asked for."""
    stage.register("a", await stage.serve("a"))
    async with client(library, stage) as http:
        async with http.stream("GET", "http://orders.shop/break-off") as response:
            with pytest.raises((library.RemoteProtocolError, library.ReadError)):
                await response.aread()


async def test_closing_closes_and_the_transport_can_be_used_again(stage, library):
    """The next client gets new connections."""
    stage.register("a", await stage.serve("a"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    transport = integration.CloudMapTransport(stage.cloud_map, namespaces=NAMESPACES, verify=context)
    for _ in range(2):
        async with library.AsyncClient(transport=transport) as http:
            response = await http.get("http://orders.shop/")
            sock = response.extensions["network_stream"].get_extra_info("socket")
        assert sock.fileno() == -1
    await transport.aclose()


async def test_cancelling_a_request_that_waits_for_cloud_map_leaves_nothing_behind(stage, library):
    """Nor does it disturb the next."""
    stage.register("a", await stage.serve("a"))
    async with client(library, stage, limits=library.Limits(max_connections=1)) as http:
        with stage.local.faults.hold():
            waiting = asyncio.create_task(http.get("http://orders.shop/"))
            await stage.local.faults.until_held()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            stage.local.faults.release()
        assert (await http.get("http://orders.shop/")).json()["id"] == "a"


async def test_it_can_serve_some_names_of_a_client_only(stage, library):
    """Mounted, it leaves proxies and everything else of the other names alone."""
    stage.register("a", await stage.serve("a"))
    transport = integration.CloudMapTransport(stage.cloud_map, namespaces=NAMESPACES)
    async with library.AsyncClient(mounts={"all://*.shop": transport}) as http:
        assert (await http.get("http://orders.shop/")).json()["id"] == "a"
