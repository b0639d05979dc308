"""A fleet, and what AWS allows it and asks for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from aiocloudmap.cache.memory_store import MAX_ENTRIES
from aiocloudmap.errors import ConfigurationError
from aiocloudmap.local.quotas import Quotas, Rate
from aiocloudmap.model.policy import CachePolicy, ConnectionPolicy

__all__ = ["AWS_QUOTA", "Fleet"]

AWS_QUOTA: Final[Rate] = Quotas().discover_instances
"""A bucket of 2,000 calls that refills by 1,000 a second, for an account in a Region; AWS raises both on request.

Source: https://docs.aws.amazon.com/cloud-map/latest/dg/cloud-map-limits.html
"""

_MOST: Final = 10**9
"""No fleet is larger; beyond it, a slip of the keyboard would be computed with."""
_MOST_LOOPS: Final = 1000

_CACHE: Final = CachePolicy()
_CONNECTIONS: Final = ConnectionPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Equal processes that ask for the same number of services each.

    Args:
        processes: With answers of their own: workers, sandboxes, containers. 1 or more.
        services: That each process asks for. 1 or more, and as many as the library keeps answers at most.
        empty: How many of those have no instance, or do not exist. 0 up to `services`.
        loops: Event loops in each process that ask for all of them. 1 or more.
        requests_per_second: Questions a second that a process's own code puts to the library, over all services
            alike; None where it asks all the time.
        start_over: Seconds over which the processes start, evenly; the last one starts then. 0 or more.
        call_duration: Seconds that one call takes. 0 up to half of the policy's discovery_timeout.
        instances: That are registered, in all. 0 or more.
        cache: The policy of every handle.
        connections: The policy of every `CloudMap`.
        quota: What of AWS's quota is left for this fleet. Both rates are more than 0, and `burst` 1 or more.

    Raises:
        ConfigurationError: A value is outside its range.
    """

    processes: int
    services: int = 1
    empty: int = 0
    loops: int = 1
    requests_per_second: float | None = None
    start_over: float = 0.0
    call_duration: float = 0.01
    instances: int = 0
    cache: CachePolicy = _CACHE
    connections: ConnectionPolicy = _CONNECTIONS
    quota: Rate = AWS_QUOTA

    def __post_init__(self) -> None:
        _check("processes", self.processes, least=1, whole=True)
        _check("services", self.services, least=1, most=MAX_ENTRIES, whole=True)
        _check("loops", self.loops, least=1, most=_MOST_LOOPS, whole=True)
        _check("empty", self.empty, least=0, most=self.services, whole=True)
        _check("instances", self.instances, least=0, whole=True)
        _check("start_over", self.start_over, least=0)
        # Longer than that, a call that has waited for its turn would never be in time.
        _check("call_duration", self.call_duration, least=0, most=self.connections.discovery_timeout / 2)
        _check("max_calls_per_second", self.connections.max_calls_per_second, least=0.001)
        if self.requests_per_second is not None:
            _check("requests_per_second", self.requests_per_second, least=0.000001)
        _check("quota.per_second", self.quota.per_second, least=0.001)
        _check("quota.burst", self.quota.burst, least=1)

    @property
    def answers(self) -> int:
        """Answers that are kept in all: each process has its own of each service."""
        return self.processes * self.services

    @property
    def questions(self) -> int:
        """First questions: event loops that ask at the same time share answers, not calls."""
        return self.answers * self.loops

    @property
    def gap(self) -> float:
        """Seconds between an answer's end and the next question for it, on average; random questions are assumed."""
        return 0.0 if self.requests_per_second is None else self.services / self.requests_per_second

    @property
    def pause(self) -> float:
        """Seconds between an answer's end and the next one, on average."""
        return self.gap + self.call_duration

    @property
    def interval(self) -> float:
        """Seconds between two calls of a process about a service that has instances, on average."""
        return self.cache.ttl * (1 - self.cache.jitter / 2) + self.pause

    @property
    def empty_interval(self) -> float:
        """The same, about one that has none."""
        return self.cache.negative_ttl + self.pause

    @property
    def burst(self) -> float:
        """Calls that a process may make at once after a pause."""
        return max(1.0, self.connections.max_calls_per_second)


def _check(name: str, value: float, *, least: float, most: float = _MOST, whole: bool = False) -> None:
    kinds = (int,) if whole else (int, float)
    if isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value) and least <= value <= most:
        return
    kind = "a whole number" if whole else "a number"
    raise ConfigurationError(f"{name}={value!r} is out of range", advice=f"Give {kind} from {least:,} to {most:,}.")
