"""The local server called by aiobotocore, with each fault."""

from __future__ import annotations

import pytest
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from aiocloudmap.local import LocalCloudMap
from aiocloudmap.local.cloud_map import local_session

NAMES = {"NamespaceName": "shop", "ServiceName": "orders"}


@pytest.fixture
async def local():
    async with LocalCloudMap() as local:
        local.world.register("shop/orders", "a", {"ZONE": "1"})
        local.world.register("shop/orders", "b", {"ZONE": "2"})
        yield local


@pytest.fixture
async def client(local):
    config = AioConfig(inject_host_prefix=False, retries={"total_max_attempts": 1})
    async with local_session().create_client(
        "servicediscovery", endpoint_url=local.endpoint_url, config=config
    ) as client:
        yield client


async def ids(client, **members):
    answer = await client.discover_instances(**NAMES, **members)
    return sorted(each["InstanceId"] for each in answer["Instances"])


async def test_discovery_finds_the_instances_of_the_world(local, client):
    """With and without a query, and after a change."""
    assert await ids(client) == ["a", "b"]
    assert await ids(client, QueryParameters={"ZONE": "2"}) == ["b"]
    local.world.deregister("shop/orders", "b")
    assert await ids(client) == ["a"]
    assert (await client.discover_instances_revision(**NAMES))["InstancesRevision"] == 3


async def test_a_shared_namespace_requires_its_owner(local, client):
    """OwnerAccount is sent over the wire."""
    local.world.register("shared/orders", "c", owner_account="210987654321")
    names = {"NamespaceName": "shared", "ServiceName": "orders"}
    with pytest.raises(client.exceptions.NamespaceNotFound):
        await client.discover_instances(**names)
    assert len((await client.discover_instances(**names, OwnerAccount="210987654321"))["Instances"]) == 1


async def test_more_than_a_thousand_results_are_refused(client):
    """By the service; botocore does not check it."""
    with pytest.raises(client.exceptions.InvalidInput):
        await ids(client, MaxResults=1001)


async def test_connections_are_reused(local, client):
    """Five calls use one connection."""
    for _ in range(5):
        await ids(client)
    assert (local.stats.connections_accepted, local.stats.calls["DiscoverInstances"]) == (1, 5)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("throttle", ClientError),
        ("server_error", ClientError),
        ("expired_token", ClientError),
        ("access_denied", ClientError),
        ("reset", BotoCoreError),
        ("truncate", BotoCoreError),
    ],
)
async def test_a_fault_is_an_error_and_the_next_call_works(local, client, fault, kind):
    """A fault with next=1 affects one call."""
    getattr(local.faults, fault)(next=1)
    with pytest.raises(kind):
        await ids(client)
    assert await ids(client) == ["a", "b"]


async def test_an_empty_body_is_an_answer_without_instances(local, client):
    """botocore raises no error, so callers must check for the member."""
    local.faults.empty(next=1)
    assert "Instances" not in await client.discover_instances(**NAMES)
    assert await ids(client) == ["a", "b"]


async def test_local_session_ignores_the_users_configuration(monkeypatch):
    """Profile, Region and files."""
    monkeypatch.setenv("AWS_PROFILE", "that-is-not-there")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    session = local_session()
    assert session.get_config_variable("region") == "eu-west-1"
    assert (await session.get_credentials()).access_key == "local"
    async with session.create_client("servicediscovery") as client:
        assert client.meta.region_name == "eu-west-1"
