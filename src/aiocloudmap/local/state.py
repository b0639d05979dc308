"""Everything in a world at one moment: records of namespaces, services and instances, and how to find them.

The functions in `aiocloudmap.local.actions` read and change it. Nothing here is locked: `World` holds a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from random import Random
from string import ascii_lowercase, digits
from typing import Any, Final, Literal, NamedTuple

from aiocloudmap.local.operations import Operation, OperationLog, Target
from aiocloudmap.local.quotas import Quotas
from aiocloudmap.local.request import RefusedError
from aiocloudmap.model.instance import HealthStatus
from aiocloudmap.model.interfaces import Clock

__all__ = ["Health", "InstanceRecord", "NamespaceRecord", "NamespaceType", "Sent", "ServiceRecord", "State"]

_ALPHABET: Final = ascii_lowercase + digits

NamespaceType = Literal["HTTP", "DNS_PRIVATE", "DNS_PUBLIC"]


class Sent(NamedTuple):
    """A request with a CreatorRequestId or an UpdaterRequestId, and the operation that it started."""

    token: str | None
    request: object
    operation: str


@dataclass(slots=True, kw_only=True)
class NamespaceRecord:
    """A namespace. Records are numbered in the order they were made."""

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
    creation: Sent | None = None
    update: Sent | None = None
    vpc: str | None = None
    soa_ttl: int | None = None
    hosted_zone: str | None = None


@dataclass(slots=True)
class Health:
    """The health of one instance, now and after a reported change.

    A reported status takes effect after a delay. Reporting it again does not shorten the delay; reporting the opposite
    before it ends cancels the change.
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
        """The status now."""
        if self._changes_at is not None and now >= self._changes_at:
            was_healthy = self.status is HealthStatus.HEALTHY
            self.status = HealthStatus.UNHEALTHY if was_healthy else HealthStatus.HEALTHY
            self._changes_at = None
        return self.status


@dataclass(slots=True, kw_only=True)
class InstanceRecord:
    """An instance."""

    id: str
    number: int
    attributes: dict[str, str]
    created_by: str
    creator_request_id: str | None = None
    registration: Sent | None = None
    health: Health = field(default_factory=Health)


@dataclass(slots=True, kw_only=True)
class ServiceRecord:
    """A service. Its revision never decreases."""

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
        """The instance's health; UNKNOWN if no health check is configured."""
        return instance.health.settle(now) if self.has_health else HealthStatus.UNKNOWN


