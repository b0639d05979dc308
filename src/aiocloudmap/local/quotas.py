"""AWS's quotas of an account in one Region: the number of resources, and the rate of requests.

The numbers are those of the quotas page of the AWS Cloud Map developer guide. DiscoverInstances has a bucket of 2,000
requests that refills by 1,000 a second. For DiscoverInstancesRevision AWS publishes the rate only, so its bucket here
holds the requests of one second. Rates of the control plane are not published, and not limited here.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from aiocloudmap.local.request import RefusedError

__all__ = ["Quotas", "Rate", "RateLimiter"]


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket.

    Args:
        burst: Requests that it holds when full.
        per_second: Requests that it gains each second.
    """

    burst: float
    per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """The quotas of an account in a Region. The defaults are AWS's."""

    namespaces: float = 50
    """Namespaces that the account owns; AWS raises it on request."""

    services_per_namespace: float = inf
    """Services of a namespace. AWS publishes no number, but CreateService may reach a limit."""

    instances_per_namespace: float = 2000
    """Instances over all services of a namespace; AWS raises it on request."""

    instances_per_service: float = 1000
    """Instances of a service; AWS never raises it."""

    discover_instances: Rate = Rate(burst=2000, per_second=1000)
    """Requests to DiscoverInstances."""

    discover_instances_revision: Rate = Rate(burst=3000, per_second=3000)
    """Requests to DiscoverInstancesRevision."""

    @classmethod
    def unlimited(cls) -> Quotas:
        """No limits."""
        rate = Rate(inf, inf)
        counts = {"namespaces": inf, "instances_per_namespace": inf, "instances_per_service": inf}
        return cls(**counts, discover_instances=rate, discover_instances_revision=rate)


class RateLimiter:
    """The token buckets of one account, one for each operation."""

    def __init__(self, quotas: Quotas) -> None:
        self._rates = {
            "DiscoverInstances": quotas.discover_instances,
            "DiscoverInstancesRevision": quotas.discover_instances_revision,
        }
        self._buckets: dict[str, tuple[float, float]] = {}
        """Tokens left, and when they were counted."""

    def take(self, operation: str, now: float) -> None:
        """Count one request, or refuse it with RequestLimitExceeded if the bucket is empty."""
        rate = self._rates.get(operation)
        if rate is None or rate.burst == inf:
            return
        tokens, counted_at = self._buckets.get(operation, (rate.burst, now))
        tokens = min(rate.burst, tokens + max(0.0, now - counted_at) * rate.per_second)
        self._buckets[operation] = (tokens - 1 if tokens >= 1 else tokens, now)
        if tokens < 1:
            raise RefusedError(
                f"more than {rate.burst:g} requests at once, or {rate.per_second:g} a second, to {operation}",
                code="RequestLimitExceeded",
            )
