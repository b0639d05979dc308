"""A fleet of processes, and the part of AWS's quota that it may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiocloudmap.cache.memory_store import MAX_ENTRIES
from aiocloudmap.local.quotas import Quotas, Rate
from aiocloudmap.model.policy import CachePolicy, ConnectionPolicy
from aiocloudmap.model.validation import check_number

__all__ = ["AWS_QUOTA", "Fleet"]

AWS_QUOTA: Final[Rate] = Quotas().discover_instances
"""2,000 calls at once and 1,000 a second, for an account in a Region; AWS raises both on request.

Source: https://docs.aws.amazon.com/cloud-map/latest/dg/cloud-map-limits.html
"""

_MAX: Final = 10**9
_MAX_LOOPS: Final = 1000
_CACHE: Final = CachePolicy()
_CONNECTIONS: Final = ConnectionPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Equal processes that ask for the same number of services each.

    Args:
        processes: Workers, sandboxes or containers with a cache each. 1 or more.
        services: Services that each process asks for. From 1 to the number of answers that the library keeps.
        empty: How many of them have no instance, or do not exist. From 0 to `services`.
        loops: Event loops in each process that ask for all services. 1 or more.
        requests_per_second: How often a process's own code asks the library, over all services. None: all the time.
        start_over: Seconds over which the processes start evenly. 0 or more.
        call_duration: Seconds that one call takes. From 0 to half of the policy's discovery_timeout.
        instances: Registered instances in all. 0 or more.
        cache: The policy of every handle.
        connections: The policy of every `CloudMap`.
        quota: The part of AWS's quota that is left for this fleet. `burst` is 1 or more.

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
        check_number("processes", self.processes, 1, _MAX, whole=True)
        check_number("services", self.services, 1, MAX_ENTRIES, whole=True)
        check_number("loops", self.loops, 1, _MAX_LOOPS, whole=True)
        check_number("empty", self.empty, 0, self.services, whole=True)
        check_number("instances", self.instances, 0, _MAX, whole=True)
        check_number("start_over", self.start_over, 0, _MAX)
        # A longer call would miss its deadline if it had to wait for its turn.
        check_number("call_duration", self.call_duration, 0, self.connections.discovery_timeout / 2)
        check_number("max_calls_per_second", self.connections.max_calls_per_second, 0.001, _MAX)
        if self.requests_per_second is not None:
            check_number("requests_per_second", self.requests_per_second, 0.000001, _MAX)
        check_number("quota.per_second", self.quota.per_second, 0.001, _MAX)
        check_number("quota.burst", self.quota.burst, 1, _MAX)

    @property
    def answers(self) -> int:
        """Answers that all processes keep together."""
        return self.processes * self.services

    @property
    def questions(self) -> int:
        """First questions. Event loops of a process that ask at the same time share answers, but not calls."""
        return self.answers * self.loops

    @property
    def gap(self) -> float:
        """Average seconds from the expiry of an answer to the next question for it, if questions come at random."""
        return 0.0 if self.requests_per_second is None else self.services / self.requests_per_second

    @property
    def pause(self) -> float:
        """Average seconds from the expiry of an answer to the next answer."""
        return self.gap + self.call_duration

    @property
    def interval(self) -> float:
        """Average seconds between two calls of a process about a service that has instances."""
        return self.cache.ttl * (1 - self.cache.jitter / 2) + self.pause

    @property
    def empty_interval(self) -> float:
        """Average seconds between two calls of a process about a service that has no instances."""
        return self.cache.negative_ttl + self.pause

    @property
    def burst(self) -> float:
        """Calls that a process may make at once after a pause."""
        return max(1.0, self.connections.max_calls_per_second)
