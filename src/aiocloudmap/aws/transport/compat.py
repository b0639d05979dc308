"""The private names of aiobotocore and aiohttp that this package stands on, in one place.

Everything here is the same from aiobotocore 2.25.1 to 3.10 and from aiohttp 3.12.0 to 3.14. `check` asks at start-up,
so that a release which moves one of them is told by name and version instead of failing in the middle of a call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any, Final

import aiohttp
import botocore.httpsession
from aiobotocore.httpsession import AIOHTTPSession
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from aiocloudmap.errors import ConfigurationError

__all__ = ["check", "missing"]

_METHODS: Final[dict[tuple[type[Any], str], tuple[str, ...]]] = {
    (AIOHTTPSession, "_get_session"): ("self", "proxy_url"),
    (AIOHTTPSession, "send"): ("self", "request"),
    (AIOHTTPSession, "close"): ("self",),
    (aiohttp.TCPConnector, "connect"): ("self", "req", "traces", "timeout"),
    (aiohttp.TCPConnector, "_create_connection"): ("self", "req", "traces", "timeout"),
    (aiohttp.TCPConnector, "_release"): ("self", "key", "protocol", "should_close"),
    (aiohttp.TCPConnector, "_get_ssl_context"): ("self", "req"),
    (Connection, "__init__"): ("self", "connector", "key", "protocol", "loop"),
    (ResponseHandler, "__init__"): ("self", "loop"),
    (ResponseHandler, "is_connected"): ("self",),
    (ResponseHandler, "_on_read_timeout"): ("self",),
    (ResponseHandler, "_reschedule_timeout"): ("self",),
}
"""Methods that are overridden or called, with the parameters they are known to have."""

_ARGUMENTS: Final[dict[type[Any], tuple[str, ...]]] = {
    AIOHTTPSession: ("verify", "proxies", "timeout", "client_cert", "proxies_config"),
    aiohttp.TCPConnector: ("socket_factory", "resolver", "ttl_dns_cache", "happy_eyeballs_delay"),
}
"""Constructor arguments that are passed or read."""

_SOURCES: Final[dict[type[Any], tuple[str, ...]]] = {
    AIOHTTPSession: ("_timeout",),
    aiohttp.TCPConnector: ("_factory", "_loop", "_closed"),
    ResponseHandler: ("_read_timeout_handle",),
}
"""Instance attributes that are read or replaced. They are set in the constructor of the class or of its base."""

_FUNCTIONS: Final = ("create_urllib3_context", "get_cert_path")
"""What the TLS contexts are built with, as botocore builds its own."""


def missing() -> list[str]:
    """The names that are not as expected, empty where all is well."""
    return list(_missing())


def check(find: Callable[[], list[str]] = missing) -> None:
    """Ask once, before the first client is made.

    Raises:
        ConfigurationError: The installed versions lack something that the transport needs.
    """
    if not (names := find()):
        return
    versions = ", ".join(f"{package} {version(package)}" for package in ("aiobotocore", "aiohttp", "botocore"))
    raise ConfigurationError(
        f"{versions} lack what the transport stands on: {', '.join(names)}",
        advice="Install versions that this release of aiocloudmap was tested with, and report these.",
    )


def _missing() -> Iterator[str]:
    for (owner, name), expected in _METHODS.items():
        method = getattr(owner, name, None)
        if method is None or tuple(inspect.signature(method).parameters)[: len(expected)] != expected:
            yield f"{owner.__name__}.{name}({', '.join(expected[1:])})"
    for owner, names in _ARGUMENTS.items():
        known = inspect.signature(owner).parameters
        yield from (f"{owner.__name__}({name}=...)" for name in names if name not in known)
    for owner, names in _SOURCES.items():
        code = {name for base in owner.__mro__[:-1] for name in _names_set(base)}
        yield from (f"{owner.__name__}.{name}" for name in names if name not in code)
    yield from (f"botocore.httpsession.{name}" for name in _FUNCTIONS if not hasattr(botocore.httpsession, name))


def _names_set(owner: type[Any]) -> tuple[str, ...]:
    """The attribute names that the constructor mentions."""
    code = getattr(owner.__init__, "__code__", None)
    return code.co_names if code is not None else ()
