"""What the world is made of: namespaces, services, instances and their health."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from aiocloudmap.model import HealthStatus

__all__ = ["Health", "InstanceRecord", "NamespaceRecord", "NamespaceType", "ServiceRecord"]

NamespaceType = Literal["HTTP", "DNS_PRIVATE", "DNS_PUBLIC"]


@dataclass(slots=True, kw_only=True)
class NamespaceRecord:
    """A namespace, as AWS keeps it. `number` says in which order things were made."""

    id: str
    arn: str
    number: int
    name: str
    http_name: str
    type: NamespaceType
    owner: str
    created: float
    description: str | None = None
    creator_request_id: str | None = None
    creating_operation: str = ""
    vpc: str | None = None
    soa_ttl: int | None = None
    hosted_zone: str | None = None


@dataclass(slots=True)
class Health:
    """The health of one instance: what it is, and what it is about to become.

    A reported status takes effect after a delay. Saying the same again does not hasten it, saying the opposite
    within the delay cancels it.
    """

    status: HealthStatus = HealthStatus.HEALTHY
    _changes_at: float | None = None

    def report(self, status: HealthStatus, now: float, delay: float) -> None:
        """Take a status from an UpdateInstanceCustomHealthStatus."""
        self.settle(now)
        if status == self.status:
            self._changes_at = None
        elif self._changes_at is None:
            self._changes_at = now + delay
        self.settle(now)

    def settle(self, now: float) -> HealthStatus:
        """What it is now."""
        if self._changes_at is not None and now >= self._changes_at:
            flipped = self.status is HealthStatus.HEALTHY
            self.status = HealthStatus.UNHEALTHY if flipped else HealthStatus.HEALTHY
            self._changes_at = None
        return self.status


@dataclass(slots=True, kw_only=True)
class InstanceRecord:
    """An instance, as AWS keeps it."""

    id: str
    number: int
    attributes: dict[str, str]
    created_by: str
    creator_request_id: str | None = None
    registering_operation: str = ""
    health: Health = field(default_factory=Health)


@dataclass(slots=True, kw_only=True)
class ServiceRecord:
    """A service, as AWS keeps it. Its revision only ever grows."""

    id: str
    arn: str
    number: int
    name: str
    namespace: NamespaceRecord
    created: float
    created_by: str
    description: str | None = None
    creator_request_id: str | None = None
    fingerprint: tuple[Any, ...] = ()
    dns_config: dict[str, Any] | None = None
    route53_check: dict[str, Any] | None = None
    custom_check: dict[str, Any] | None = None
    api_only: bool = False
    attributes: dict[str, str] = field(default_factory=dict)
    instances: dict[str, InstanceRecord] = field(default_factory=dict)
    revision: int = 0

    @property
    def has_health(self) -> bool:
        """Whether any health check is configured."""
        return self.custom_check is not None or self.route53_check is not None

    @property
    def type(self) -> str:
        """How it can be found: `HTTP` or `DNS_HTTP`."""
        return "HTTP" if self.api_only or self.dns_config is None else "DNS_HTTP"

    @property
    def record_types(self) -> frozenset[str]:
        """Types of the DNS records that each instance gets."""
        records = self.dns_config["DnsRecords"] if self.dns_config else ()
        return frozenset(record["Type"] for record in records)

    def health_of(self, instance: InstanceRecord, now: float) -> HealthStatus:
        """What AWS would say of the instance: UNKNOWN where no health check is configured."""
        return instance.health.settle(now) if self.has_health else HealthStatus.UNKNOWN
