"""How long an answer is good for (`CachePolicy`), and how the network is used (`ConnectionPolicy`).

The words are those of RFC 9111 (ttl as max-age) and RFC 5861 (stale-while-revalidate, stale-if-error).
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.model.events import LOGGER
from aiocloudmap.model.validation import safe_repr

__all__ = ["CachePolicy", "ConnectionPolicy", "policies_from_env"]

_PREFIX = "AIOCLOUDMAP_"
_MOST = sys.float_info.max


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """How long an answer is served, and what happens when it cannot be renewed. All times in seconds.

    Raises:
        ConfigurationError: A value is outside its range.
    """

    ttl: float = 30.0
    """How long an answer is fresh. 0 or more."""

    stale_while_revalidate: float = 30.0
    """How long after that it is still given at once while one refresh runs. 0 or more."""

    stale_if_error: float = 600.0
    """How long after `ttl` it may stand in for an answer that AWS does not give. 0 or more; never passed."""

    negative_ttl: float = 5.0
    """How long not-found and empty answers are remembered. 0 or more."""

    empty_hold_time: float = 30.0
    """How long an empty answer is doubted after a non-empty one. 0 believes it at once."""

    jitter: float = 0.1
    """Which part of `ttl` is taken off at random, so that processes do not ask in step. 0 to 1."""

    soft_timeout: float = 1.0
    """How long a caller waits for a new answer while an old one could be had. 0 or more; with `inline` refresh, 0 means
    that nothing is renewed before its very end."""

    refresh: Literal["auto", "background", "inline"] = "auto"
    """`background` renews in tasks that outlive the callers; `inline` leaves nothing running when the last caller has
    gone, as a Lambda that freezes between invocations needs; `auto` is inline where AWS_LAMBDA_RUNTIME_API is set."""

    def __post_init__(self) -> None:
        for name in (
            "ttl",
            "stale_while_revalidate",
            "stale_if_error",
            "negative_ttl",
            "empty_hold_time",
            "soft_timeout",
        ):
            _number(self, name, least=0)
        _number(self, "jitter", least=0, most=1)
        if self.refresh not in ("auto", "background", "inline"):
            raise ConfigurationError(
                f"refresh={safe_repr(self.refresh)} is no way to refresh",
                advice="Use 'auto', 'background' or 'inline'.",
            )

    @property
    def inline(self) -> bool:
        """Whether nothing may outlive the callers."""
        if self.refresh == "auto":
            return "AWS_LAMBDA_RUNTIME_API" in os.environ
        return self.refresh == "inline"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPolicy:
    """How many sockets there may be, and how long one question may take.

    The times of discovery (`connect_timeout`, `read_timeout`, `discovery_timeout`, `max_attempts`) leave the clients
    that `CloudMap.client()` and `CloudMap.http_session()` hand out alone.

    Raises:
        ConfigurationError: A value is outside its range.
    """

    max_connections: int = 16
    """Open sockets per event loop at every instant, idle ones included, over all clients. 3 or more: two are kept
    free for discovery."""

    max_connections_per_host: int = 8
    """The same for one host and port. 1 or more; beyond `max_connections` it limits nothing."""

    keepalive_timeout: float = 10.0
    """Seconds an idle connection is kept. 0.001 or more."""

    connect_timeout: float = 1.0
    """Seconds that one attempt to connect may take. 0.001 or more."""

    read_timeout: float = 2.0
    """Seconds that one attempt may wait for bytes. 0.001 or more."""

    discovery_timeout: float = 5.0
    """Seconds that one question may take, with everything: queueing, connecting, retries. 0.001 or more."""

    max_calls_per_second: float = 200.0
    """Questions a second that are put to Cloud Map, after a burst of as many; over all event loops and services.
    0.001 or more. AWS allows an account 1,000 a second in a Region, by default."""

    max_attempts: int = 3
    """Attempts at one question, the first one included (botocore's standard retry mode). 1 or more."""

    dns_ttl: float = 30.0
    """Seconds that a host's addresses are remembered. 0 or more."""

    def __post_init__(self) -> None:
        _number(self, "max_connections", least=3, whole=True)
        _number(self, "max_connections_per_host", least=1, whole=True)
        _number(self, "max_attempts", least=1, whole=True)
        for name in (
            "keepalive_timeout",
            "connect_timeout",
            "read_timeout",
            "discovery_timeout",
            "max_calls_per_second",
        ):
            _number(self, name, least=0.001)
        _number(self, "dns_ttl", least=0)


def policies_from_env(
    overrides: dict[str, Any], environ: Mapping[str, str] = os.environ
) -> tuple[CachePolicy, ConnectionPolicy]:
    """Both policies from one variable a field (`AIOCLOUDMAP_TTL`, ...).

    Args:
        overrides: Fields that win over their variables; those that are used are taken out.
        environ: The environment.

    Raises:
        ConfigurationError: A variable holds something that its field cannot be.
    """
    known: set[str] = set()
    cache = _from_env(CachePolicy, overrides, environ, known)
    connections = _from_env(ConnectionPolicy, overrides, environ, known)
    for variable in sorted(environ):
        if variable.startswith(_PREFIX) and variable not in known:
            import difflib  # noqa: PLC0415 - a slip is rare, and importing the library is to stay cheap

            # Without the prefix, which makes everything look alike.
            names = {name.removeprefix(_PREFIX): name for name in known}
            near = [names[name] for name in difflib.get_close_matches(variable.removeprefix(_PREFIX), names, n=1)]
            LOGGER.warning("%s is no setting of aiocloudmap%s", variable, f"; is it {near[0]}?" if near else "")
    return cache, connections


_Policy = TypeVar("_Policy", CachePolicy, ConnectionPolicy)


def _from_env(policy: type[_Policy], overrides: dict[str, Any], environ: Mapping[str, str], known: set[str]) -> _Policy:
    values: dict[str, Any] = {}
    for item in fields(policy):
        variable = _PREFIX + item.name.upper()
        known.add(variable)
        if item.name in overrides:
            values[item.name] = overrides.pop(item.name)
        elif text := environ.get(variable, "").strip():
            kind: type = type(item.default)
            try:
                values[item.name] = kind(text)
            except ValueError:
                what = "a whole number" if kind is int else "a number"
                raise ConfigurationError(
                    f"{variable}={safe_repr(text)} is not {what}", advice=f"Say {what}, or unset it."
                ) from None
    try:
        return policy(**values)
    except ConfigurationError as error:
        read = ", ".join(sorted({_PREFIX + name.upper() for name in values} & environ.keys()))
        raise error.again(advice=error.advice + (f" Read from the environment: {read}." if read else "")) from None


def _number(policy: object, name: str, *, least: float, most: float = math.inf, whole: bool = False) -> None:
    value = getattr(policy, name)
    kinds = (int,) if whole else (int, float)
    # bool is an int to Python, and ttl=True a slip; what a float cannot hold would be an answer without a bound.
    if isinstance(value, kinds) and not isinstance(value, bool) and least <= value <= min(most, _MOST):
        return
    kind = "a whole number" if whole else "a number"
    limits = f"of {least} or more" if most == math.inf else f"from {least} to {most}"
    raise ConfigurationError(f"{name}={safe_repr(value)} is out of range", advice=f"Give {kind} {limits}.")
