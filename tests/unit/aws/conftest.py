"""Sessions that make real clients, and the requests that these would send."""

from __future__ import annotations

import functools

import pytest
from aiobotocore.httpsession import AIOHTTPSession

from aiocloudmap.aws.backend import parameters_of
from aiocloudmap.aws.session import AwsSession
from aiocloudmap.aws.transport.transport import Transport
from aiocloudmap.model.policy import ConnectionPolicy
from aiocloudmap.model.query import Query, ServiceName


class Holder:
    """Holds connections, as an engine does."""


transport = functools.cache(Transport)  # one per process, as in an application


@pytest.fixture
def profile(monkeypatch, tmp_path):
    """Writes the shared configuration file."""
    path = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    return path.write_text


@pytest.fixture
def opened(monkeypatch, environment):
    """Constructs AwsSessions in an environment with static credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    def opened(**settings) -> AwsSession:
        defaults = {
            "region": "eu-west-1",
            "endpoint_url": None,
            "session_factory": None,
            "connections": ConnectionPolicy(),
        }
        return AwsSession(transport=transport(), holder=Holder(), **defaults | settings)

    return opened


class SentError(Exception):
    """Raised in place of sending."""

    def __init__(self, request) -> None:
        self.request = request


@pytest.fixture
def request_of():
    """Returns the request that a client would have sent."""

    def stop(request, **_):
        raise SentError(request)

    async def request_of(client, operation="discover_instances", **parameters):
        client.meta.events.register("before-send", stop)
        if operation == "discover_instances":
            parameters = parameters_of(Query(ServiceName("shop", "orders")))
        with pytest.raises(SentError) as caught:
            await getattr(client, operation)(**parameters)
        return caught.value.request

    return request_of


@pytest.fixture
def is_shared():
    """Returns whether a client's connections come from our transport. No public attribute shows it."""
    return lambda client: type(client._endpoint.http_session) is not AIOHTTPSession
