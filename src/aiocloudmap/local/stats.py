"""Counts of calls and connections, for tests to assert on and for the demo to draw."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, KeysView
from dataclasses import dataclass, field

__all__ = ["CallCounts", "ServerStats"]


class CallCounts:
    """Calls per operation and per service. May be read while other threads count.

    `counts["DiscoverInstances"]` and `counts.of("shop/orders")` read one figure; the default is 0. Calls that fail or
    are never answered count too.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str | None]] = Counter()

    def add(self, operation: str, service: str | None = None) -> None:
        """Count one call. Its service is None if it names no service."""
        with self._lock:
            self._counts[operation, service] += 1

    def __getitem__(self, operation: str) -> int:
        """Calls of one operation."""
        return sum(count for (name, _), count in self._snapshot() if name == operation)

    def __iter__(self) -> Iterator[str]:
        """The operations that have been called, sorted."""
        return iter(self.by_operation)

    def __len__(self) -> int:
        """How many operations have been called."""
        return len(self.by_operation)

    def keys(self) -> KeysView[str]:
        """The operations that have been called, for `dict(counts)`."""
        return self.by_operation.keys()

    def of(self, service: str, operation: str | None = None) -> int:
        """Calls about one service, of one operation or of all."""
        return sum(
            count for (name, about), count in self._snapshot() if about == str(service) and operation in (None, name)
        )

    @property
    def total(self) -> int:
        """All calls."""
        return sum(count for _, count in self._snapshot())

    @property
    def by_operation(self) -> dict[str, int]:
        """Calls by operation."""
        return {name: self[name] for name in sorted({name for (name, _), _ in self._snapshot()})}

    @property
    def by_service(self) -> dict[str, int]:
        """Calls by service, for calls that name one."""
        return {name: self.of(name) for name in sorted({name for (_, name), _ in self._snapshot() if name})}

    def reset(self) -> None:
        """Count from 0 again."""
        with self._lock:
            self._counts.clear()

    def __repr__(self) -> str:
        return f"<CallCounts {self.by_operation}>"

    def _snapshot(self) -> list[tuple[tuple[str, str | None], int]]:
        with self._lock:
            return list(self._counts.items())


@dataclass(slots=True)
class ServerStats:
    """Counts of one server. Written by its thread, readable from any.

    Args:
        calls: Calls per operation and service.
        connections_open: Sockets open now.
        connections_peak: The most that were open at once.
        connections_accepted: All sockets ever opened.
        requests_open: Requests that wait for their answer now.
        requests_peak: The most that waited at once.
    """

    calls: CallCounts = field(default_factory=CallCounts)
    connections_open: int = 0
    connections_peak: int = 0
    connections_accepted: int = 0
    requests_open: int = 0
    requests_peak: int = 0

    def connection_made(self) -> None:
        """Count a new connection."""
        self.connections_accepted += 1
        self.connections_open += 1
        self.connections_peak = max(self.connections_peak, self.connections_open)

    def request_begun(self) -> None:
        """Count a new request."""
        self.requests_open += 1
        self.requests_peak = max(self.requests_peak, self.requests_open)

    def reset(self) -> None:
        """Count from 0 again, but for open connections and requests, which are the new peaks."""
        self.calls.reset()
        self.connections_peak = self.connections_accepted = self.connections_open
        self.requests_peak = self.requests_open
