from __future__ import annotations

import asyncio
import errno
import functools
import logging
import threading

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore.config import Config
from botocore.loaders import Loader

from aiocloudmap.aws.backend import parameters_of
from aiocloudmap.aws.client_options import by_value
from aiocloudmap.aws.data_loader import quicker
from aiocloudmap.aws.session import MAX_CLIENTS, AwsSession
from aiocloudmap.aws.transport import Transport
from aiocloudmap.errors import ConfigurationError, ServiceNotFoundError
from aiocloudmap.model import Query, ServiceName
from aiocloudmap.settings import ConnectionPolicy

REGION = "eu-west-1"
AWS = "https://data-servicediscovery.eu-west-1.amazonaws.com/"


transport = functools.cache(Transport)  # one per process, as in an application


@pytest.fixture(autouse=True)
def keys(monkeypatch, environment):
    """Static credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def profile(monkeypatch, tmp_path):
    """Writes the shared configuration file."""
    path = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    return path.write_text


def opened(**settings) -> AwsSession:
    """A session that has made nothing yet."""
    defaults = {"region": REGION, "endpoint_url": None, "session_factory": None, "connections": ConnectionPolicy()}
    return AwsSession(transport=transport(), holder=object(), **defaults | settings)


class SentError(Exception):
    """Raised in place of sending."""

    def __init__(self, request) -> None:
        self.request = request


async def request_of(client, operation="discover_instances", **parameters):
    """What the client would have sent."""

    def stop(request, **_):
        raise SentError(request)

    client.meta.events.register("before-send", stop)
    if operation == "discover_instances":
        parameters = parameters_of(Query(ServiceName("shop", "orders")))
    with pytest.raises(SentError) as caught:
        await getattr(client, operation)(**parameters)
    return caught.value.request


def test_making_one_does_nothing():
    """No session, no event loop, no file is needed."""
    opened(session_factory=lambda: pytest.fail("too early"), region=None)


async def test_a_thousand_first_calls_make_one_session_and_one_client():
    """However many come at once."""
    made = []

    def factory():
        made.append(AioSession())
        return made[-1]

    session = opened(session_factory=factory)
    clients = await asyncio.gather(*(session.discovery_client() for _ in range(1000)))
    assert (len(made), len({id(client) for client in clients})) == (1, 1)


def test_six_threads_at_once_make_one_session_and_one_client():
    """A botocore session is not safe for two threads that make clients; they wait their turn."""
    made, clients, together = [], [], threading.Barrier(6, timeout=60)

    def factory():
        made.append(AioSession())
        return made[-1]

    session = opened(session_factory=factory)

    async def ask(number):
        together.wait()
        clients.append(await session.discovery_client())
        await session.client("sqs" if number % 2 else "sts")

    threads = [threading.Thread(target=asyncio.run, args=(ask(number),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(clients), len({id(client) for client in clients})) == (1, 6, 1)


def test_successive_loops_use_the_same_client():
    """It is made once per engine."""
    session = opened()
    assert asyncio.run(session.discovery_client()) is asyncio.run(session.discovery_client())


async def test_a_cancelled_first_call_leaves_nothing_half_made(monkeypatch):
    """The next caller makes the client."""
    entered, create = asyncio.Event(), AioSession.create_client

    class Slow:
        async def __aenter__(self):
            entered.set()
            await asyncio.Event().wait()

    session = opened()
    with monkeypatch.context() as patch:
        patch.setattr(AioSession, "create_client", lambda self, *args, **options: Slow())
        task = asyncio.create_task(session.discovery_client())
        await entered.wait()
        task.cancel()
        await asyncio.wait({task})
    assert AioSession.create_client is create
    assert (task.cancelled(), (await session.discovery_client()).meta.region_name) == (True, REGION)


async def test_one_who_stopped_in_the_middle_does_not_block_the_others(monkeypatch):
    """They say so after a while."""
    monkeypatch.setattr("aiocloudmap.aws.session._TURN_TIMEOUT", 0.02)
    entered = asyncio.Event()

    class Stuck(AioSession):
        def create_client(self, *args, **options):
            return StuckContext()

    class StuckContext:
        async def __aenter__(self):
            entered.set()
            await asyncio.Event().wait()

    session = opened(session_factory=Stuck)
    stuck = asyncio.create_task(session.discovery_client())
    await entered.wait()
    with pytest.raises(TimeoutError, match="never ended"):
        await session.client("sqs")
    stuck.cancel()
    await asyncio.wait({stuck})


async def test_after_a_fork_the_child_makes_clients_of_its_own_accord():
    """A lock that the parent held at that moment does not matter."""
    session = opened()
    client = await session.discovery_client()
    session.forget_after_fork()
    assert await session.discovery_client() is client


# Region


async def test_no_region_says_what_to_set():
    """As early as the first question."""
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
async def test_the_region_comes_from_the_first_place_that_names_one(
    monkeypatch, profile, argument, variables, expected
):
    """The argument, AWS_REGION, AWS_DEFAULT_REGION, the profile; for discovery and for every other client."""
    profile("[default]\nregion = eu-north-1\n")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    session = opened(region=argument)
    regions = [(await session.discovery_client()).meta.region_name, (await session.client("sqs")).meta.region_name]
    assert regions == [expected] * 2


@pytest.mark.parametrize("how", ["default config", "session variable"])
async def test_a_region_that_the_factory_set_wins_over_the_environment(monkeypatch, how):
    """Who makes a session with a Region means it."""
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


async def test_without_an_override_the_data_prefix_is_injected():
    """DiscoverInstances has a host of its own."""
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
async def test_with_any_override_it_is_not(monkeypatch, profile, override, default):
    """Neither for discovery nor for a Cloud Map client of the user's."""
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


