"""Callers who wait for their connection: where, for how long, and what they are told when that is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiocloudmap.aws.transport.pool import RESERVED, Purpose
from aiocloudmap.errors import ConnectError, ConnectionLimitError

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.tracing import Trace

    from aiocloudmap.aws.transport.pool import Bound, Turn
    from aiocloudmap.model.policy import ConnectionPolicy

__all__ = ["WaitingRoom", "closed_error", "connect_time", "limit_error", "needs_contexts", "queueing_time"]

_OF_TOTAL: Final = 0.95
"""The part of a total time-out that is spent queueing: the limit's own error has to come before it."""


class WaitingRoom:
    """Where callers wait for their turn, each for as long as it may.

    Args:
        bound: Gives the turns.
        policy: The limits, for what is said.
        loop: The event loop of the callers.
    """

    def __init__(self, bound: Bound[Any], policy: ConnectionPolicy, loop: asyncio.AbstractEventLoop) -> None:
        self._bound, self._policy, self._loop = bound, policy, loop
        self._waiting: set[asyncio.Future[None]] = set()

    async def wait(self, turn: Turn[Any], timeout: ClientTimeout, traces: list[Trace]) -> None:
        """Wait for room, or for an idle connection to the same place. Who leaves, for whatever reason, withdraws.

        Raises:
            ConnectionLimitError: A client's call waited for as long as it may wait to connect.
            ConnectError: The room was closed.
        """
        woken: asyncio.Future[None] = self._loop.create_future()
        turn.wake = lambda: None if woken.done() else woken.set_result(None)
        self._waiting.add(woken)
        patience = queueing_time(timeout) if turn.purpose is Purpose.CLIENT else None
        timer = None if patience is None else self._loop.call_later(patience, self._give_up, turn, woken, patience)
        try:
            for trace in traces or ():
                await trace.send_connection_queued_start()
            await woken
            for trace in traces or ():
                await trace.send_connection_queued_end()
        except BaseException:
            self._bound.withdraw(turn)
            raise
        finally:
            self._waiting.discard(woken)
            if timer is not None:
                timer.cancel()

    def close(self) -> None:
        """Everybody leaves, told that the connections were closed; each withdraws its turn as it wakes."""
        for woken in self._waiting:
            if not woken.done():
                woken.set_exception(closed_error())

    def _give_up(self, turn: Turn[Any], woken: asyncio.Future[None], patience: float) -> None:
        if woken.done():
            return
        self._bound.withdraw(turn)
        woken.set_exception(limit_error(turn.host, patience, self._policy, self._bound))


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
        f"({policy.max_connections_per_host} per host, {RESERVED} kept for discovery): {bound!r}",
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
