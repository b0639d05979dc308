"""What there is at one moment, and how to find it: the calls in `aiocloudmap.local.calls` read and change this."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from string import ascii_lowercase, digits
from typing import Final

from aiocloudmap.local.operations import Operation, OperationLog, Target
from aiocloudmap.local.quotas import Quotas, RateLimiter
from aiocloudmap.local.records import NamespaceRecord, ServiceRecord
from aiocloudmap.local.refusals import RefusedError
from aiocloudmap.ports import Clock

__all__ = ["State"]

_ALPHABET: Final = ascii_lowercase + digits


class State:
    """Everything the world knows. Not locked: `World` does that.

    Args:
        clock: Where time comes from.
        account: The account whose calls are answered.
        region: The Region that ARNs name.
        quotas: How much the account may have and ask.
        operation_time: Seconds that operations take.
        health_delay: Seconds before a reported custom health status takes effect.
        seed: Makes ids and the order of answers repeatable.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        account: str,
        region: str,
        quotas: Quotas,
        operation_time: float,
        health_delay: float,
        seed: int | None,
    ) -> None:
        self.clock = clock
        self.account = account
        self.region = region
        self.quotas = quotas
        self.health_delay = health_delay
        self.limiter = RateLimiter(quotas)
        self.operations = OperationLog(operation_time)
        self.random = random.Random(seed)  # noqa: S311 - the order of answers is no secret
        self.namespaces: dict[str, NamespaceRecord] = {}
        self.services: dict[str, ServiceRecord] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.dns_names_used: set[str] = set()
        self._by_name: dict[tuple[str, str], ServiceRecord] = {}
        self._numbers = count(1)

    @property
    def now(self) -> float:
        """Seconds by the clock that never runs backwards."""
        return self.clock.monotonic()

    @property
    def date(self) -> float:
        """Seconds since the epoch, to the millisecond, as AWS writes dates."""
        return round(self.clock.time(), 3)

    def next_number(self) -> int:
        """A number larger than every one before it."""
        return next(self._numbers)

    def new_id(self, prefix: str, length: int = 16) -> str:
        """An id as AWS makes them."""
        return prefix + "".join(self.random.choices(_ALPHABET, k=length))

    def arn(self, kind: str, identifier: str, owner: str) -> str:
        """The ARN of a namespace or a service."""
        return f"arn:aws:servicediscovery:{self.region}:{owner}:{kind}/{identifier}"

    def namespace(self, id_or_arn: str) -> NamespaceRecord:
        """The namespace; one that another account shares is only found by its ARN.

        Raises:
            RefusedError: `NamespaceNotFound`.
        """
        record = self.namespaces.get(id_or_arn.rpartition("/")[2])
        if record is None or id_or_arn not in self._names_of(record.id, record.arn, record.owner):
            raise RefusedError(f"there is no namespace {id_or_arn}", code="NamespaceNotFound")
        return record

    def service(self, id_or_arn: str) -> ServiceRecord:
        """The service; one in a namespace that another account shares is only found by its ARN.

        Raises:
            RefusedError: `ServiceNotFound`.
        """
        record = self.services.get(id_or_arn.rpartition("/")[2])
        if record is None or id_or_arn not in self._names_of(record.id, record.arn, record.namespace.owner):
            raise RefusedError(f"there is no service {id_or_arn}", code="ServiceNotFound")
        return record

    def find_namespace(self, http_name: str, owner: str | None = None) -> NamespaceRecord | None:
        """The namespace with this HttpName that `owner` owns; without an owner, the account's own."""
        owner = owner or self.account
        for record in self.namespaces.values():
            if record.http_name == http_name and record.owner == owner:
                return record
        return None

    def find_service(self, namespace: NamespaceRecord, name: str) -> ServiceRecord | None:
        """The service of this name in the namespace."""
        return self._by_name.get((namespace.id, name))

    def discover(self, namespace_name: str, service_name: str, owner: str | None) -> ServiceRecord:
        """The service as the data plane looks for it: by names, never by ids.

        Raises:
            RefusedError: `NamespaceNotFound` or `ServiceNotFound`.
        """
        namespace = self.find_namespace(namespace_name, owner)
        if namespace is None:
            whose = f"account {owner} shares" if owner else "this account has"
            raise RefusedError(f"{whose} no namespace with the HttpName {namespace_name}", code="NamespaceNotFound")
        service = self.find_service(namespace, service_name)
        if service is None:
            raise RefusedError(f"namespace {namespace_name} has no service {service_name}", code="ServiceNotFound")
        return service

    def services_of(self, namespace: NamespaceRecord) -> Iterator[ServiceRecord]:
        """The namespace's services, in the order they were made."""
        return (service for service in self.services.values() if service.namespace is namespace)

    def add_service(self, service: ServiceRecord) -> None:
        """Make the service known."""
        self.services[service.id] = service
        self._by_name[service.namespace.id, service.name] = service

    def drop_service(self, service: ServiceRecord) -> None:
        """Forget the service and its tags."""
        del self.services[service.id]
        del self._by_name[service.namespace.id, service.name]
        self.tags.pop(service.arn, None)

    def submit(
        self,
        kind: str,
        target: Target,
        targets: Mapping[str, str],
        owner: str,
        apply: Callable[[str], None],
        *,
        token: str | None = None,
    ) -> dict[str, str]:
        """Start an operation; the answer that carries its id.

        Args:
            kind: AWS's name for its type.
            target: What no other operation may touch meanwhile.
            targets: The ids that GetOperation tells.
            owner: The account that owns the namespace.
            apply: Its effect; called with the operation's id when it ends well.
            token: The caller's CreatorRequestId: the same request made again gets the same operation.
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
        )
        return {"OperationId": self.operations.submit(operation).id}

    def _names_of(self, identifier: str, arn: str, owner: str) -> tuple[str, ...]:
        return (identifier, arn) if owner == self.account else (arn,)
