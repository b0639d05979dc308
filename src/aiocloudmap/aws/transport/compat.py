"""The private names of aiobotocore and aiohttp that this package depends on, checked at start-up.

They are the same from aiobotocore 2.25.1 to 3.10 and from aiohttp 3.12.0 to 3.14. If a release moves one of them,
`check` raises an error with its name and the versions, before the first call.
"""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any, Final

import aiohttp
import botocore.httpsession
from aiobotocore.httpsession import AIOHTTPSession
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from aiocloudmap.errors import ConfigurationError

__all__ = ["check", "missing"]

_FUNCTIONS: Final[dict[tuple[Any, str], tuple[str, ...]]] = {
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
    (botocore.httpsession, "create_urllib3_context"): (),
    (botocore.httpsession, "get_cert_path"): (),
}
"""Methods and functions that are overridden or called, with their parameters."""

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


def missing() -> list[str]:
    """The names that are missing or have other parameters."""
    found: list[str] = []
    for (owner, name), expected in _FUNCTIONS.items():
        function = getattr(owner, name, None)
        if function is None or not (_passes_all_on(function) or _parameters(function)[: len(expected)] == expected):
            found.append(f"{owner.__name__}.{name}({', '.join(expected[1:])})")
    for owner, names in _ARGUMENTS.items():
        if not _passes_all_on(owner):
            found += [f"{owner.__name__}({name}=...)" for name in names if name not in _parameters(owner)]
    for owner, names in _ATTRIBUTES.items():
        codes = [getattr(vars(base).get("__init__"), "__code__", None) for base in owner.__mro__]
        known = {name for code in codes if code is not None for name in code.co_names}
        if not _passes_all_on(owner):
            found += [f"{owner.__name__}.{name}" for name in names if name not in known]
    return found


def _parameters(function: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


def _passes_all_on(function: Any) -> bool:
    """Whether it takes any arguments, as the wrappers of tracing libraries do."""
    kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
    return {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} <= kinds
