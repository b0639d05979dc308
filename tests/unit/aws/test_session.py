"""The session of one engine: made once, with the settings of the application."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore.config import Config

from aiocloudmap.errors import ConfigurationError

REGION = "eu-west-1"


def test_constructing_it_does_nothing(opened):
    """It needs no session, no event loop and no file."""
    opened(session_factory=lambda: pytest.fail("called too early"), region=None)


async def test_a_thousand_first_calls_make_one_session_and_one_client(opened):
    """The others wait for the first one."""
    made = []

    def factory():
        made.append(AioSession())
        return made[-1]

    session = opened(session_factory=factory)
    clients = await asyncio.gather(*(session.discovery_client() for _ in range(1000)))
    assert (len(made), len({id(client) for client in clients})) == (1, 1)


def test_six_threads_at_once_make_one_session_and_one_client(opened):
    """A botocore session is not safe for two threads that make clients, so one waits for the other."""
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


def test_successive_loops_use_the_same_client(opened):
    """One client per engine."""
    session = opened()
    assert asyncio.run(session.discovery_client()) is asyncio.run(session.discovery_client())


async def test_a_cancelled_first_call_leaves_nothing_half_made(opened, monkeypatch):
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


async def test_a_caller_that_never_finishes_does_not_block_others_forever(opened, monkeypatch):
    """They fail after a time-out."""
    monkeypatch.setattr("aiocloudmap.aws.session._LOCK_TIMEOUT", 0.02)
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
    with pytest.raises(TimeoutError, match="did not finish"):
        await session.client("sqs")
    stuck.cancel()
    await asyncio.wait({stuck})


async def test_a_forked_child_does_not_wait_for_the_parent(opened):
    """A lock that the parent held at that moment does not matter, and clients stay."""
    session = opened()
    client = await session.discovery_client()
    session.forget_after_fork()
    assert await session.discovery_client() is client


@pytest.mark.parametrize("name", [[], {}, 5, None, b"sqs"])
async def test_a_service_name_that_is_not_a_string_is_refused(opened, name):
    """The message says what is expected."""
    with pytest.raises(
        ConfigurationError, match="^invalid AWS service .*: expected botocore's name of one, like 'sqs'$"
    ):
        await opened().client(name)


# The session's own settings


@pytest.mark.parametrize("config_class", [AioConfig, Config])
async def test_the_sessions_default_config_is_kept(opened, config_class, is_shared):
    """For example proxies. Our own settings take precedence, and the connections stay ours."""

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


@pytest.mark.parametrize(
    "default",
    [
        {"http_session_cls": type("Own", (AIOHTTPSession,), {})},
        {"connector_args": {"force_close": True, "keepalive_timeout": None}},
    ],
)
async def test_a_default_config_with_a_transport_is_refused(opened, default):
    """It would open connections outside of the bound."""

    def factory():
        session = AioSession()
        session.set_default_client_config(AioConfig(**default))
        return session

    with pytest.raises(ConfigurationError, match=next(iter(default))):
        await opened(session_factory=factory).discovery_client()


async def test_credentials_set_on_the_session_are_used(opened, request_of):
    """They take precedence over the environment."""

    def factory():
        session = AioSession()
        session.set_credentials("AKIDOWN", "secret")
        return session

    request = await request_of(await opened(session_factory=factory).discovery_client())
    assert "Credential=AKIDOWN/" in request.headers["Authorization"].decode()


async def test_the_credentials_of_the_environment_are_used(opened, request_of):
    """botocore's own chain is read at the first request."""
    request = await request_of(await opened().discovery_client())
    assert "Credential=AKIDEXAMPLE/" in request.headers["Authorization"].decode()


async def test_dropped_credentials_are_read_again(opened, request_of, monkeypatch):
    """The client stays the same."""
    session = opened()
    client = await session.discovery_client()
    await request_of(client)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDNEW")
    session.drop_credentials()
    request = await request_of(client)
    assert "Credential=AKIDNEW/" in request.headers["Authorization"].decode()


async def test_two_engines_may_be_given_one_session(opened, request_of, monkeypatch):
    """Each has its own clients; they share the session's credentials, and either may drop them."""
    shared = AioSession()
    first, second = (opened(session_factory=lambda: shared) for _ in range(2))
    clients = [await first.discovery_client(), await second.discovery_client()]
    assert clients[0] is not clients[1]
    await request_of(clients[0])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDNEW")
    second.drop_credentials()
    assert "Credential=AKIDNEW/" in (await request_of(clients[0])).headers["Authorization"].decode()


@pytest.mark.parametrize("result", [None, object(), "session"])
async def test_a_factory_that_returns_something_else_is_refused(opened, result):
    """The message says what is expected."""
    with pytest.raises(ConfigurationError, match="AioSession"):
        await opened(session_factory=lambda: result).discovery_client()


async def test_an_asynchronous_factory_is_refused(opened):
    """Its coroutine is closed, so Python does not warn about it."""

    async def factory():
        return AioSession()

    with pytest.raises(ConfigurationError, match="coroutine"):
        await opened(session_factory=factory).discovery_client()


async def test_a_failing_factory_is_a_configuration_error(opened):
    """Its own error is the cause."""

    def factory():
        raise KeyError("tenant")

    with pytest.raises(ConfigurationError, match=r"session_factory failed \(KeyError\)") as caught:
        await opened(session_factory=factory).discovery_client()
    assert isinstance(caught.value.__cause__, KeyError)


async def test_a_profile_that_does_not_exist_is_a_configuration_error(opened, monkeypatch):
    """The message names the profile."""
    monkeypatch.setenv("AWS_PROFILE", "unknown")
    with pytest.raises(ConfigurationError, match="profile unknown"):
        await opened().discovery_client()


async def test_an_invalid_configuration_file_is_a_configuration_error(opened, profile):
    """Before anything is sent."""
    profile("[default\nregion")
    with pytest.raises(ConfigurationError, match="config"):
        await opened().discovery_client()


async def test_nothing_is_logged_above_info(opened, request_of, caplog):
    """A successful call is quiet."""
    with caplog.at_level(logging.DEBUG):
        await request_of(await opened().discovery_client())
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