@dataclass(slots=True, kw_only=True, eq=False)
class State:
    """All records of one world."""

    clock: Clock
    account: str
    region: str
    quotas: Quotas
    health_delay: float
    random: Random
    operations: OperationLog
    namespaces: dict[str, NamespaceRecord] = field(default_factory=dict)
    services: dict[str, ServiceRecord] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    dns_names_used: set[str] = field(default_factory=set)
    _by_name: dict[tuple[str, str], ServiceRecord] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return self.clock.monotonic()

    @property
    def date(self) -> float:
        """Seconds since the epoch, to the millisecond, as AWS writes dates."""
        return round(self.clock.time(), 3)

    def next_number(self) -> int:
        """A number larger than all before it."""
        return next(self._numbers)

    def new_id(self, prefix: str, length: int = 16) -> str:
        """A random id in the form of AWS's."""
        return prefix + "".join(self.random.choices(_ALPHABET, k=length))

    def new_namespace(self, name: str, *, kind: NamespaceType, owner: str) -> NamespaceRecord:
        """A namespace with its ids, not yet added."""
        identifier = self.new_id("ns-")
        return NamespaceRecord(
            id=identifier,
            arn=self._arn("namespace", identifier, owner),
            number=self.next_number(),
            name=name,
            http_name=name,
            type=kind,
            owner=owner,
            created=self.date,
        )

    def add_namespace(self, record: NamespaceRecord) -> None:
        """Add a namespace.

        Its HttpName is its Name. A hash is appended if the owner has that HttpName, or if a DNS namespace ever had it.
        """
        is_dns = record.type != "HTTP"
        if self.find_namespace(record.name, record.owner) or (is_dns and record.name in self.dns_names_used):
            record.http_name = f"{record.name}-{self.new_id('')}"
        if is_dns:
            self.dns_names_used.add(record.name)
        self.namespaces[record.id] = record

    def new_service(self, namespace: NamespaceRecord, name: str) -> ServiceRecord:
        """A service with its ids, not yet added."""
        identifier = self.new_id("srv-")
        return ServiceRecord(
            id=identifier,
            arn=self._arn("service", identifier, namespace.owner),
            number=self.next_number(),
            name=name,
            namespace=namespace,
            created=self.date,
            created_by=self.account,
        )

    def add_service(self, service: ServiceRecord) -> None:
        """Add a service."""
        self.services[service.id] = service
        self._by_name[service.namespace.id, service.name] = service

    def drop_service(self, service: ServiceRecord) -> None:
        """Remove a service and its tags."""
        del self.services[service.id]
        del self._by_name[service.namespace.id, service.name]
        self.tags.pop(service.arn, None)

    def namespace(self, id_or_arn: str) -> NamespaceRecord:
        """The namespace. A namespace that another account shares is found by its ARN only."""
        record = self.namespaces.get(id_or_arn.rpartition("/")[2])
        if record is None or not self._is_named(id_or_arn, record.arn, record.owner):
            raise RefusedError(f"namespace {id_or_arn} not found", code="NamespaceNotFound")
        return record

    def service(self, id_or_arn: str) -> ServiceRecord:
        """The service. A service in a namespace that another account shares is found by its ARN only."""
        record = self.services.get(id_or_arn.rpartition("/")[2])
        if record is None or not self._is_named(id_or_arn, record.arn, record.namespace.owner):
            raise RefusedError(f"service {id_or_arn} not found", code="ServiceNotFound")
        return record

    def find_namespace(self, http_name: str, owner: str | None = None) -> NamespaceRecord | None:
        """The namespace with this HttpName that `owner` owns; without an owner, the account's own."""
        owner = owner or self.account
        for record in self.namespaces.values():
            if record.http_name == http_name and record.owner == owner:
                return record
        return None

    def find_service(self, namespace: NamespaceRecord, name: str) -> ServiceRecord | None:
        """The service with this name in the namespace."""
        return self._by_name.get((namespace.id, name))

    def discover(self, namespace_name: str, service_name: str, owner: str | None) -> ServiceRecord:
        """The service, by names only, as the data plane looks it up."""
        namespace = self.find_namespace(namespace_name, owner)
        if namespace is None:
            raise RefusedError(
                f"namespace with HttpName {namespace_name} not found in account {owner or self.account}",
                code="NamespaceNotFound",
            )
        service = self.find_service(namespace, service_name)
        if service is None:
            raise RefusedError(f"service {namespace_name}/{service_name} not found", code="ServiceNotFound")
        return service

    def services_of(self, namespace: NamespaceRecord) -> Iterator[ServiceRecord]:
        """The namespace's services, in the order they were made."""
        return (service for service in self.services.values() if service.namespace is namespace)

    def repeated(
        self, kind: str, scope: Target, token: str | None, request: object, done: Iterable[Sent | None]
    ) -> dict[str, str] | None:
        """The answer to a request that was sent before with this token; None for a new request.

        Args:
            kind: The type of its operation.
            scope: Where a token may be used once: the start of the operation's target.
            token: Its CreatorRequestId or UpdaterRequestId.
            request: Its other members.
            done: Earlier requests whose effect still exists.
        """
        if token is None:
            return None
        running = self.operations.find_running(kind, scope, token)
        former = Sent(token, running.request, running.id) if running else None
        former = former or next((each for each in done if each and each.token == token), None)
        if former is None:
            return None
        if former.request != request:
            raise RefusedError(
                f"the id {token!a} of the request was used for another request",
                code="DuplicateRequest",
                members={"DuplicateOperationId": former.operation},
            )
        return {"OperationId": former.operation}

    def submit(
        self,
        kind: str,
        target: Target,
        targets: Mapping[str, str],
        owner: str,
        apply: Callable[[str], None],
        *,
        token: str | None = None,
        request: object = None,
    ) -> dict[str, str]:
        """Start an operation. Returns the answer with its id.

        No other operation may change `target` until it ends. GetOperation returns `targets`. `apply` is its effect, and
        takes the operation's id. `repeated` finds it by its `token` and compares its `request`.
        """
        now = self.now
        operation = Operation(
            id=f"{self.new_id('', 32)}-{self.new_id('', 8)}",
            number=self.next_number(),
            type=kind,
            owner=owner,
            targets=targets,
            target=target,
            created=self.date,
            submitted_at=now,
            due_at=now + self.operations.duration,
            apply=apply,
            token=token,
            request=request,
        )
        return {"OperationId": self.operations.submit(operation).id}

    def _arn(self, kind: str, identifier: str, owner: str) -> str:
        return f"arn:aws:servicediscovery:{self.region}:{owner}:{kind}/{identifier}"

    def _is_named(self, id_or_arn: str, arn: str, owner: str) -> bool:
        return id_or_arn == arn or (owner == self.account and "/" not in id_or_arn)