async def test_ignored_overrides_are_ignored(monkeypatch):
    """AWS_IGNORE_CONFIGURED_ENDPOINT_URLS brings the prefix back."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert (await request_of(await opened().discovery_client())).url == AWS


async def test_an_override_for_another_service_changes_nothing(monkeypatch):
    """AWS_ENDPOINT_URL_SQS is about SQS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://localhost:4566")
    assert (await request_of(await opened().discovery_client())).url == AWS


async def test_the_endpoint_argument_is_for_cloud_map_alone():
    """Other services stay where they are."""
    session = opened(endpoint_url="http://localhost:4566")
    request = await request_of(await session.client("sqs"), "list_queues")
    assert request.url == "https://sqs.eu-west-1.amazonaws.com/"


@pytest.mark.parametrize("url", ["localhost:4566", "http://", "not a url"])
async def test_an_endpoint_that_is_none_is_a_configuration_error(url):
    """Said before anything is sent."""
    with pytest.raises(ConfigurationError, match="endpoint"):
        await opened(endpoint_url=url).discovery_client()


async def test_a_region_that_is_none_is_a_configuration_error():
    """A slip of the keyboard must not become a host name."""
    with pytest.raises(ConfigurationError, match="Region"):
        await opened(region="eu west 1").discovery_client()


# What discovery sends, and how


async def test_discovery_has_the_times_of_the_policy():
    """And botocore's standard retries, whatever the environment says."""
    policy = ConnectionPolicy(connect_timeout=0.5, read_timeout=1.5, max_attempts=2)
    config = (await opened(connections=policy).discovery_client()).meta.config
    assert (config.connect_timeout, config.read_timeout, config.retries) == (
        0.5,
        1.5,
        {"mode": "standard", "total_max_attempts": 2},
    )


async def test_the_user_agent_names_both_libraries_and_the_app(monkeypatch):
    """What AWS support looks for, once each."""
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "shop")
    request = await request_of(await opened().discovery_client())
    agent = request.headers["User-Agent"].decode()
    assert [agent.count(part) for part in ("aiobotocore/", " botocore/", " lib/aiocloudmap#", " app/shop")] == [1] * 4


