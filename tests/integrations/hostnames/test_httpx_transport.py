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
    """Each library in turn."""
    return {"httpx2": httpx2, "httpx": httpx}[request.param]


@contextlib.asynccontextmanager
async def client(library, stage, *, cloud_map=None, timeout=None, **options):
    """A client that resolves names for every request, unless `limits` allow it to keep connections alive."""
    # A context without certificates, which is created quickly.
    given = {
        "namespaces": NAMESPACES,
        "limits": library.Limits(max_keepalive_connections=0),
        "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    }
    transport = integration.CloudMapTransport(cloud_map or stage.cloud_map, **(given | options))
    async with library.AsyncClient(transport=transport, timeout=timeout) as made:
        yield made


async def test_a_url_reaches_an_instance_at_the_instances_port(stage, library):
    """The server sees the name of the URL, as with DNS."""
    stage.register("a", await stage.serve("a"))
    async with client(library, stage) as http:
        response = await http.get("http://orders.shop/v1/health")
    assert isinstance(response, library.Response)
    assert response.json() == {"id": "a", "host": "orders.shop", "path": "/v1/health"}


async def test_an_instance_without_a_port_is_reached_at_the_urls_port(stage, library):
    """The URL's port is the default."""
    port = await stage.serve("a")
    stage.register("a", None)
    async with client(library, stage) as http:
        assert (await http.get(f"http://orders.shop:{port}/")).json()["host"] == f"orders.shop:{port}"


async def test_new_connections_rotate_over_all_instances(stage, library):
    """A connection that is kept alive stays with its instance."""
    for name in "abc":
        stage.register(name, await stage.serve(name))
    async with client(library, stage) as http:
        served = Counter([(await http.get("http://orders.shop/")).json()["id"] for _ in range(9)])
    assert served == {"a": 3, "b": 3, "c": 3}
    async with client(library, stage, limits=None) as http:
        assert len({(await http.get("http://orders.shop/")).json()["id"] for _ in range(9)}) == 1


async def test_an_instance_that_refuses_connections_is_skipped(stage, library):
    """Wherever the rotation starts."""
    stage.register("a", await stage.serve("a"))
    stage.register("b", stage.refuse())
    stage.register("c", stage.refuse())
    async with client(library, stage) as http:
        assert {(await http.get("http://orders.shop/")).json()["id"] for _ in range(6)} == {"a"}


async def test_an_instance_that_does_not_answer_leaves_time_for_others(stage, library):
    """Each one gets a share of the connect timeout."""
    stage.register("a", stage.swallow(), AVAILABILITY_ZONE="here")
    stage.register("b", await stage.serve("b"))
    # The first instance uses half of it. The rest must suffice for the second one, on a slow machine too.
    async with client(library, stage, zone="here", timeout=library.Timeout(None, connect=3)) as http:
        assert (await http.get("http://orders.shop/")).json()["id"] == "b"


async def test_if_all_instances_refuse_the_library_raises_its_connect_error(stage, library):
    """It says the name and the number of addresses."""
    stage.register("a", stage.refuse())
    stage.register("b", stage.refuse())
    async with client(library, stage) as http:
        with pytest.raises(library.ConnectError, match=r"orders.shop: no instance accepted the connection \(2 tried\)"):
            await http.get("http://orders.shop/")


async def test_if_no_instance_answers_the_library_raises_its_connect_timeout(stage, library):
    """All attempts together take the connect timeout."""
    stage.register("a", stage.swallow())
    # A hit takes no time, so all of the timeout is left for connecting.
    await stage.cloud_map.prefetch("shop/orders")
    async with client(library, stage, timeout=library.Timeout(None, connect=0.05)) as http:
        with pytest.raises(library.ConnectTimeout, match=r"no instance accepted the connection \(1 tried\)"):
            await http.get("http://orders.shop/")


async def test_instances_in_the_zone_are_tried_first(stage, library):
    """The others are used when those fail."""
    stage.register("a", await stage.serve("a"), AVAILABILITY_ZONE="here")
    stage.register("b", await stage.serve("b"), AVAILABILITY_ZONE="there")
    async with client(library, stage, zone="here") as http:
        assert {(await http.get("http://orders.shop/")).json()["id"] for _ in range(4)} == {"a"}


async def test_the_health_filter_selects_instances(stage, library):
    """It is passed on to the service."""
    stage.register("a", await stage.serve("a"))
    stage.register("b", await stage.serve("b"))
    stage.local.world.set_health("shop/orders", "a", "UNHEALTHY")
    for health, name in (("HEALTHY", "b"), ("UNHEALTHY", "a")):
        async with client(library, stage, health=health) as http:
            assert (await http.get("http://orders.shop/")).json()["id"] == name


async def test_tls_checks_the_name_of_the_url(stage, library, trust):
    """SNI and the certificate are for the service's name, at any address."""
    stage.register("a", await stage.serve("a", tls_name="orders.shop"))
    async with client(library, stage, verify=trust) as http:
        assert (await http.get("https://orders.shop/")).json()["host"] == "orders.shop"
    assert stage.server_names == ["orders.shop"]


async def test_a_certificate_for_another_name_is_rejected(stage, library, trust):
    """Being registered does not make an instance trusted."""
    stage.register("a", await stage.serve("a", tls_name="payments.shop"))
    async with client(library, stage, verify=trust) as http:
        with pytest.raises(library.ConnectError, match="payments.shop|not valid for 'orders.shop'"):
            await http.get("https://orders.shop/")


async def test_an_instance_whose_tls_fails_is_skipped(stage, library, trust):
    """A wrong certificate or no TLS at all, like one that refuses connections."""
    stage.register("wrong-name", await stage.serve("wrong-name", tls_name="payments.shop"), AVAILABILITY_ZONE="here")
    stage.register("plain", await stage.serve("plain"), AVAILABILITY_ZONE="here")
    stage.register("refusing", stage.refuse(), AVAILABILITY_ZONE="here")
    stage.register("b", await stage.serve("b", tls_name="orders.shop"))
    async with client(library, stage, verify=trust, zone="here") as http:
        assert {(await http.get("https://orders.shop/")).json()["id"] for _ in range(4)} == {"b"}


async def test_an_instance_silent_in_tls_leaves_time_for_others(stage, library, trust):
    """Each one gets a share of the connect timeout, for TLS too."""
    stage.register("a", stage.mute(), AVAILABILITY_ZONE="here")
    stage.register("b", await stage.serve("b", tls_name="orders.shop"))
    timeout = library.Timeout(None, connect=3)
    async with client(library, stage, verify=trust, zone="here", timeout=timeout) as http:
        assert (await http.get("https://orders.shop/")).json()["id"] == "b"


async def test_if_tls_fails_on_all_instances_the_error_says_why(stage, library, trust):
    """Also if the last one refuses the connection, or none answers."""
    stage.register("a", await stage.serve("a", tls_name="payments.shop"), AVAILABILITY_ZONE="here")
    stage.register("b", stage.refuse())
    async with client(library, stage, verify=trust, zone="here") as http:
        with pytest.raises(library.ConnectError, match=r"orders\.shop: no instance .* \(2 tried\): .*certificate"):
            await http.get("https://orders.shop/")
    stage.local.world.deregister("shop/orders", "a")
    stage.local.world.deregister("shop/orders", "b")
    stage.register("c", stage.mute())
    stage.cloud_map.clear()
    await stage.cloud_map.prefetch("shop/orders")
    async with client(library, stage, verify=trust, timeout=library.Timeout(None, connect=0.05)) as http:
        with pytest.raises(library.ConnectTimeout, match=r"no instance accepted the connection \(1 tried\)$"):
            await http.get("https://orders.shop/")


async def test_certificates_are_checked_by_default(stage, library):
    """With the library's default authorities; `verify=False` turns it off."""
    stage.register("a", await stage.serve("a", tls_name="orders.shop"))
    async with client(library, stage, verify=True) as http:
        with pytest.raises(library.ConnectError, match="(?i)certificate"):
            await http.get("https://orders.shop/")
    async with client(library, stage, verify=False) as http:
        assert (await http.get("https://orders.shop/")).json()["id"] == "a"


async def test_an_ipv6_instance_is_reached(stage, library, ipv6):
    """Its address is in AWS_INSTANCE_IPV6."""
    stage.register("a", await stage.serve("a", host="::1"), host="::1")
    async with client(library, stage) as http:
        assert (await http.get("http://orders.shop/")).json()["id"] == "a"


async def test_an_instances_host_name_is_resolved_by_the_system(stage, library, name_service):
    """It is reached at its own port, and the server sees the URL's name."""
    stage.register("a", await stage.serve("a"), host=None, AWS_INSTANCE_CNAME="balancer.example")
    async with client(library, stage) as http:
        assert (await http.get("http://orders.shop/")).json() == {"id": "a", "host": "orders.shop", "path": "/"}
    assert name_service == ["balancer.example"]


async def test_all_other_names_are_resolved_by_the_system(stage, library, name_service):
    """Cloud Map is not called."""
    port = await stage.serve("a")
    async with client(library, stage) as http:
        assert (await http.get(f"http://example.com:{port}/")).json()["id"] == "a"
        assert (await http.get(f"http://127.0.0.1:{port}/")).json()["id"] == "a"
    assert name_service == ["example.com"]
    assert stage.cloud_map.stats().misses == 0


async def test_a_missing_service_is_a_connect_error(stage, library):
    """With the message and the cause of the CloudMapError."""
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


async def test_a_connect_error_keeps_the_chain_of_causes(stage, library):
    """Down to the backend's own error."""
    broken = OSError("the network is down")

    class Broken:
        async def discover(self, query):
            raise UnavailableError("no answer", service=query.service) from broken

    async with client(library, stage, cloud_map=CloudMap(backend=Broken())) as http:
        with pytest.raises(library.ConnectError) as caught:
            await http.get("http://orders.shop/")
    assert type(caught.value.__cause__) is UnavailableError
    assert caught.value.__cause__.__cause__ is broken


async def test_the_connect_timeout_includes_waiting_for_cloud_map(stage, library):
    """The call continues, and its answer serves the next request."""
    stage.register("a", await stage.serve("a"))
    with stage.local.faults.hold():
        async with client(library, stage, timeout=0.02) as http:
            with pytest.raises(library.ConnectTimeout, match="orders.shop: Cloud Map did not answer within"):
                await http.get("http://orders.shop/")
        stage.local.faults.release()
        async with client(library, stage) as http:
            assert (await http.get("http://orders.shop/")).json()["id"] == "a"
    assert stage.cloud_map.stats().misses == 2
    assert stage.cloud_map.stats().refreshes == 1


async def test_a_discovery_timeout_is_a_connect_timeout(stage, library):
    """So retries on timeouts include it."""
    hasty = stage.local.cloud_map(in_process=True, connections=ConnectionPolicy(discovery_timeout=0.02))
    with stage.local.faults.hang():
        async with client(library, stage, cloud_map=hasty) as http:
            with pytest.raises(library.ConnectTimeout) as caught:
                await http.get("http://orders.shop/")
    assert type(caught.value.__cause__) is DeadlineError


async def test_a_missing_region_stays_a_configuration_error(stage, library):
    """As a connect error it would be retried in vain."""
    async with client(library, stage, cloud_map=CloudMap(shared=False)) as http:
        with pytest.raises(ConfigurationError, match="Region"):
            await http.get("http://orders.shop/")


async def test_a_silent_server_causes_the_librarys_read_timeout(stage, library):
    """After connecting, the library's timeouts apply."""
    stage.register("a", stage.mute())
    async with client(library, stage, timeout=library.Timeout(None, read=0.02)) as http:
        with pytest.raises(library.ReadTimeout):
            await http.get("http://orders.shop/")


async def test_a_full_pool_causes_the_librarys_pool_timeout(stage, library):
    """An unread response keeps its connection. The limits may be of either library."""
    stage.register("a", await stage.serve("a"))
    limits = httpx.Limits(max_connections=1)
    async with client(library, stage, limits=limits, timeout=library.Timeout(None, pool=0.01)) as http:
        async with http.stream("GET", "http://orders.shop/"):
            with pytest.raises(library.PoolTimeout):
                await http.get("http://orders.shop/")
        assert (await http.get("http://orders.shop/")).status_code == 200


async def test_a_response_body_is_streamed(stage, library):
    """The server sends the second part after the client has read the first."""
    stage.register("a", await stage.serve("a"))
    async with client(library, stage) as http:
        async with http.stream("GET", "http://orders.shop/in-parts") as response:
            parts = response.aiter_raw()
            assert await anext(parts) == b"the beginning"
            stage.go_on.set()
            assert await anext(parts) == b"the end"


async def test_a_request_body_is_streamed(stage, library):
    """The client sends the second part after the server has read the first."""
    stage.register("a", await stage.serve("a"))

    async def body():
        yield b"the beginning"
        await stage.began.wait()
        yield b", the end"

    async with client(library, stage) as http:
        response = await http.post("http://orders.shop/upload", content=body())
    assert response.text == "the beginning, the end"


async def test_an_interrupted_body_is_the_librarys_error(stage, library):
    """Errors are translated while the body is read, too."""
    stage.register("a", await stage.serve("a"))
    async with client(library, stage) as http:
        async with http.stream("GET", "http://orders.shop/break-off") as response:
            with pytest.raises((library.RemoteProtocolError, library.ReadError)):
                await response.aread()


async def test_a_closed_transport_can_be_used_again(stage, library):
    """Closing it closes the connections; the next client opens new ones."""
    stage.register("a", await stage.serve("a"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    transport = integration.CloudMapTransport(stage.cloud_map, namespaces=NAMESPACES, verify=context)
    for _ in range(2):
        async with library.AsyncClient(transport=transport) as http:
            response = await http.get("http://orders.shop/")
            sock = response.extensions["network_stream"].get_extra_info("socket")
        assert sock.fileno() == -1
    await transport.aclose()


async def test_cancelling_a_request_that_waits_for_cloud_map_is_clean(stage, library):
    """The next request works."""
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


async def test_it_can_be_mounted_for_some_names(stage, library):
    """Other names keep the client's own transport and proxies."""
    stage.register("a", await stage.serve("a"))
    transport = integration.CloudMapTransport(stage.cloud_map, namespaces=NAMESPACES)
    async with library.AsyncClient(mounts={"all://*.shop": transport}) as http:
        assert (await http.get("http://orders.shop/")).json()["id"] == "a"
