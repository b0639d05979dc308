"""Checks of arguments, made where they are passed: a wrong one would otherwise fail at the first call, or never."""

from __future__ import annotations

import inspect
import math
import re
import sys

from aiocloudmap.errors import ConfigurationError

__all__ = [
    "check_attribute",
    "check_backend",
    "check_callable",
    "check_endpoint",
    "check_max_age",
    "check_number",
    "check_place",
    "check_type",
    "safe_repr",
]

_MAX_LENGTH = 80


def safe_repr(value: object) -> str:
    """The value for a message, shortened and in printable ASCII."""
    if isinstance(value, str):
        return ascii(_shorten(value))
    try:
        return _shorten(ascii(value))
    except Exception:  # noqa: BLE001 - an int with thousands of digits, or a __repr__ that raises
        return f"<{type(value).__name__}>"


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 3] + "..."


def check_number(
    name: str,
    value: object,
    minimum: float = 0.0,
    maximum: float = math.inf,
    *,
    whole: bool = False,
    finite: bool = True,
) -> None:
    """Check a number given by the caller.

    Args:
        name: The argument's name, for the message.
        value: What was given.
        minimum: The smallest allowed value.
        maximum: The largest allowed value.
        whole: Whether only an int is allowed.
        finite: Whether infinity is refused.

    Raises:
        ConfigurationError: The value is not a number, or is out of range.
    """
    kinds = (int,) if whole else (int, float)
    # bool is an int in Python, and `ttl=True` is a mistake. An int too large for a float would never expire.
    if (
        isinstance(value, kinds)
        and not isinstance(value, bool)
        and minimum <= value <= maximum
        and (not finite or value <= sys.float_info.max)
    ):
        return
    kind = "a whole number" if whole else "a number"
    limits = f"of {minimum:,.10g} or more" if maximum == math.inf else f"from {minimum:,.10g} to {maximum:,.10g}"
    raise ConfigurationError(f"invalid {name} {safe_repr(value)}: expected {kind} {limits}")


def check_max_age(max_age: object) -> None:
    """Check seconds; 0 forces a fetch, None and infinity allow any age."""
    if max_age is not None:
        check_number("max_age", max_age, finite=False)


def check_type(argument: str, value: object, kind: type, *, example: str) -> None:
    """Check that an argument is an instance of `kind`."""
    if not isinstance(value, kind):
        raise ConfigurationError(
            f"invalid {argument} {safe_repr(value)}: expected {kind.__name__}", advice=f"Write {example}."
        )


def check_place(region: object, endpoint_url: object) -> None:
    """Check that a Region can be part of a host name, and that a client can connect to the URL."""
    if region is not None and not (isinstance(region, str) and re.fullmatch(r"[a-zA-Z0-9-]{1,63}", region)):
        raise ConfigurationError(f"invalid region {safe_repr(region)}: expected a name like 'eu-west-1', or None")
    if endpoint_url is not None:
        check_endpoint("endpoint_url", endpoint_url, advice="Use one like 'http://127.0.0.1:5000', or None.")


def check_endpoint(where: str, endpoint_url: object, *, advice: str) -> None:
    """Check that a client can connect to a URL. The message does not show it, since it may hold a password."""
    if wrong := _endpoint_problem(endpoint_url):
        raise ConfigurationError(f"invalid {where}: {wrong}", advice=advice)


def _endpoint_problem(endpoint_url: object) -> str | None:
    from urllib.parse import urlsplit  # noqa: PLC0415 - keeps the import of the library cheap

    if not isinstance(endpoint_url, str):
        return f"expected a URL, not {type(endpoint_url).__name__}"
    try:
        parts = urlsplit(endpoint_url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"expected a URL ({error})"
    if parts.scheme not in ("http", "https") or not host or not endpoint_url.isprintable() or " " in endpoint_url:
        return "expected an http or https URL"
    if "@" in parts.netloc:
        return "expected a URL without a user name"
    return None


def check_callable(argument: str, value: object) -> None:
    """Check that an optional argument can be called and is not a coroutine function."""
    if value is None:
        return
    if not callable(value):
        raise ConfigurationError(f"invalid {argument}: expected a function, not {type(value).__name__}")
    if inspect.iscoroutinefunction(value):
        raise ConfigurationError(f"invalid {argument}: expected a plain function, not a coroutine function")


def check_backend(backend: object, clock: object) -> None:
    """Check that the objects have the methods of `Backend` and `Clock`."""
    if backend is not None:
        _check_methods("backend", backend, "discover")
    _check_methods("clock", clock, "monotonic", "time", "call_later")


def _check_methods(argument: str, value: object, *methods: str) -> None:
    if isinstance(value, type) or not all(callable(getattr(value, name, None)) for name in methods):
        what = "a class" if isinstance(value, type) else type(value).__name__
        raise ConfigurationError(f"invalid {argument}: expected an object with {', '.join(methods)}, not {what}")


def check_attribute(key: object, cast: object) -> None:
    """Check the arguments of `Service.attribute`."""
    if not isinstance(key, str):
        raise ConfigurationError(f"invalid attribute name {safe_repr(key)}: expected a string like 'QUEUE_URL'")
    if not callable(cast):
        raise ConfigurationError(f"invalid cast {safe_repr(cast)}: expected a function of one string, like int")
