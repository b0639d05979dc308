"""How long answers are used (`CachePolicy`) and how the network is used (`ConnectionPolicy`).

The terms are those of RFC 9111 (ttl as max-age) and RFC 5861 (stale-while-revalidate, stale-if-error).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.model.events import LOGGER
from aiocloudmap.model.validation import check_number, safe_repr

__all__ = ["CachePolicy", "ConnectionPolicy", "policies_from_env"]

_PREFIX = "AIOCLOUDMAP_"
_MINIMUMS = {"max_connections": 3, "max_connections_per_host": 1, "max_attempts": 1, "dns_ttl": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """How long an answer is returned, and what happens if it cannot be refreshed. All times in seconds.

    Raises:
        ConfigurationError: A value is out of range.
    """

    ttl: float = 30.0
    """How long an answer is fresh. 0 or more."""

    stale_while_revalidate: float = 30.0
    """How long after that it is still returned at once, while it is refreshed. 0 or more."""

    stale_if_error: float = 600.0
    """How long after `ttl` it is returned if AWS does not answer. A hard limit. 0 or more."""

    negative_ttl: float = 5.0
    """How long not-found and empty answers are remembered. 0 or more."""

    empty_hold_time: float = 30.0
    """How long a non-empty answer is kept when an empty one follows. 0 accepts the empty one at once."""

    jitter: float = 0.1
    """The largest part of `ttl` that is taken off at random, so that processes do not refresh in step. 0 to 1."""

    soft_timeout: float = 1.0
    """How long a caller waits for a new answer if an old one can be returned instead. 0 or more; with `inline` refresh,
    0 means that an answer is only refreshed after it has expired."""

    refresh: Literal["auto", "background", "inline"] = "auto"
    """`background` refreshes in tasks that outlive the callers. `inline` leaves no task running after the last caller,
    for AWS Lambda, which freezes between invocations. `auto` is inline if AWS_LAMBDA_RUNTIME_API is set."""

    def __post_init__(self) -> None:
        for item in fields(self):
            if item.name != "refresh":
                check_number(item.name, getattr(self, item.name), 0, 1 if item.name == "jitter" else math.inf)
        if self.refresh not in ("auto", "background", "inline"):
            raise ConfigurationError(
                f"invalid refresh {safe_repr(self.refresh)}: expected 'auto', 'background' or 'inline'"
            )

    @property
    def inline(self) -> bool:
        """Whether no task may outlive the callers."""
        if self.refresh == "auto":
            return "AWS_LAMBDA_RUNTIME_API" in os.environ
        return self.refresh == "inline"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPolicy:
    """How many sockets may be open, and how long one query may take.

    `connect_timeout`, `read_timeout`, `discovery_timeout` and `max_attempts` are for queries to Cloud Map. They do not
    apply to `CloudMap.client()` and `CloudMap.http_session()`.

    Raises:
        ConfigurationError: A value is out of range.
    """

    max_connections: int = 16
    """The most sockets that are open per event loop, over all clients and including idle ones. 3 or more: two are
    reserved for discovery."""

    max_connections_per_host: int = 8
    """The same for one host and port. 1 or more; no effect above `max_connections`."""

    keepalive_timeout: float = 10.0
    """Seconds that an idle connection is kept. 0.001 or more."""

    connect_timeout: float = 1.0
    """Seconds that one attempt to connect may take. 0.001 or more."""

    read_timeout: float = 2.0
    """Seconds that one attempt may wait for bytes. 0.001 or more."""

    discovery_timeout: float = 5.0
    """Seconds that one query may take in all, including queueing, connecting and retries. 0.001 or more."""

    max_calls_per_second: float = 200.0
    """Queries per second sent to Cloud Map, after a burst of as many, over all event loops and services. 0.001 or more.
    AWS allows 1,000 per second for an account and Region by default."""

    max_attempts: int = 3
    """Attempts for one query, including the first (botocore's standard retry mode). 1 or more."""

    dns_ttl: float = 30.0
    """Seconds that the addresses of a host are cached. 0 or more."""

    def __post_init__(self) -> None:
        for item in fields(self):
            minimum = _MINIMUMS.get(item.name, 0.001)
            check_number(item.name, getattr(self, item.name), minimum, whole=isinstance(item.default, int))


def policies_from_env(
    overrides: dict[str, Any], environ: Mapping[str, str] = os.environ
) -> tuple[CachePolicy, ConnectionPolicy]:
    """Both policies, each field from its environment variable (`AIOCLOUDMAP_TTL`, ...).

    Args:
        overrides: Values that win over the environment. Those that belong to a policy are removed from the dict.
        environ: The environment.

    Raises:
        ConfigurationError: A value is not valid for its field.
    """
    known: set[str] = set()
    cache = _from_env(CachePolicy, overrides, environ, known)
    connections = _from_env(ConnectionPolicy, overrides, environ, known)
    for variable in sorted(environ):
        if variable.startswith(_PREFIX) and variable not in known:
            import difflib  # noqa: PLC0415 - rarely needed, and this keeps the import cheap

            # Without the prefix, which would make all names similar.
            names = {name.removeprefix(_PREFIX): name for name in known}
            near = [names[name] for name in difflib.get_close_matches(variable.removeprefix(_PREFIX), names, n=1)]
            LOGGER.warning("unknown setting %s%s", variable, f"; did you mean {near[0]}?" if near else "")
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
                raise ConfigurationError(f"invalid {variable} {safe_repr(text)}: expected {what}") from None
    try:
        return policy(**values)
    except ConfigurationError as error:
        read = ", ".join(sorted({_PREFIX + name.upper() for name in values} & environ.keys()))
        raise error.again(advice=f"Read from the environment: {read}." if read else "") from None
