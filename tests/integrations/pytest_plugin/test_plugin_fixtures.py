"""The fixtures in inner sessions, with a program that creates its CloudMap when it is imported."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["pytester"]

PROGRAM = """
from aiocloudmap import CloudMap

cloud_map = CloudMap()
orders = cloud_map.service("shop/orders")

async def find_queue():
    return await orders.attribute("QUEUE_URL")
"""


def settings() -> dict[str, str]:
    """The environment variables that AWS clients read."""
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_") or "proxy" in name.lower()}


@pytest.fixture
def shop(pytester: pytest.Pytester) -> None:
    """A module named shop."""
    pytester.makepyfile(shop=PROGRAM)
    pytester.syspathinsert()


def test_calls_are_not_limited_while_time_stands_still(run):
    """There is no rate limit, but throttling by a fault still slows calls down."""
    result = run(
        """
@pytest.mark.asyncio
async def test_many(cloud_map, cloud_map_world, cloud_map_clock):
    names = [f"shop/orders-{number}" for number in range(300)]
    for name in names:
        cloud_map_world.register(name, "orders-1", {"QUEUE_URL": name})

    async def ask_all():
        async with asyncio.timeout(20):
            for name in names:
                assert await cloud_map.service(name).attribute("QUEUE_URL") == name
                await cloud_map.service(name).attributes()

    await ask_all()
    cloud_map_world.fail("RequestLimitExceeded", next=1)
    for name in names[:2]:
        with pytest.raises(ThrottledError):
            await cloud_map.service(name).resolve(max_age=0)
    assert cloud_map_world.calls["DiscoverInstances"] == 301
    for _ in range(200):
        cloud_map_clock.tick(1)
        await cloud_map.service(names[0]).resolve(max_age=0)
    cloud_map.clear()
    await ask_all()
"""
    )
    result.assert_outcomes(passed=1)


def test_a_cloud_map_created_at_import_uses_the_fake(run, shop):
    """It keeps nothing of the previous test: no answer, instance, fault or throttling."""
    result = run(
        """
import shop

async def test_one(cloud_map_world):
    cloud_map_world.register("shop/orders", "orders-1", {"QUEUE_URL": "one"})
    assert await shop.find_queue() == "one"
    cloud_map_world.fail("RequestLimitExceeded")
    with pytest.raises(ThrottledError):
        await shop.orders.resolve(max_age=0)

async def test_two(cloud_map_world):
    assert shop.orders.peek() is None
    with pytest.raises(NamespaceNotFoundError):
        await shop.find_queue()

async def test_three(cloud_map_world):
    cloud_map_world.register("shop/orders", "orders-1", {"QUEUE_URL": "three"})
    assert await shop.find_queue() == "three"
    assert cloud_map_world.calls["DiscoverInstances"] == 1
    assert shop.cloud_map.stats().refreshes == 1

async def test_without_fixtures_it_asks_aws():
    with pytest.raises(ConfigurationError, match="Region"):
        await shop.find_queue()
""",
        mode="auto",
    )
    result.assert_outcomes(passed=4)


def test_faults_end_with_the_test(run, shop):
    """Errors, a delay and a hang; time passes when the test moves the clock."""
    result = run(
        """
import shop

@pytest.fixture(autouse=True)
def registered(cloud_map_world):
    cloud_map_world.register("shop/orders", "orders-1", {"QUEUE_URL": "here"})

async def test_an_error_twice(cloud_map_world, cloud_map_clock):
    cloud_map_world.fail(next=2, error="RequestLimitExceeded")
    for _ in range(2):
        with pytest.raises(ThrottledError):
            await shop.find_queue()
        cloud_map_clock.tick(60)
    assert await shop.find_queue() == "here"

async def test_a_delay(cloud_map_world, cloud_map_clock):
    cloud_map_world.delay(0.2)
    waiting = asyncio.create_task(shop.find_queue())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    cloud_map_clock.tick(0.2)
    assert await waiting == "here"

async def test_no_answer(cloud_map_world, cloud_map_clock):
    cloud_map_world.hang()
    waiting = asyncio.create_task(shop.find_queue())
    while not cloud_map_world.calls.total:
        await asyncio.sleep(0)
    cloud_map_clock.tick(5)
    with pytest.raises(UnavailableError, match="no answer within 5 s"):
        await waiting

async def test_they_have_ended(cloud_map_world):
    assert await shop.find_queue() == "here"
""",
        mode="auto",
    )
    result.assert_outcomes(passed=4)


def test_all_cloud_maps_share_one_clock(run, shop):
    """The program's own CloudMap, the fixture's and the world."""
    result = run(
        """
import shop

