"""What arguments may be: checked where they are given, since the first call would tell too late.

Whatever is none is a ConfigurationError that says what would be one.
"""

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


# MERGED shown: What somebody gave, as messages repeat it.


_MOST = 80


def safe_repr(value: object) -> str:
    """The value for a message, shortened, with everything unprintable escaped."""
    if isinstance(value, str):
        return ascii(_shortened(value))
    try:
        return _shortened(ascii(value))
    except Exception:  # noqa: BLE001 - a number of thousands of digits, or a repr of somebody's own
        return f"<{type(value).__name__}>"


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST else text[: _MOST - 3] + "..."


_REGION = re.compile(r"[a-zA-Z0-9-]{1,63}")


def check_place(region: object, endpoint_url: object) -> None:
    """A Region that can be part of a host name, and a URL that a client can connect to."""
    if region is not None and not (isinstance(region, str) and _REGION.fullmatch(region)):
        raise ConfigurationError(
            f"region={safe_repr(region)} is no Region", advice="Give one like 'eu-west-1', or None."
        )
    if endpoint_url is not None:
        check_endpoint("endpoint_url", endpoint_url, advice="Give one like 'http://127.0.0.1:5000', or None.")


def check_endpoint(where: str, endpoint_url: object, *, advice: str) -> None:
    """A URL that a client can connect to. It is not shown: the part before an @ is a password."""
    if wrong := _wrong_with(endpoint_url):
        raise ConfigurationError(f"{where} {wrong}", advice=advice)


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


def check_type(argument: str, value: object, kind: type, *, example: str) -> None:
    """An object of this type."""
    if not isinstance(value, kind):
        raise ConfigurationError(f"{argument}={safe_repr(value)} is no {kind.__name__}", advice=f"Write {example}.")


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
        raise ConfigurationError(f"{safe_repr(key)} is no attribute name", advice="Give a string, like 'QUEUE_URL'.")
    if not callable(cast):
        raise ConfigurationError(
            f"cast={safe_repr(cast)} cannot be called",
            advice="Give a function of one string, like int, or leave it out.",
        )


def check_max_age(max_age: object) -> None:
    """Seconds, of which 0 is the strictest and infinity no bound."""
    if max_age is None:
        return
    if isinstance(max_age, bool) or not isinstance(max_age, int | float) or not 0 <= max_age <= math.inf:
        raise ConfigurationError(
            f"max_age={safe_repr(max_age)} is no age", advice="Give seconds, 0 or more; 0 forces a fetch."
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
