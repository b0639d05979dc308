"""A socket that tells when its descriptor is really gone, and a look at whether the peer is still there."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

__all__ = ["CountedSocket", "is_quiet"]


class CountedSocket(socket.socket):
    """A socket whose owner is told, once, when the descriptor has been given back to the system.

    `transport.close()` returns long before that. asyncio ends a socket through `close`, uvloop through `detach`.

    Args:
        on_gone: Called once.
    """

    on_gone: Callable[[], object] | None = None

    def close(self) -> None:
        """As ever."""
        super().close()
        # A loop that is still waiting on the descriptor keeps it open until it has let go.
        if self.fileno() < 0:
            self._tell()

    def detach(self) -> int:
        """As ever."""
        try:
            return super().detach()
        finally:
            self._tell()

    def _tell(self) -> None:
        on_gone, self.on_gone = self.on_gone, None
        if on_gone is not None:
            on_gone()


def is_quiet(sock: socket.socket) -> bool:
    """Whether an idle connection is still good: nothing to read, no end, no error.

    The loop has not looked since it slept or was frozen; whatever an idle connection has to read, be it the peer's
    goodbye or garbage, makes it unfit for another request. One system call, no waiting.
    """
    descriptor = sock.fileno()
    if descriptor < 0:
        return False
    if not hasattr(select, "poll"):
        readable, _, failed = select.select([descriptor], [], [descriptor], 0)
        return not readable and not failed
    poller = select.poll()
    poller.register(descriptor, select.POLLIN | select.POLLPRI)
    return not poller.poll(0)
