"""How long a call may wait for its connection, and what is said when that is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiocloudmap.errors import ConnectError, ConnectionLimitError

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout

    from aiocloudmap.aws.permits import Bound
    from aiocloudmap.settings import ConnectionPolicy

__all__ = ["closed_error", "connect_time", "limit_error", "needs_contexts", "queueing_time"]

_OF_TOTAL: Final = 0.95
"""The part of a total time-out that is spent queueing: the limit's own error has to come before it."""


def limit_error(host: Any, waited: float, policy: ConnectionPolicy, bound: Bound[Any]) -> ConnectionLimitError:
    """What a client's call ends in that waited for too long.

    Args:
        host: Name and port it wanted.
        waited: For how many seconds.
        policy: The limits.
        bound: How things stand.
    """
    return ConnectionLimitError(
        f"no connection to {host[0]} came free in {waited:.1f} s; of {policy.max_connections} "
        f"({policy.max_connections_per_host} per host, 2 kept for discovery): {bound!r}",
        advice="Raise ConnectionPolicy.max_connections, make fewer calls at a time, or release responses sooner.",
    )


def closed_error() -> ConnectError:
    """What a call ends in whose connection is closed by us."""
    return ConnectError(
        "the connections of this event loop were closed under the call",
        advice="Let calls end before the loop does, or await them inside `async with`.",
    )


def needs_contexts(req: ClientRequest) -> bool:
    """Whether anything on the way is TLS, without a context that the request brings."""
    return req.ssl is True and (req.is_ssl() or (req.proxy is not None and req.proxy.scheme == "https"))


def queueing_time(timeout: ClientTimeout) -> float | None:
    """How long the caller would have waited to connect; None for one without any limit."""
    total = timeout.total * _OF_TOTAL if timeout.total else None
    return min((limit for limit in (timeout.connect, timeout.sock_connect, total) if limit), default=None)


def connect_time(req: ClientRequest, timeout: ClientTimeout, waited: float) -> float | None:
    """What is left for all of connecting. aiohttp itself bounds the single attempt, but not a proxy's answer."""
    if timeout.connect:
        return max(timeout.connect - waited, 0.001)
    if req.proxy is not None and timeout.sock_connect:
        return 2 * timeout.sock_connect + (timeout.sock_read or timeout.sock_connect)
    return None
