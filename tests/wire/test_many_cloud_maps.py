"""One CloudMap per request still uses few sockets."""

import asyncio
import ssl
from urllib.parse import urlsplit

import pytest
import trustme
from aiohttp import web
from tests.support.client_sockets import client_sockets, watching

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy
from aiocloudmap.client.registry import registry
from aiocloudmap.local import LocalCloudMap, Quotas, World
from aiocloudmap.local.cloud_map import local_session

CONNECTIONS = ConnectionPolicy(max_connections=8, max_connections_per_host=8, discovery_timeout=60, read_timeout=30)


@pytest.fixture(params=["http", "https"])
def local(request, tmp_path, monkeypatch):
    """A server with 200 services; with TLS it is trusted through AWS_CA_BUNDLE."""
    world = World(quotas=Quotas.unlimited())
    for number in range(200):
        world.register(f"shop/service-{number}", "one", {"QUEUE_URL": f"https://queue/{number}"})
    context = None
    if request.param == "https":
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with LocalCloudMap(world, ssl_context=context) as local:
        yield local


@pytest.fixture
async def twelve_hosts():
    """Twelve HTTP servers, each a host of its own for a connection pool."""

    async def hello(_):
        return web.Response(text="hello")

    runners = []
    for _ in range(12):
        app = web.Application()
        app.router.add_get("/", hello)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
    yield [f"http://127.0.0.1:{runner.addresses[0][1]}/" for runner in runners]
    for runner in runners:
        await runner.cleanup()


async def test_a_thousand_cloud_maps_share_one_session_and_eight_sockets(local, moto_url, twelve_hosts):
    """With 200 services, 200 concurrent requests, two other AWS clients and twelve other hosts."""
    sessions = []

    def session_factory():
        sessions.append(local_session())
        return sessions[-1]

    ports = [urlsplit(url).port for url in (local.endpoint_url, moto_url, *twelve_hosts)]
    permits = asyncio.Semaphore(200)
    kept = []

    async def request(number: int) -> str:
        async with permits:
            cloud_map = CloudMap(
                endpoint_url=local.endpoint_url,
                region="eu-west-1",
                session_factory=session_factory,
                connections=CONNECTIONS,
                on_event=lambda event: None,
            )
            kept.append(cloud_map)
            if number % 20 == 0:
                sqs = await cloud_map.client("sqs", endpoint_url=moto_url)
                await sqs.list_queues()
                sns = await cloud_map.client("sns", endpoint_url=moto_url)
                await sns.list_topics()
            if number % 10 == 1:
                session = await cloud_map.http_session()
                async with session.get(twelve_hosts[number // 10 % 12]) as response:
                    assert await response.text() == "hello"
            return await cloud_map.service(f"shop/service-{number % 200}").attribute("QUEUE_URL")

    async with watching(ports) as peak:
        answers = await asyncio.gather(*(request(number) for number in range(1000)))
    assert answers == [f"https://queue/{number % 200}" for number in range(1000)]
    assert len(sessions) == 1
    assert local.stats.calls["DiscoverInstances"] == 200
    assert 0 < peak.value <= 8
    assert local.stats.connections_peak <= 8
    assert kept[0].stats().open_connections == client_sockets(ports)
    await kept[0].aclose()
    assert client_sockets(ports) == 0


async def test_different_policies_and_listeners_cost_no_connection(local):
    """Policies belong to handles, which share an engine."""
    kept = []
    for ttl in range(1, 101):
        cloud_map = CloudMap(
            endpoint_url=local.endpoint_url,
            region="eu-west-1",
            session_factory=local_session,
            cache=CachePolicy(ttl=ttl),
            on_event=print if ttl % 2 else None,
        )
        kept.append(cloud_map)
        await cloud_map.service("shop/service-1").resolve()
    assert local.stats.connections_peak == 1
    await kept[0].aclose()


async def test_long_polls_of_a_client_do_not_block_discovery():
    """Eight tasks use every connection that clients may have; two stay free for discovery."""
    world = World()
    world.register("shop/orders", "one", {"QUEUE_URL": "https://queue"})
    with LocalCloudMap(world, targets={"AmazonSQS.ReceiveMessage": lambda request: {"Messages": []}}) as local:
        local.faults.hold(operation="AmazonSQS.ReceiveMessage")
        async with local.cloud_map(
            connections=ConnectionPolicy(max_connections=6, max_connections_per_host=6)
        ) as cloud_map:

            async def poll():
                sqs = await cloud_map.client("sqs", endpoint_url=local.endpoint_url)
                return await sqs.receive_message(QueueUrl=f"{local.endpoint_url}/1/orders", WaitTimeSeconds=20)

            polls = [asyncio.create_task(poll()) for _ in range(8)]
            while local.faults.held < 4:
                await asyncio.sleep(0.01)
            for name in ("shop/orders", "shop/nothing"):
                assert await cloud_map.service(name).attribute("QUEUE_URL", default="missing") in (
                    "https://queue",
                    "missing",
                )
            assert local.faults.held == 4
            assert local.stats.connections_peak <= 6
            local.faults.release()
            answers = await asyncio.gather(*polls)
    assert [answer["ResponseMetadata"]["HTTPStatusCode"] for answer in answers] == [200] * 8


async def test_http_sessions_trust_the_ca_bundle_of_the_profile(monkeypatch, tmp_path):
    """As AWS clients do, so they share one connector."""
    (tmp_path / "config").write_text(f"[default]\nca_bundle = {tmp_path / 'ca.pem'}\n")
    for variable, value in {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(variable, value)
    world = World()
    world.register("shop/orders", "one", {})
    with LocalCloudMap(world) as local:
        async with CloudMap(endpoint_url=local.endpoint_url, region="eu-west-1") as cloud_map:
            await cloud_map.service("shop/orders").resolve()
            session = await cloud_map.http_session()
            async with session.get(local.endpoint_url) as response:
                await response.read()
            assert registry.transport().connectors == 1
