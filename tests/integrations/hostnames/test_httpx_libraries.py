"""`CloudMapTransport` works with httpx2, httpx or both, and validates its arguments."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from aiocloudmap import ConfigurationError

httpx = pytest.importorskip("httpx")
httpx2 = pytest.importorskip("httpx2")
integration = pytest.importorskip("aiocloudmap.integrations.httpx")

NAMESPACES = ("shop",)


async def test_one_transport_serves_clients_of_both_libraries(stage):
    """Each gets its own library's responses and errors."""
    stage.register("a", await stage.serve("a"))
    transport = integration.CloudMapTransport(stage.cloud_map, namespaces=NAMESPACES)
    assert isinstance(transport, httpx.AsyncBaseTransport)
    assert isinstance(transport, httpx2.AsyncBaseTransport)
    async with httpx.AsyncClient(transport=transport) as old, httpx2.AsyncClient(transport=transport) as new:
        assert type(await old.get("http://orders.shop/")) is httpx.Response
        assert type(await new.get("http://orders.shop/")) is httpx2.Response
        with pytest.raises(httpx.ConnectError):
            await old.get("http://odrers.shop/")


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_synchronous_client_raises_an_error(stage, library):
    """On entering it, or at its first request."""
    transport = integration.CloudMapTransport(stage.cloud_map, namespaces=NAMESPACES)
    client = library.Client(transport=transport)
    for use in (client.__enter__, lambda: library.Client(transport=transport).get("http://orders.shop/")):
        with pytest.raises(ConfigurationError, match=r"works with async clients only\. Use httpx2\.AsyncClient"):
            use()


@pytest.mark.parametrize("verify", ["ca.pem", None, 1])
def test_an_invalid_verify_raises_an_error(stage, verify):
    """A file name is not supported, since reading the file would block."""
    with pytest.raises(ConfigurationError, match="^invalid verify .*: expected an SSLContext, True or False"):
        integration.CloudMapTransport(stage.cloud_map, namespaces=NAMESPACES, verify=verify)


@pytest.mark.parametrize("limits", [10, {"max_connections": 10}])
def test_invalid_limits_raise_an_error(stage, limits):
    """At construction, not at the first request."""
    with pytest.raises(ConfigurationError, match=r"^invalid limits.*Write limits=httpx2\.Limits\(max_connections=10\)"):
        integration.CloudMapTransport(stage.cloud_map, namespaces=NAMESPACES, limits=limits)


def freshly_imported() -> ModuleType:
    """Import the integration again, with the libraries that are available at this moment."""
    spec = importlib.util.spec_from_file_location("another_integration", integration.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("missing", "present"), [("httpx2", httpx), ("httpx", httpx2)])
async def test_one_library_is_enough(stage, monkeypatch, missing, present):
    """Either of them."""
    stage.register("a", await stage.serve("a"))
    monkeypatch.setitem(sys.modules, missing, None)
    transport = freshly_imported().CloudMapTransport(stage.cloud_map, namespaces=NAMESPACES)
    async with present.AsyncClient(transport=transport) as http:
        assert (await http.get("http://orders.shop/")).json()["id"] == "a"


async def test_httpx2_may_replace_httpx(stage, monkeypatch):
    """As `httpx2.alias_httpx()` does."""
    stage.register("a", await stage.serve("a"))
    monkeypatch.setitem(sys.modules, "httpx", httpx2)
    transport = freshly_imported().CloudMapTransport(stage.cloud_map, namespaces=NAMESPACES)
    async with httpx2.AsyncClient(transport=transport) as http:
        assert (await http.get("http://orders.shop/")).json()["id"] == "a"


def test_without_either_library_the_error_says_what_to_install(monkeypatch):
    """The extra installs httpx2."""
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ImportError, match=r"httpx2 is not installed.*pip install 'aiocloudmap\[httpx\]'"):
        freshly_imported()