async def test_a_user_agent_of_the_applications_own_is_kept():
    """Ours is added to it."""

    def factory():
        session = AioSession()
        session.set_default_client_config(AioConfig(user_agent="shop/1.0", user_agent_extra="blue"))
        return session

    request = await request_of(await opened(session_factory=factory).discovery_client())
    agent = request.headers["User-Agent"].decode()
    assert agent.startswith("shop/1.0 lib/aiocloudmap#")
    assert agent.endswith(" blue")


# The session's own settings


@pytest.mark.parametrize("config_class", [AioConfig, Config])
async def test_the_sessions_default_config_is_kept(config_class):
    """Proxies, say; our own settings go over it, and the connections stay ours."""

    def factory():
        session = AioSession()
        session.set_default_client_config(
            config_class(proxies={"https": "http://proxy:3128"}, read_timeout=77, retries={"mode": "legacy"})
        )
        return session

    session = opened(session_factory=factory)
    discovery, sqs = await session.discovery_client(), await session.client("sqs")
    assert [client.meta.config.proxies for client in (discovery, sqs)] == [{"https": "http://proxy:3128"}] * 2
    assert [client.meta.config.read_timeout for client in (discovery, sqs)] == [2.0, 77]
    assert discovery.meta.config.retries["mode"] == "standard"
    assert [is_shared(client) for client in (discovery, sqs)] == [True, True]


def is_shared(client) -> bool:
    """Whether its connections come from our transport: nothing public tells."""
    return type(client._endpoint.http_session) is not AIOHTTPSession


@pytest.mark.parametrize(
    "default",
    [
        {"http_session_cls": type("Own", (AIOHTTPSession,), {})},
        {"connector_args": {"force_close": True, "keepalive_timeout": None}},
    ],
)
async def test_a_default_config_with_a_transport_is_refused(default):
    """It would open connections that nobody counts."""

    def factory():
        session = AioSession()
        session.set_default_client_config(AioConfig(**default))
        return session

    with pytest.raises(ConfigurationError, match=next(iter(default))):
        await opened(session_factory=factory).discovery_client()


async def test_credentials_set_on_the_session_are_used():
    """Who sets them means them."""

    def factory():
        session = AioSession()
        session.set_credentials("AKIDOWN", "secret")
        return session

    request = await request_of(await opened(session_factory=factory).discovery_client())
    assert "Credential=AKIDOWN/" in request.headers["Authorization"].decode()


async def test_the_credentials_of_the_environment_are_used():
    """The chain of botocore, asked at the first request."""
    request = await request_of(await opened().discovery_client())
    assert "Credential=AKIDEXAMPLE/" in request.headers["Authorization"].decode()


async def test_dropped_credentials_are_read_again(monkeypatch):
    """By the same client."""
    session = opened()
    client = await session.discovery_client()
    await request_of(client)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDNEW")
    session.drop_credentials()
    request = await request_of(client)
    assert "Credential=AKIDNEW/" in request.headers["Authorization"].decode()


async def test_two_engines_may_be_given_one_session(monkeypatch):
    """Each has clients of its own; the credentials are the session's, and either may have them loaded anew."""
    shared = AioSession()
    first, second = (opened(session_factory=lambda: shared) for _ in range(2))
    clients = [await first.discovery_client(), await second.discovery_client()]
    assert clients[0] is not clients[1]
    await request_of(clients[0])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDNEW")
    second.drop_credentials()
    assert "Credential=AKIDNEW/" in (await request_of(clients[0])).headers["Authorization"].decode()


@pytest.mark.parametrize("result", [None, object(), "session"])
async def test_a_factory_that_makes_something_else_is_refused(result):
    """With what it should make."""
    with pytest.raises(ConfigurationError, match="AioSession"):
        await opened(session_factory=lambda: result).discovery_client()


async def test_an_asynchronous_factory_is_refused():
    """Without a coroutine that was never awaited."""

    async def factory():
        return AioSession()

    with pytest.raises(ConfigurationError, match="coroutine"):
        await opened(session_factory=factory).discovery_client()


async def test_a_factory_that_fails_is_named():
    """Its own error is the cause."""

    def factory():
        raise KeyError("tenant")

    with pytest.raises(ConfigurationError, match=r"session_factory failed \(KeyError\)") as caught:
        await opened(session_factory=factory).discovery_client()
    assert isinstance(caught.value.__cause__, KeyError)


