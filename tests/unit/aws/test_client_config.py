"""Clients of the user's own: who shares one, whose settings hold, what is refused."""

from __future__ import annotations

import errno

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore.config import Config

from aiocloudmap.aws.client_config import by_value
from aiocloudmap.aws.session import MAX_CLIENTS
from aiocloudmap.errors import ConfigurationError, ServiceNotFoundError


async def test_equal_options_share_a_client(opened):
    """Config objects are compared by what they say."""
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


async def test_options_that_differ_with_every_request_do_not_pile_up(opened, monkeypatch):
    """The client used longest ago makes room."""
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
    """A long poll of twenty seconds has to work."""
    config = (await opened().client("sqs")).meta.config
    assert (config.connect_timeout, config.read_timeout) == (60, 60)


@pytest.mark.parametrize("config_class", [AioConfig, Config])
async def test_a_config_of_the_callers_is_kept(opened, config_class, is_shared):
    """All but the transport is the caller's business."""
    client = await opened().client("sqs", config=config_class(read_timeout=25, region_name="ap-south-1"))
    assert (client.meta.config.read_timeout, client.meta.region_name, is_shared(client)) == (25, "ap-south-1", True)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        (AioConfig(http_session_cls=type("Own", (AIOHTTPSession,), {})), "http_session_cls"),
        (AioConfig(connector_args={"keepalive_timeout": 5}), "connector_args"),
        ({"read_timeout": 5}, "dict"),
    ],
)
async def test_a_config_with_a_transport_of_its_own_is_refused(opened, config, match):
    """It says why, and what to leave out."""
    with pytest.raises(ConfigurationError, match=match):
        await opened().client("sqs", config=config)


@pytest.mark.parametrize(
    ("service", "options", "match"),
    [
        ("sqz", {}, "sqz"),
        ("", {}, "knows no such"),
        ("sqs", {"regoin_name": "eu-west-1"}, "options"),
        ("sqs", {"endpoint_url": "nowhere"}, "endpoint"),
        ("sqs", {"aws_access_key_id": "AKID"}, "half"),
    ],
)
async def test_what_botocore_cannot_make_is_a_configuration_error(opened, service, options, match):
    """With botocore's own words in the cause."""
    with pytest.raises(ConfigurationError, match=match) as caught:
        await opened().client(service, **options)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "handled", [ServiceNotFoundError("not here"), OSError(errno.EMFILE, "x"), OSError(errno.EPIPE, "x")]
)
async def test_what_the_caller_was_handling_is_not_why_a_client_cannot_be_made(opened, handled):
    """A call in an except block carries that block's error as its context."""
    try:
        raise handled
    except (ServiceNotFoundError, OSError):
        with pytest.raises(ConfigurationError, match=r"\(service_name sqz\)"):
            await opened().client("sqz")


async def test_closing_a_client_closes_nothing(opened, request_of):
    """Others use it; leaving `async with` is no different."""
    session = opened()
    async with await session.client("sqs") as first:
        await first.close()
    assert (await request_of(await session.client("sqs"), "list_queues")).method == "POST"


async def test_a_view_shows_the_clients_own_things(opened):
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
    """One client per identity."""
    client = await opened().client("sqs", aws_access_key_id="AKIDTENANT", aws_secret_access_key="secret")
    request = await request_of(client, "list_queues")
    assert "Credential=AKIDTENANT/" in request.headers["Authorization"].decode()


def test_values_are_told_apart_as_botocore_does():
    """1 is not True, order does not matter in a mapping, and an object that cannot be compared is itself."""
    thing = {"a": [1, {2}], "b": bytearray(b"x")}
    assert by_value(thing) == by_value(dict(reversed(thing.items())))
    assert by_value({"a": 1}) != by_value({"a": True})
    assert by_value(bytearray(b"x")) != by_value(bytearray(b"y"))
