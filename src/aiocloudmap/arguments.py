"""What arguments may be: checked where they are given, since the first call would tell too late.

Whatever is none is a ConfigurationError that says what would be one.
"""

from __future__ import annotations

import inspect
import math
import re

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.settings import CachePolicy, ConnectionPolicy
from aiocloudmap.shown import shown

__all__ = [
    "check_attribute",
    "check_backend",
    "check_cache",
    "check_callable",
    "check_connections",
    "check_endpoint",
    "check_max_age",
    "check_place",
]

_REGION = re.compile(r"[a-zA-Z0-9-]{1,63}")


def check_place(region: object, endpoint_url: object) -> None:
    """A Region that can be part of a host name, and a URL that a client can connect to."""
    if region is not None and not (isinstance(region, str) and _REGION.fullmatch(region)):
        raise ConfigurationError(f"region={shown(region)} is no Region", advice="Give one like 'eu-west-1', or None.")
    if endpoint_url is not None:
        check_endpoint("endpoint_url", endpoint_url, advice="Give one like 'http://127.0.0.1:5000', or None.")


def check_endpoint(where: str, endpoint_url: object, *, advice: str) -> None:
    """A URL that a client can connect to. It is not shown: the part before an @ is a password."""
    if wrong := _wrong_with(endpoint_url):
        raise ConfigurationError(f"{where} {wrong}", advice=advice)


def check_cache(cache: object) -> None:
    """A policy, not its ttl."""
    if not isinstance(cache, CachePolicy):
        raise ConfigurationError(f"cache={shown(cache)} is no CachePolicy", advice="Write cache=CachePolicy(ttl=30).")


def check_connections(connections: object) -> None:
    """A policy, not its fields."""
    if not isinstance(connections, ConnectionPolicy):
        raise ConfigurationError(
            f"connections={shown(connections)} is no ConnectionPolicy", advice="Write connections=ConnectionPolicy()."
        )


def check_callable(argument: str, value: object) -> None:
    """A function that is called, and whose result nobody awaits."""
    if value is None:
        return
    if not callable(value):
        raise ConfigurationError(
            f"{argument} is of type {type(value).__name__}, which cannot be called",
            advice="Give a function, without calling it.",
        )
    if inspect.iscoroutinefunction(value):
        raise ConfigurationError(
            f"{argument} is a coroutine function", advice="Give a plain function: nobody awaits it."
        )


def check_backend(backend: object, clock: object) -> None:
    """Objects that have the methods of `Backend` and `Clock`; a class has them too, and is none."""
    if backend is not None:
        _check_methods("backend", backend, "discover")
    _check_methods("clock", clock, "monotonic", "time", "call_later")


def check_attribute(key: object, cast: object) -> None:
    """A name that an attribute can have, and something to call. What is awaited is the caller's affair."""
    if not isinstance(key, str):
        raise ConfigurationError(f"{shown(key)} is no attribute name", advice="Give a string, like 'QUEUE_URL'.")
    if not callable(cast):
        raise ConfigurationError(
            f"cast={shown(cast)} cannot be called", advice="Give a function of one string, like int, or leave it out."
        )


def check_max_age(max_age: object) -> None:
    """Seconds, of which 0 is the strictest and infinity no bound."""
    if max_age is None:
        return
    if isinstance(max_age, bool) or not isinstance(max_age, int | float) or not 0 <= max_age <= math.inf:
        raise ConfigurationError(
            f"max_age={shown(max_age)} is no age", advice="Give seconds, 0 or more; 0 forces a fetch."
        )


def _check_methods(argument: str, value: object, *methods: str) -> None:
    missing = [name for name in methods if not callable(getattr(value, name, None))]
    if missing or isinstance(value, type):
        what = "a class" if isinstance(value, type) else f"of type {type(value).__name__}"
        raise ConfigurationError(f"{argument} is {what}", advice=f"Give an object with {', '.join(methods)}.")


def _wrong_with(endpoint_url: object) -> str | None:
    from urllib.parse import urlsplit  # noqa: PLC0415 - importing the library is to stay cheap

    if not isinstance(endpoint_url, str):
        return f"is of type {type(endpoint_url).__name__}"
    try:
        parts = urlsplit(endpoint_url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"is no URL: {error}"
    if parts.scheme not in ("http", "https") or not host or not endpoint_url.isprintable() or " " in endpoint_url:
        return "is no URL"
    if "@" in parts.netloc:
        return "has a user name in it, which AWS requests cannot carry"
    return None