async def test_a_profile_that_does_not_exist_is_a_configuration_error(monkeypatch):
    """Named, so that the typing error is seen."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigurationError, match="profile nobody"):
        await opened().discovery_client()


async def test_a_configuration_file_that_is_none_is_a_configuration_error(profile):
    """Before anything is asked."""
    profile("[default\nregion")
    with pytest.raises(ConfigurationError, match="config"):
        await opened().discovery_client()


# Clients of the user's own


async def test_equal_options_share_a_client():
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


async def test_options_that_differ_with_every_request_do_not_pile_up(monkeypatch):
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


async def test_a_client_keeps_botocores_own_times():
    """A long poll of twenty seconds has to work."""
    config = (await opened().client("sqs")).meta.config
    assert (config.connect_timeout, config.read_timeout) == (60, 60)


@pytest.mark.parametrize("config_class", [AioConfig, Config])
async def test_a_config_of_the_callers_is_kept(config_class):
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
async def test_a_config_with_a_transport_of_its_own_is_refused(config, match):
    """It says why, and what to leave out."""
    with pytest.raises(ConfigurationError, match=match):
        await opened().client("sqs", config=config)


@pytest.mark.parametrize(
    ("service", "options", "match"),
    [
        ("sqz", {}, "sqz"),
        ("", {}, "knows no such"),
        (None, {}, "options"),
        ("sqs", {"regoin_name": "eu-west-1"}, "options"),
        ("sqs", {"endpoint_url": "nowhere"}, "endpoint"),
        ("sqs", {"aws_access_key_id": "AKID"}, "half"),
    ],
)
async def test_what_botocore_cannot_make_is_a_configuration_error(service, options, match):
    """With botocore's own words in the cause."""
    with pytest.raises(ConfigurationError, match=match) as caught:
        await opened().client(service, **options)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "handled", [ServiceNotFoundError("not here"), OSError(errno.EMFILE, "x"), OSError(errno.EPIPE, "x")]
)
async def test_what_the_caller_was_handling_is_not_why_a_client_cannot_be_made(handled):
    """A call in an except block carries that block's error as its context."""
    try:
        raise handled
    except (ServiceNotFoundError, OSError):
        with pytest.raises(ConfigurationError, match=r"\(service_name sqz\)"):
            await opened().client("sqz")


async def test_closing_a_client_closes_nothing():
    """Others use it; leaving `async with` is no different."""
    session = opened()
    async with await session.client("sqs") as first:
        await first.close()
    assert (await request_of(await session.client("sqs"), "list_queues")).method == "POST"


async def test_a_view_shows_the_clients_own_things():
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


async def test_keys_given_as_options_are_used():
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


# The models


def test_the_quick_loader_finds_what_botocores_finds():
    """The same model, the same list, the same answer to whether there is one."""
    own = Loader()
    quick = quicker(own)
    assert quick.load_service_model("sqs", "service-2") == own.load_service_model("sqs", "service-2")
    assert list(quick.list_available_services("waiters-2")) == own.list_available_services("waiters-2")
    assert len(quick.list_available_services("service-2")) == len(own.list_available_services("service-2"))
    assert [name in quick.list_available_services("service-2") for name in ("sqs", "sqz", "..", "")] == [
        True,
        False,
        False,
        False,
    ]


def test_a_loader_of_the_applications_own_is_left_alone():
    """Whatever it does differently, it means."""
    own = type("Own", (Loader,), {})()
    assert quicker(own) is own


async def test_models_of_the_user_are_found(monkeypatch, tmp_path):
    """AWS_DATA_PATH goes first, as ever."""
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    session = AioSession()
    assert quicker(session.get_component("data_loader")).search_paths[0] == str(tmp_path)


async def test_nothing_is_logged_above_info(caplog):
    """A client in good health makes no noise."""
    with caplog.at_level(logging.DEBUG):
        await request_of(await opened().discovery_client())
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
