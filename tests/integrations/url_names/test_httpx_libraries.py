"""`CloudMapTransport` serves httpx2 and httpx, whichever is there, and refuses what neither would take."""

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
    """Each gets responses and errors of its own."""
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
def test_a_client_that_does_not_await_is_told(stage, library):
    """On entering it, or at its first request."""
    transport = integration.CloudMapTransport(stage.cloud_map, namespaces=NAMESPACES)
    client = library.Client(transport=transport)
    for use in (client.__enter__, lambda: library.Client(transport=transport).get("http://orders.shop/")):
        with pytest.raises(ConfigurationError, match=r"serves asynchronous clients only\. Use httpx2\.AsyncClient"):
            use()


@pytest.mark.parametrize("verify", ["ca.pem", None, 1])
def test_a_verify_that_is_none_is_refused(stage, verify):
    """A file's name would have to be read by somebody."""
    with pytest.raises(ConfigurationError, match="is neither a TLS context nor true or false"):
        integration.CloudMapTransport(stage.cloud_map, namespaces=NAMESPACES, verify=verify)


@pytest.mark.parametrize("limits", [10, {"max_connections": 10}])
def test_limits_that_are_none_are_refused(stage, limits):
    """The first request would tell too late."""
    with pytest.raises(ConfigurationError, match=r"Write limits=httpx2\.Limits\(max_connections=10\)"):
        integration.CloudMapTransport(stage.cloud_map, namespaces=NAMESPACES, limits=limits)


def loaded_anew() -> ModuleType:
    """The integration as a process would find it that has the libraries of this moment."""
    spec = importlib.util.spec_from_file_location("another_integration", integration.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("missing", "present"), [("httpx2", httpx), ("httpx", httpx2)])
async def test_one_library_is_enough(stage, monkeypatch, missing, present):
    """Whichever is installed."""
    stage.register("a", await stage.serve("a"))
    monkeypatch.setitem(sys.modules, missing, None)
    transport = loaded_anew().CloudMapTransport(stage.cloud_map, namespaces=NAMESPACES)
    async with present.AsyncClient(transport=transport) as http:
        assert (await http.get("http://orders.shop/")).json()["id"] == "a"


async def test_httpx2_in_the_place_of_httpx_is_served(stage, monkeypatch):
    """As `httpx2.alias_httpx()` puts it there."""
    stage.register("a", await stage.serve("a"))
    monkeypatch.setitem(sys.modules, "httpx", httpx2)
    transport = loaded_anew().CloudMapTransport(stage.cloud_map, namespaces=NAMESPACES)
    async with httpx2.AsyncClient(transport=transport) as http:
        assert (await http.get("http://orders.shop/")).json()["id"] == "a"


def test_without_either_library_the_error_says_what_to_install(monkeypatch):
    """The extra brings httpx2."""
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ImportError, match=r"httpx2 is not installed.*pip install 'aiocloudmap\[httpx\]'"):
        loaded_anew()
