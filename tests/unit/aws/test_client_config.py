"""Region, endpoint and what discovery sends, from all places where an application may set them."""

from __future__ import annotations

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from aiocloudmap.aws.client_config import by_value
from aiocloudmap.aws.transport.transport import Transport
from aiocloudmap.errors import ConfigurationError
from aiocloudmap.model.policy import ConnectionPolicy

AWS = "https://data-servicediscovery.eu-west-1.amazonaws.com/"


@pytest.mark.parametrize(
    ("argument", "variable", "prepared"),
    [
        (None, None, [True]),
        ("https://localhost", None, [True]),
        ("HTTPS://localhost", "http://localhost:1", [True]),
        (None, "http://localhost:1", []),
        ("http://localhost:1", None, []),
    ],
)
async def test_certificates_are_loaded_while_a_client_is_made(opened, monkeypatch, argument, variable, prepared):
    """But not for http, which does not need them."""
    asked = []
    monkeypatch.setattr(Transport, "prepare", lambda self, tls: asked.append(tls.verify))
    if variable is not None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", variable)
    await opened(endpoint_url=argument).discovery_client()
    assert asked == prepared


async def test_the_loaded_certificates_are_those_of_the_client(opened, monkeypatch, profile):
    """Otherwise they would be loaded a second time."""
    asked = []
    monkeypatch.setattr(Transport, "prepare", lambda self, tls: asked.append(tls))
    profile("[default]\nca_bundle = /somewhere/ca.pem\n")
    client = await opened().discovery_client()
    assert asked == [client._endpoint.http_session._tls]


# Region


async def test_a_missing_region_says_what_to_set(opened):
    """At the first call."""
    with pytest.raises(ConfigurationError, match="AWS_REGION"):
        await opened(region=None).discovery_client()


