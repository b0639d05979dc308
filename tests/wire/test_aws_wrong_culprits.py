"""Failures in this process that look like failures of AWS or of the network."""

from __future__ import annotations

import traceback

import aiobotocore.credentials
import aiohttp
import pytest
from aiobotocore.session import AioSession, get_session
from canned_server import CannedServer, Reply, found

from aiocloudmap import CloudMap, ConfigurationError, ProtocolError, UnavailableError


class SpanError(Exception):
    """Raised by a tracing library."""


@pytest.fixture
def static_keys(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def server():
    with CannedServer(found("orders-1")) as server:
        yield server


def hooked(event: str, error: type[Exception]):
    """A session factory with an event handler that raises."""

    def handler(**_: object) -> None:
        raise error("span")

    def factory() -> AioSession:
        session = get_session()
        session.register(event, handler)
        return session

    return factory


async def failure_of(cloud_map: CloudMap) -> Exception:
    with pytest.raises(UnavailableError) as caught:
        await cloud_map.service("shop/orders").resolve()
    return caught.value


@pytest.mark.usefixtures("static_keys")
@pytest.mark.parametrize("error", [SpanError, KeyError, RuntimeError, ValueError, ConnectionError])
@pytest.mark.parametrize("event", ["provide-client-params", "before-call", "request-created", "before-send"])
async def test_an_event_handler_that_raises_is_named(server, event, error):
    """The exception, and that it comes from this process. Nothing is sent."""
    failure = await failure_of(CloudMap(endpoint_url=server.url, session_factory=hooked(event, error)))
    assert type(failure) is UnavailableError
    assert f"a tracer of this process raised {error.__name__}, so no answer was received" in str(failure)
    assert "AWS is not the cause" in str(failure)
    assert (type(failure.__cause__), server.requests) == (error, [])


@pytest.mark.usefixtures("static_keys")
async def test_a_tracer_of_aiohttp_that_raises_is_named(server, monkeypatch):
    """OpenTelemetry adds its tracer to every session of aiohttp."""
    plain = aiohttp.ClientSession.__init__

    async def start(*_: object) -> None:
        raise SpanError

    def traced(self, *arguments, **options) -> None:
        tracer = aiohttp.TraceConfig()
        tracer.on_request_start.append(start)
        plain(self, *arguments, **options | {"trace_configs": [tracer]})

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", traced)
    failure = await failure_of(CloudMap(endpoint_url=server.url))
    assert "raised SpanError, so no answer was received" in str(failure)
    assert server.requests == []


@pytest.mark.usefixtures("static_keys")
async def test_a_wrapper_of_the_client_that_raises_is_named(server, monkeypatch):
    """Tracing libraries wrap botocore's one method for all operations."""

    async def traced(*_: object) -> None:
        raise SpanError

    monkeypatch.setattr("aiobotocore.client.AioBaseClient._make_api_call", traced)
    assert "raised SpanError" in str(await failure_of(CloudMap(endpoint_url=server.url)))


@pytest.mark.usefixtures("static_keys")
async def test_an_answer_that_the_parser_cannot_read_is_still_invalid():
    """Its exceptions have no class of their own."""
    with CannedServer(Reply(400, b"[1]")) as server, pytest.raises(ProtocolError, match="invalid answer"):
        await CloudMap(endpoint_url=server.url).service("shop/orders").resolve()


async def test_a_login_profile_without_its_package_is_a_wrong_setting(server, monkeypatch, tmp_path):
    """The profile that aws login writes needs awscrt."""
    if not hasattr(aiobotocore.credentials, "AioLoginProvider"):
        pytest.skip("this aiobotocore does not know such profiles")
    monkeypatch.setattr("aiobotocore.credentials.EC", None)
    (tmp_path / "config").write_text("[default]\nlogin_session = arn:aws:iam::123456789012:user/shop\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with pytest.raises(ConfigurationError, match=r"awscrt, which is not installed\. Run pip install 'botocore\[crt\]'"):
        await CloudMap(endpoint_url=server.url).service("shop/orders").resolve()


@pytest.mark.usefixtures("static_keys")
@pytest.mark.parametrize(("wrong", "right"), [("sqss", "'sqs'"), ("dynamo", "'dynamodb'"), ("cloudmap", "'cloud")])
async def test_the_nearest_names_of_an_unknown_service_are_shown(wrong, right):
    """Two of them, and not all that botocore knows."""
    with pytest.raises(ConfigurationError, match=f"Write {right}") as caught:
        await CloudMap().client(wrong)
    assert len(caught.value.advice.split()) <= 4
    printed = "".join(traceback.format_exception(caught.value))
    assert "pinpoint" not in printed
    assert caught.value.__cause__ is not None
