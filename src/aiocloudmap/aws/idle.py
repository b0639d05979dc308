"""Idle connections: which of them may be used again, and when each is closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiocloudmap.aws.sockets import is_quiet

if TYPE_CHECKING:
    from aiocloudmap.aws.handler import Handler
    from aiocloudmap.aws.permits import Bound, Permit

__all__ = ["Expiry", "is_usable"]


def is_usable(permit: Permit[Handler], *, idle_after: float) -> bool:
    """Whether an idle connection may be used: the peer has said nothing, and it is not too old.

    The timer that closes the old ones has not run yet where the process was stopped, or the loop was at rest.

    Args:
        permit: The connection's.
        idle_after: What became idle then, or before, is too old.
    """
    handler = permit.connection
    return (
        handler is not None
        and handler.is_connected()
        and idle_after < permit.idle_since
        and bool(permit.sockets)
        and all(map(is_quiet, permit.sockets))
    )


class Expiry:
    """Closes each idle connection when its time is over. One timer for all: they become idle in order.

    Args:
        bound: Keeps them.
        keepalive_timeout: Seconds that each is kept.
        loop: The event loop of the connections.
    """

    def __init__(self, bound: Bound[Handler], keepalive_timeout: float, loop: asyncio.AbstractEventLoop) -> None:
        self._bound, self._keepalive_timeout, self._loop = bound, keepalive_timeout, loop
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """A connection has become idle."""
        if self._timer is None and self._bound.idle:
            oldest = next(iter(self._bound.idle))
            self._timer = self._loop.call_at(oldest.idle_since + self._keepalive_timeout, self._expire)

    def stop(self) -> None:
        """Close none of them any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        self._timer = None
        limit = self._loop.time() - self._keepalive_timeout
        for permit in list(self._bound.idle):
            if permit.idle_since <= limit:
                self._bound.close(permit)
        self.watch()