@pytest.mark.parametrize(
    ("argument", "variables", "expected"),
    [
        ("eu-west-1", {"AWS_REGION": "eu-west-2"}, "eu-west-1"),
        (None, {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-2"),
        (None, {"AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
        (None, {}, "eu-north-1"),
    ],
)
async def test_the_region_comes_from_the_first_place_that_sets_it(
    opened, monkeypatch, profile, argument, variables, expected
):
    """The argument, AWS_REGION, AWS_DEFAULT_REGION, the profile; for discovery and for every other client."""
    profile("[default]\nregion = eu-north-1\n")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    session = opened(region=argument)
    regions = [(await session.discovery_client()).meta.region_name, (await session.client("sqs")).meta.region_name]
    assert regions == [expected] * 2


@pytest.mark.parametrize("how", ["default config", "session variable"])
async def test_a_region_that_the_factory_set_wins_over_the_environment(opened, monkeypatch, how):
    """The factory is more specific."""
    monkeypatch.setenv("AWS_REGION", "eu-west-2")

    def factory():
        session = AioSession()
        if how == "default config":
            session.set_default_client_config(AioConfig(region_name="ap-south-1"))
        else:
            session.set_config_variable("region", "ap-south-1")
        return session

    session = opened(region=None, session_factory=factory)
    assert (await session.discovery_client()).meta.region_name == "ap-south-1"


# Endpoint


async def test_without_an_override_the_data_prefix_is_injected(opened, request_of):
    """DiscoverInstances has its own host."""
    client = await opened().discovery_client()
    assert (await request_of(client)).url == AWS


OVERRIDES = {
    "argument": ("", {}, "http://localhost:4566"),
    "variable of the service": ("", {"AWS_ENDPOINT_URL_SERVICEDISCOVERY": "http://localhost:4566"}, None),
    "variable": ("", {"AWS_ENDPOINT_URL": "http://localhost:4566"}, None),
    "profile": ("[default]\nendpoint_url = http://localhost:4566\n", {}, None),
    "services section": (
        "[default]\nservices = mine\n[services mine]\nservicediscovery =\n  endpoint_url = http://localhost:4566\n",
        {},
        None,
    ),
}


@pytest.mark.parametrize("override", OVERRIDES.values(), ids=OVERRIDES)
@pytest.mark.parametrize("default", [None, AioConfig(tcp_keepalive=True)], ids=["", "default config"])
async def test_with_an_override_the_data_prefix_is_not_injected(
    opened, request_of, monkeypatch, profile, override, default
):
    """Neither for discovery nor for the user's Cloud Map client."""
    text, variables, argument = override
    profile(text)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    def factory():
        session = AioSession()
        session.set_default_client_config(default)
        return session

    session = opened(endpoint_url=argument, session_factory=factory)
    clients = [await session.discovery_client(), await session.client("servicediscovery")]
    urls = [(await request_of(client)).url for client in clients]
    assert urls == ["http://localhost:4566/"] * 2


async def test_ignored_overrides_are_ignored(opened, request_of, monkeypatch):
    """AWS_IGNORE_CONFIGURED_ENDPOINT_URLS brings the prefix back."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert (await request_of(await opened().discovery_client())).url == AWS


async def test_an_override_for_another_service_changes_nothing(opened, request_of, monkeypatch):
    """AWS_ENDPOINT_URL_SQS applies to SQS only."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://localhost:4566")
    assert (await request_of(await opened().discovery_client())).url == AWS


async def test_the_endpoint_argument_is_for_cloud_map_alone(opened, request_of):
    """Other services keep their endpoints."""
    session = opened(endpoint_url="http://localhost:4566")
    request = await request_of(await session.client("sqs"), "list_queues")
    assert request.url == "https://sqs.eu-west-1.amazonaws.com/"


@pytest.mark.parametrize("url", ["localhost:4566", "http://", "not a url"])
async def test_an_invalid_endpoint_is_a_configuration_error(opened, url):
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match="endpoint"):
        await opened(endpoint_url=url).discovery_client()


@pytest.mark.parametrize("url", ["ftp://x:hunter2@y", "http://x:hunter2@127.0.0.1", "127.0.0.1:5000", "http://a b"])
@pytest.mark.parametrize(
    ("text", "variable", "where"),
    [
        ("", "AWS_ENDPOINT_URL_SERVICEDISCOVERY", "AWS_ENDPOINT_URL_SERVICEDISCOVERY"),
        ("", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL"),
        ("[default]\nendpoint_url = {url}\n", "", "the profile's endpoint_url"),
    ],
)
async def test_an_invalid_endpoint_of_the_environment_is_refused(
    opened, monkeypatch, profile, text, variable, where, url
):
    """The message names the place, but not the value: it may hold a password."""
    profile(text.format(url=url))
    if variable:
        monkeypatch.setenv(variable, url)
    for made in (opened().discovery_client(), opened().client("servicediscovery")):
        with pytest.raises(ConfigurationError, match=f"^invalid {where}: expected (an http or https|a) URL") as caught:
            await made
        assert "hunter2" not in str(caught.value)


async def test_an_invalid_region_is_a_configuration_error(opened):
    """A typing error must not become a host name."""
    with pytest.raises(ConfigurationError, match="Region"):
        await opened(region="eu west 1").discovery_client()


# What discovery sends, and how


async def test_discovery_has_the_timeouts_of_the_policy(opened):
    """And botocore's standard retries, whatever the environment sets."""
    policy = ConnectionPolicy(connect_timeout=0.5, read_timeout=1.5, max_attempts=2)
    config = (await opened(connections=policy).discovery_client()).meta.config
    assert (config.connect_timeout, config.read_timeout, config.retries) == (
        0.5,
        1.5,
        {"mode": "standard", "total_max_attempts": 2},
    )


async def test_the_user_agent_names_both_libraries_and_the_app(opened, request_of, monkeypatch):
    """Once each. AWS support looks for them."""
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "shop")
    request = await request_of(await opened().discovery_client())
    agent = request.headers["User-Agent"].decode()
    assert [agent.count(part) for part in ("aiobotocore/", " botocore/", " lib/aiocloudmap#", " app/shop")] == [1] * 4


async def test_the_applications_own_user_agent_is_kept(opened, request_of):
    """Ours is appended to it."""

    def factory():
        session = AioSession()
        session.set_default_client_config(AioConfig(user_agent="shop/1.0", user_agent_extra="blue"))
        return session

    request = await request_of(await opened(session_factory=factory).discovery_client())
    agent = request.headers["User-Agent"].decode()
    assert agent.startswith("shop/1.0 lib/aiocloudmap#")
    # Not at the end: a library that another test imports appends to the agent of every session.
    assert " blue" in agent


# Options of clients


def test_options_are_compared_as_botocore_uses_them():
    """1 is not True, a mapping has no order, and an unhashable object equals only itself."""
    thing = {"a": [1, {2}], "b": bytearray(b"x")}
    assert by_value(thing) == by_value(dict(reversed(thing.items())))
    assert by_value({"a": 1}) != by_value({"a": True})
    assert by_value(bytearray(b"x")) != by_value(bytearray(b"y"))


@pytest.mark.parametrize("variable", ["AWS_SDK_UA_APP_ID", "AWS_EXECUTION_ENV"])
async def test_the_user_agent_is_cleaned(opened, request_of, monkeypatch, variable):
    """A line break in a header would end every call. botocore cleans its own agents in the same way."""
    monkeypatch.setenv(variable, "shop\nblue")
    agent = (await request_of(await opened().discovery_client())).headers["User-Agent"]
    assert "/shop-blue" in agent.decode()


async def test_a_region_with_a_line_break_is_refused(opened):
    """Every host name and signature would have it."""
    with pytest.raises(ConfigurationError, match=r"invalid Region 'eu-west-1\\n'"):
        await opened(region="eu-west-1\n").discovery_client()
