"""The private names of aiobotocore and aiohttp that this package depends on, checked at start-up.

They are the same from aiobotocore 2.25.1 to 3.10 and from aiohttp 3.12.0 to 3.14. If a release moves one of them,
`check` raises an error with its name and the versions, before the first call.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
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
"""Methods that are overridden or called, with their parameters."""

_ARGUMENTS: Final[dict[type[Any], tuple[str, ...]]] = {
    AIOHTTPSession: ("verify", "proxies", "timeout", "client_cert", "proxies_config"),
    aiohttp.TCPConnector: ("socket_factory", "resolver", "ttl_dns_cache", "happy_eyeballs_delay"),
}
"""Constructor arguments that are passed or read."""

_ATTRIBUTES: Final[dict[type[Any], tuple[str, ...]]] = {
    AIOHTTPSession: ("_timeout",),
    aiohttp.TCPConnector: ("_factory", "_loop", "_closed"),
    ResponseHandler: ("_read_timeout_handle",),
}
"""Instance attributes that are read or replaced, set in the constructor of the class or of a base."""

_FUNCTIONS: Final = ("create_urllib3_context", "get_cert_path")
"""Functions that build the TLS contexts."""


def missing() -> list[str]:
    """The names that are missing or have other parameters."""
    return list(_missing())


def check() -> None:
    """Raise an error if something is missing.

    Raises:
        ConfigurationError: The installed versions lack something that the transport needs.
    """
    if not (names := missing()):
        return
    versions = ", ".join(f"{package} {version(package)}" for package in ("aiobotocore", "aiohttp", "botocore"))
    raise ConfigurationError(
        f"unsupported versions {versions}: missing {', '.join(names)}",
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
    for owner, names in _ATTRIBUTES.items():
        code = {name for base in owner.__mro__[:-1] for name in _names_set(base)}
        yield from (f"{owner.__name__}.{name}" for name in names if name not in code)
    yield from (f"botocore.httpsession.{name}" for name in _FUNCTIONS if not hasattr(botocore.httpsession, name))


def _names_set(owner: type[Any]) -> tuple[str, ...]:
    """The attribute names in the constructor's code."""
    code = getattr(owner.__init__, "__code__", None)
    return code.co_names if code is not None else ()