async def test_it(cloud_map, cloud_map_world, cloud_map_clock):
    cloud_map_world.register("shop/orders", "orders-1", {"QUEUE_URL": "one"})
    mine = cloud_map.service("shop/orders")
    assert [await shop.find_queue(), await mine.attribute("QUEUE_URL")] == ["one", "one"]
    cloud_map_world.register("shop/orders", "orders-1", {"QUEUE_URL": "two"})
    assert [await shop.find_queue(), await mine.attribute("QUEUE_URL")] == ["one", "one"]
    cloud_map_clock.tick(61)
    assert [await shop.find_queue(), await mine.attribute("QUEUE_URL")] == ["two", "two"]
    assert cloud_map_world.calls["DiscoverInstances"] == 4
""",
        mode="auto",
    )
    result.assert_outcomes(passed=1)


def test_a_conftest_may_override_the_fixtures(run, shop, pytester):
    """For a prepared world and for real time."""
    pytester.makeconftest("""
import pytest
from aiocloudmap import SYSTEM_CLOCK

@pytest.fixture
def cloud_map_clock():
    return SYSTEM_CLOCK

@pytest.fixture
def cloud_map_world(cloud_map_world):
    cloud_map_world.register("shop/orders", "orders-1", {"QUEUE_URL": "here"})
    return cloud_map_world

@pytest.fixture(autouse=True)
def no_aws(cloud_map_world):
    pass
""")
    result = run(
        """
import shop

async def test_it():
    assert await shop.find_queue() == "here"

async def test_time_runs(cloud_map_world):
    cloud_map_world.delay(0.001)
    assert await shop.find_queue() == "here"
""",
        mode="auto",
    )
    result.assert_outcomes(passed=2)


def test_the_environment_leads_clients_to_the_server(run, shop):
    """A CloudMap created at import, one created in the test, and boto3. Each test has its own server."""
    before = settings()
    result = run(
        """
import boto3
import shop

def ask():
    client = boto3.client("servicediscovery")
    try:
        return client.discover_instances(NamespaceName="shop", ServiceName="orders")["Instances"]
    finally:
        client.close()

@pytest.mark.parametrize("url", ["one", "two"])
async def test_it(cloud_map_server, cloud_map_world, cloud_map_clock, url):
    cloud_map_world.register("shop/orders", "orders-1", {"QUEUE_URL": url})
    assert await shop.find_queue() == url
    assert await CloudMap().service("shop/orders").attribute("QUEUE_URL") == url
    assert ask()[0]["Attributes"] == {"QUEUE_URL": url}
    assert cloud_map_server.stats.calls is cloud_map_world.calls
    assert cloud_map_world.calls["DiscoverInstances"] == 3
    assert cloud_map_server.stats.connections_accepted == 2
    cloud_map_clock.tick(700)
    cloud_map_world.fail("AccessDeniedException", next=1)
    with pytest.raises(aiocloudmap.AccessDeniedError):
        await shop.find_queue()
""",
        mode="auto",
    )
    result.assert_outcomes(passed=2)
    assert settings() == before


def test_the_users_environment_does_not_affect_the_server(run, shop, monkeypatch):
    """Profiles, tokens and proxies are hidden while the test runs."""
    for variable, value in {
        "AWS_PROFILE": "missing",
        "AWS_SESSION_TOKEN": "secret",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "no_proxy": "example.com",
    }.items():
        monkeypatch.setenv(variable, value)
    result = run(
        """
import os
import shop

async def test_it(cloud_map_server, cloud_map_world):
    cloud_map_world.register("shop/orders", "orders-1", {"QUEUE_URL": "here"})
    assert await shop.find_queue() == "here"
    assert os.environ["no_proxy"] == "127.0.0.1,example.com"
    assert "secret" not in os.environ.values()
""",
        mode="auto",
    )
    result.assert_outcomes(passed=1)


def test_a_delay_of_the_server_uses_real_time(run):
    """A synchronous client cannot move the clock while it waits."""
    result = run(
        """
import socket

def test_it(cloud_map_server, cloud_map_world):
    cloud_map_world.delay(0.01)
    cloud_map_world.fail("InternalFailure")
    head = b"POST / HTTP/1.1\\r\\nHost: x\\r\\nX-Amz-Target: Route53AutoNaming_v20170314.DiscoverInstances\\r\\n"
    with socket.create_connection(("127.0.0.1", cloud_map_server.server.port), timeout=10) as connection:
        connection.sendall(head + b"Content-Length: 2\\r\\n\\r\\n{}")
        assert b" 500 " in connection.recv(100)
"""
    )
    result.assert_outcomes(passed=1)


def test_every_fixture_has_a_docstring(run):
    """For `pytest --fixtures`."""
    result = run("def test_it():\n    pass\n", "--fixtures")
    begin = result.outlines.index(next(line for line in result.outlines if "defined from pytest_aiocloudmap" in line))
    own = "\n".join(result.outlines[begin + 1 :]).split("\n---")[0]
    assert [line.split(" -- ")[0] for line in own.splitlines() if " -- " in line] == [
        "cloud_map_clock",
        "cloud_map_world",
        "cloud_map",
        "cloud_map_server",
    ]
    assert "no docstring" not in own
