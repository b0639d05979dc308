"""How long a call may wait for its connection: in the pool's queue, and to connect."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiocloudmap.aws.transport.pool import RESERVED, ConnectionPool, Permit, PoolRequest, Purpose
from aiocloudmap.errors import ConnectionLimitError

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.tracing import Trace

__all__ = ["max_connect_time", "wait_in_queue"]

_QUEUE_SHARE: Final = 0.95
"""Share of a total timeout that may be spent queueing, so that the error of the limit comes first."""


async def wait_in_queue(
    pool: ConnectionPool[Any], request: PoolRequest[Any], traces: list[Trace], timeout: ClientTimeout
) -> Permit[Any]:
    """The permit that the pool assigns. If the wait ends in any other way, the request is withdrawn.

    Raises:
        ConnectionLimitError: A client's call waited for as long as it may wait to connect.
        ConnectError: The connector was closed.
    """
    loop = asyncio.get_running_loop()
    request.waiter = loop.create_future()
    max_wait = _max_queue_time(timeout) if request.purpose is Purpose.CLIENT else None
    timer = None if max_wait is None else loop.call_later(max_wait, _give_up, pool, request, max_wait)
    try:
        for trace in traces or ():
            await trace.send_connection_queued_start()
        await request.waiter
        for trace in traces or ():
            await trace.send_connection_queued_end()
    except BaseException:
        pool.withdraw(request)
        raise
    finally:
        if timer is not None:
            timer.cancel()
    assert request.permit is not None
    return request.permit


def _give_up(pool: ConnectionPool[Any], request: PoolRequest[Any], waited: float) -> None:
    if request.permit is not None:
        return
    pool.withdraw(request)
    host: Any = request.host
    message = (
        f"no connection to {host[0]} became free in {waited:.1f} s, with a limit of {pool.limit} "
        f"({pool.per_host} per host, {RESERVED} reserved for discovery): {pool!r}"
    )
    advice = "Raise ConnectionPolicy.max_connections, make fewer concurrent calls, or release responses sooner."
    request.fail(ConnectionLimitError(message, advice=advice))


def _max_queue_time(timeout: ClientTimeout) -> float | None:
    """Seconds that the caller would have waited to connect; None for no limit."""
    total = timeout.total * _QUEUE_SHARE if timeout.total else None
    return min((limit for limit in (timeout.connect, timeout.sock_connect, total) if limit), default=None)


def max_connect_time(req: ClientRequest, timeout: ClientTimeout, waited: float) -> float | None:
    """Seconds left for all of connecting, after `waited`; None for no limit.

    aiohttp bounds each single attempt, but not the answer of a proxy.
    """
    if timeout.connect:
        return max(timeout.connect - waited, 0.001)
    if req.proxy is not None and timeout.sock_connect:
        return 2 * timeout.sock_connect + (timeout.sock_read or timeout.sock_connect)
    return None
