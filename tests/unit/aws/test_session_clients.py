"""Clients from `CloudMap.client()`: which calls share one, which settings apply, what is refused."""

from __future__ import annotations

import errno

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore.config import Config

from aiocloudmap.aws.session import MAX_CLIENTS
from aiocloudmap.errors import ConfigurationError, ServiceNotFoundError


async def test_equal_options_share_a_client(opened):
    """Config objects are compared by value."""
    session = opened()
    views = [await session.client("sqs", config=AioConfig(retries={"max_attempts": 2})) for _ in range(2)]
    others = [
        await session.client("sqs"),
        await session.client("sqs", config=AioConfig(retries={"max_attempts": 3})),
        await session.client("sqs", region_name="eu-west-2"),
        await session.client("sns"),
    ]
    assert views[0] is views[1]
    assert len({id(view) for view in [*others, views[0]]}) == 5


async def test_the_number_of_kept_clients_is_limited(opened, monkeypatch):
    """The least recently used one is dropped."""
    session = opened()
    made = []

    async def create(self, *args, **options):
        made.append(options["region_name"])
        return object()

    monkeypatch.setattr(AioSession, "_create_client", create)
    monkeypatch.setattr("aiobotocore.session.ClientCreatorContext.__aenter__", lambda self: self._coro)
    for number in range(MAX_CLIENTS + 1):
        await session.client("sqs", region_name=f"r-{number}")
    await session.client("sqs", region_name=f"r-{MAX_CLIENTS}")
    await session.client("sqs", region_name="r-0")
    assert made == [f"r-{number}" for number in (*range(MAX_CLIENTS + 1), 0)]


async def test_a_client_keeps_botocores_own_times(opened):
    """A long poll of twenty seconds must work."""
    config = (await opened().client("sqs")).meta.config
    assert (config.connect_timeout, config.read_timeout) == (60, 60)


@pytest.mark.parametrize("config_class", [AioConfig, Config])
async def test_the_callers_config_is_kept(opened, config_class, is_shared):
    """Only the transport is replaced."""
    client = await opened().client("sqs", config=config_class(read_timeout=25, region_name="ap-south-1"))
    assert (client.meta.config.read_timeout, client.meta.region_name, is_shared(client)) == (25, "ap-south-1", True)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        (AioConfig(http_session_cls=type("Own", (AIOHTTPSession,), {})), "http_session_cls"),
        (AioConfig(connector_args={"keepalive_timeout": 5}), "connector_args"),
        ({"read_timeout": 5}, "expected an aiobotocore AioConfig or a botocore Config, not dict"),
    ],
)
async def test_a_config_with_a_transport_of_its_own_is_refused(opened, config, match):
    """The message names the setting."""
    with pytest.raises(ConfigurationError, match=match):
        await opened().client("sqs", config=config)


@pytest.mark.parametrize(
    ("service", "options", "match"),
    [
        ("sqz", {}, "sqz"),
        ("", {}, "does not know the AWS service"),
        ("sqs", {"regoin_name": "eu-west-1"}, "options"),
        ("sqs", {"endpoint_url": "nowhere"}, "endpoint"),
        ("sqs", {"aws_access_key_id": "AKID"}, "half"),
    ],
)
async def test_a_client_that_botocore_cannot_make_is_a_configuration_error(opened, service, options, match):
    """botocore's own error is the cause."""
    with pytest.raises(ConfigurationError, match=match) as caught:
        await opened().client(service, **options)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "handled", [ServiceNotFoundError("not found"), OSError(errno.EMFILE, "x"), OSError(errno.EPIPE, "x")]
)
async def test_an_exception_the_caller_was_handling_is_not_the_reason(opened, handled):
    """An error raised in an except block has that block's error as its context."""
    try:
        raise handled
    except (ServiceNotFoundError, OSError):
        with pytest.raises(ConfigurationError, match=r"\(service_name sqz\)"):
            await opened().client("sqz")


async def test_closing_a_client_closes_nothing(opened, request_of):
    """Others use it. Leaving `async with` does not close it either."""
    session = opened()
    async with await session.client("sqs") as first:
        await first.close()
    assert (await request_of(await session.client("sqs"), "list_queues")).method == "POST"


async def test_a_view_has_all_of_the_clients_attributes(opened):
    """Operations, paginators, waiters, exceptions, meta."""
    client = await opened().client("s3")
    assert client.meta.service_model.service_name == "s3"
    assert client.can_paginate("list_objects_v2")
    assert client.get_paginator("list_objects_v2") is not None
    assert client.get_waiter("bucket_exists") is not None
    assert issubclass(client.exceptions.NoSuchBucket, Exception)
    assert {"get_object", "close"} <= set(dir(client))
    assert repr(client) == "<shared S3 client>"
    with pytest.raises(AttributeError):
        client.no_such_operation  # noqa: B018


async def test_keys_given_as_options_are_used(opened, request_of):
    """They mean a client of their own."""
    client = await opened().client("sqs", aws_access_key_id="AKIDTENANT", aws_secret_access_key="secret")
    request = await request_of(client, "list_queues")
    assert "Credential=AKIDTENANT/" in request.headers["Authorization"].decode()
