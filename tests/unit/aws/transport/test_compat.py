"""What the transport stands on is there, and its absence is told by name."""

from __future__ import annotations

from importlib.metadata import version

import aiohttp
import pytest
from aiobotocore.httpsession import AIOHTTPSession

from aiocloudmap.aws.transport import compat
from aiocloudmap.aws.transport.transport import Transport
from aiocloudmap.errors import ConfigurationError


def test_the_installed_versions_have_everything():
    """At both ends of the range, since these tests run there."""
    assert compat.missing() == []


@pytest.mark.parametrize(
    ("owner", "name", "told"),
    [
        (AIOHTTPSession, "_get_session", "AIOHTTPSession._get_session(proxy_url)"),
        (aiohttp.TCPConnector, "_create_connection", "TCPConnector._create_connection(req, traces, timeout)"),
    ],
)
def test_a_method_that_has_other_parameters_is_told(monkeypatch, owner, name, told):
    """Which one, and of what."""
    monkeypatch.setattr(owner, name, lambda self, other: None)
    assert compat.missing() == [told]


def test_a_constructor_that_lacks_an_attribute_or_argument_is_told(monkeypatch):
    """Which one, and of what."""

    def init(self, verify, proxies, client_cert, proxies_config):
        pass

    monkeypatch.setattr(AIOHTTPSession, "__init__", init)
    assert compat.missing() == ["AIOHTTPSession(timeout=...)", "AIOHTTPSession._timeout"]


def test_making_a_transport_asks(monkeypatch):
    """The message names the versions, before any call is made."""
    monkeypatch.setattr(AIOHTTPSession, "send", None)
    with pytest.raises(ConfigurationError) as caught:
        Transport()
    assert f"aiobotocore {version('aiobotocore')}, aiohttp {version('aiohttp')}" in str(caught.value)
    assert "AIOHTTPSession.send(request)" in str(caught.value)
