"""The private names that the transport needs exist, and a missing one is reported by name."""

from __future__ import annotations

from importlib.metadata import version

import aiohttp
import pytest
from aiobotocore.httpsession import AIOHTTPSession
from aiohttp.client_proto import ResponseHandler

from aiocloudmap.aws.transport import compat
from aiocloudmap.aws.transport.transport import Transport
from aiocloudmap.errors import ConfigurationError


def test_the_installed_versions_have_everything():
    """These tests run at both ends of the supported range."""
    assert compat.missing() == []


@pytest.mark.parametrize(
    ("owner", "name", "reported"),
    [
        (AIOHTTPSession, "_get_session", "AIOHTTPSession._get_session(proxy_url)"),
        (aiohttp.TCPConnector, "_create_connection", "TCPConnector._create_connection(req, traces, timeout)"),
    ],
)
def test_a_method_with_other_parameters_is_reported(monkeypatch, owner, name, reported):
    """With its class."""
    monkeypatch.setattr(owner, name, lambda self, other: None)
    assert compat.missing() == [reported]


def test_a_constructor_without_an_attribute_or_argument_is_reported(monkeypatch):
    """With its class."""

    def init(self, verify, proxies, client_cert, proxies_config):
        pass

    monkeypatch.setattr(AIOHTTPSession, "__init__", init)
    assert compat.missing() == ["AIOHTTPSession(timeout=...)", "AIOHTTPSession._timeout"]


@pytest.mark.parametrize(
    ("owner", "name"),
    [(aiohttp.TCPConnector, "__init__"), (ResponseHandler, "__init__"), (aiohttp.TCPConnector, "connect")],
)
def test_a_wrapper_that_passes_all_arguments_on_is_accepted(monkeypatch, owner, name):
    """As tracing libraries install them."""
    wrapped = getattr(owner, name)

    def wrapper(self, *args, **kwargs):
        return wrapped(self, *args, **kwargs)

    monkeypatch.setattr(owner, name, wrapper)
    assert compat.missing() == []


def test_creating_a_transport_checks_the_names(monkeypatch):
    """The error names the versions."""
    monkeypatch.setattr(AIOHTTPSession, "send", None)
    with pytest.raises(ConfigurationError) as caught:
        Transport()
    assert f"aiobotocore {version('aiobotocore')}, aiohttp {version('aiohttp')}" in str(caught.value)
    assert "AIOHTTPSession.send(request)" in str(caught.value)
