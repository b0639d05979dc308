"""The calls in flight of one connector: how many there are, and whether anybody still reads their responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiocloudmap.aws.handler import Handler

__all__ = ["CallsInFlight"]


class CallsInFlight:
    """Counts calls from before they queue until their connection is given back.

    Args:
        on_quiet: Called when the last one has ended.
    """

    def __init__(self, on_quiet: Callable[[], object]) -> None:
        self.count = 0
        self._on_quiet = on_quiet
        self._connected: set[Handler] = set()

    def begin(self) -> None:
        """One more; it has no connection yet."""
        self.count += 1

    def connect(self, handler: Handler) -> None:
        """One of them has got its connection."""
        self._connected.add(handler)

    def disconnect(self, handler: Handler) -> bool:
        """It does not need the connection any more. False for a connection that no call has got."""
        known = handler in self._connected
        self._connected.discard(handler)
        return known

    def end(self) -> None:
        """One less."""
        self.count -= 1
        if not self.count:
            self._on_quiet()

    def abandoned_in(self, now: float) -> float | None:
        """Seconds until every call is a response that nobody seems to read; None if one of them is not begun.

        A response counts as abandoned when no byte of it has come for ten seconds. A call that still waits for the
        first byte never does: its own time-out ends it.

        Args:
            now: The moment, on the loop's clock.
        """
        if len(self._connected) < self.count:
            return None
        silences = [handler.abandoned_at for handler in self._connected]
        return None if None in silences else max([0.0, *(at - now for at in silences if at is not None)])
