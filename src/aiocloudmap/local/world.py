"""Cloud Map without AWS: namespaces, services, instances, health, revisions and operations, by AWS's rules.

No I/O, no event loop and no timers; time comes from a clock. `World.call` takes AWS's own calls. The other methods are
for tests and take effect at once: no operation, no delay, no rate limit.

What differs from the real service:
* Answers are consistent at once, unless `operation_time` says otherwise.
* There are no DNS records, Route 53 health checks, VPCs, IAM or RAM. `set_health` sets the result of a health check. A
  namespace of another account simply exists (`owner_account`).
* The control plane has no rate limits, since AWS does not publish them.
* What AWS does not document is decided here: registering an id again increases the revision, and keeps the health
  unless the call sets one. A CreatorRequestId or UpdaterRequestId is remembered until what it made is
  replaced or deleted. Until then, another request with it is a DuplicateRequest; for CreateService a new request.
  An update of a namespace that is being deleted, or of an instance whose service is being updated, is ResourceInUse.
* Error names, statuses and members are AWS's; messages are not.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from random import Random
from typing import Any, Self

from aiocloudmap.local.actions import ACTIONS
from aiocloudmap.local.actions.instances import check_registration, drop_instance, find_instance, put_instance
from aiocloudmap.local.actions.services import check_service_attributes
from aiocloudmap.local.operations import OperationLog
from aiocloudmap.local.quotas import Quotas, RateLimiter
from aiocloudmap.local.request import ACCOUNT, ATTRIBUTE_KEY, ATTRIBUTE_VALUE, INSTANCE_ID, RefusedError, Request
from aiocloudmap.local.state import Health, NamespaceRecord, ServiceRecord, State
from aiocloudmap.local.toml import read_definition
from aiocloudmap.local.validation import add_ec2_address
from aiocloudmap.model.instance import HealthStatus, Instance
from aiocloudmap.model.interfaces import SYSTEM_CLOCK, Clock
from aiocloudmap.model.query import ServiceName

__all__ = ["World"]


class World:
    """Namespaces, services and instances of one account in one Region. May be used from several threads.

    Methods raise `RefusedError`, with AWS's error name as its `code`, for names that do not exist and for everything
    else that AWS would refuse.

    Args:
        clock: Where time comes from.
        account: The account id, twelve digits.
        region: The Region, for ARNs.
        quotas: Limits of the account; by default AWS's. `Quotas.unlimited()` removes them.
        operation_time: Seconds that RegisterInstance and other operations take; 0 or more.
        health_delay: Seconds before UpdateInstanceCustomHealthStatus takes effect; AWS waits 30, 0 is at once.
        seed: Makes ids and the order of answers repeatable.
    """

    def __init__(
        self,
        *,
        clock: Clock = SYSTEM_CLOCK,
        account: str = "123456789012",
        region: str = "eu-west-1",
        quotas: Quotas | None = None,
        operation_time: float = 0.0,
        health_delay: float = 30.0,
        seed: int | None = None,
    ) -> None:
        self._lock = threading.RLock()
        quotas = quotas or Quotas()
        self._limiter = RateLimiter(quotas)
        self._state = State(
            clock=clock,
            account=ACCOUNT.check("account", account),
            region=region,
            quotas=quotas,
            health_delay=health_delay,
            random=Random(seed),  # noqa: S311 - not used for security
            operations=OperationLog(operation_time),
        )

    @classmethod
    def from_toml(cls, path_or_text: str | os.PathLike[str], **settings: Any) -> Self:
        """A world from a TOML file. `aiocloudmap.local.toml` describes the format.

        Args:
            path_or_text: A path; or TOML itself, as a string with a line break.
            settings: As for `World`.

        Raises:
            ConfigurationError: The file cannot be read, is not TOML, or describes something that AWS would refuse.
        """
        world = cls(**settings)
        for service in read_definition(path_or_text):
            name, owner = service.name, service.owner_account
            table: tuple[str, ...] = ()
            try:
                world.add_service(
                    name, attributes=service.attributes, health_check=service.health_check, owner_account=owner
                )
                for identifier, attributes in service.instances.items():
                    table = ("instances", identifier)
                    world.register(name, identifier, attributes, owner_account=owner)
            except RefusedError as refusal:
                raise service.error(refusal.what, *table) from refusal
            for identifier in service.unhealthy:
                world.set_health(name, identifier, HealthStatus.UNHEALTHY, owner_account=owner)
        return world

    @property
    def clock(self) -> Clock:
        """Where time comes from."""
        return self._state.clock

    @property
    def account(self) -> str:
        """The account id."""
        return self._state.account

    @property
    def region(self) -> str:
        """The Region."""
        return self._state.region

    def call(self, operation: str, members: Mapping[str, Any]) -> dict[str, Any]:
        """AWS's answer to a call.

        Args:
            operation: AWS's name of it, such as `DiscoverInstances`.
            members: The request, as parsed JSON.
        """
        action = ACTIONS.get(operation)
        if action is None:
            raise RefusedError(f"unknown operation {operation}", code="UnknownOperationException")
        with self._lock:
            now = self._state.now
            self._limiter.take(operation, now)
            self._state.operations.settle(now)
            return action(self._state, Request(members))

    def register(
        self,
        name: str | ServiceName,
        instance_id: str,
        attributes: Mapping[str, str] | None = None,
        *,
        owner_account: str | None = None,
    ) -> None:
        """Add or change an instance at once. A missing namespace or service is created.

        Args:
            name: The service, as `namespace/service`.
            instance_id: Unique in its service.
            attributes: Its attributes.
            owner_account: The account that owns the namespace. By default, here and below, the account's own
                namespace, or else one that is shared under this name.
        """
        with self._lock:
            INSTANCE_ID.check("InstanceId", instance_id)
            service = self._get_or_create_service(name, owner_account)
            request = Request({"Attributes": dict(attributes or {})})
            checked = request.mapping("Attributes", ATTRIBUTE_KEY, ATTRIBUTE_VALUE, required=True)
            check_registration(self._state, service, instance_id, checked)
            put_instance(self._state, service, instance_id, add_ec2_address(checked))

    def deregister(self, name: str | ServiceName, instance_id: str, *, owner_account: str | None = None) -> None:
        """Remove an instance at once."""
        with self._lock:
            service = self._find_service(name, owner_account)
            find_instance(service, instance_id)
            drop_instance(service, instance_id)

    def set_health(
        self,
        name: str | ServiceName,
        instance_id: str,
        status: HealthStatus | str,
        *,
        owner_account: str | None = None,
    ) -> None:
        """Make an instance HEALTHY or UNHEALTHY at once.

        A service without a health check gets a custom one, which makes its other instances HEALTHY.
        """
        if status not in (HealthStatus.HEALTHY, HealthStatus.UNHEALTHY):
            raise RefusedError(f"invalid health status {status!a}: expected HEALTHY or UNHEALTHY")
        with self._lock:
            service = self._find_service(name, owner_account)
            find_instance(service, instance_id).health = Health(HealthStatus(status))
            if not service.has_health:
                service.custom_check = {"FailureThreshold": 1}

    def add_service(
        self,
        name: str | ServiceName,
        *,
        attributes: Mapping[str, str] | None = None,
        health_check: bool = False,
        owner_account: str | None = None,
    ) -> None:
        """Add or change a service at once. A missing namespace is created.

        Args:
            name: The service, as `namespace/service`.
            attributes: The service's own attributes; None leaves them unchanged.
            health_check: Give it a custom health check.
            owner_account: The account that owns the namespace, for a shared one.
        """
        with self._lock:
            service = self._get_or_create_service(name, owner_account)
            if attributes is not None:
                service.attributes = check_service_attributes(dict(attributes))
            if health_check and not service.has_health:
                service.custom_check = {"FailureThreshold": 1}

    def add_namespace(self, name: str, *, owner_account: str | None = None) -> None:
        """Add an HTTP namespace, unless it exists.

        Args:
            name: Its Name and HttpName.
            owner_account: The account that owns and shares it; None for the account itself.
        """
        ServiceName(name, ".")
        with self._lock:
            self._get_or_create_namespace(name, owner_account)

    def remove_service(self, name: str | ServiceName, *, owner_account: str | None = None) -> None:
        """Remove a service and its instances at once."""
        with self._lock:
            self._state.drop_service(self._find_service(name, owner_account))

    def remove_namespace(self, name: str, *, owner_account: str | None = None) -> None:
        """Remove a namespace and everything in it at once."""
        with self._lock:
            namespace = self._find_namespace(name, owner_account)
            for service in list(self._state.services_of(namespace)):
                self._state.drop_service(service)
            del self._state.namespaces[namespace.id]

    def revision(self, name: str | ServiceName, *, owner_account: str | None = None) -> int:
        """The service's revision, which every registration and deregistration increases by one."""
        with self._lock:
            return self._find_service(name, owner_account).revision

    def service_attributes(self, name: str | ServiceName, *, owner_account: str | None = None) -> dict[str, str]:
        """The service's own attributes.

        Args:
            name: The service, as `namespace/service`.
            owner_account: The account that shares the namespace; None looks at the account's own namespaces only.
        """
        parsed = ServiceName.parse(name)
        with self._lock:
            self._state.operations.settle(self._state.now)
            return dict(self._state.discover(parsed.namespace, parsed.service, owner_account).attributes)

    def instances(self, name: str | ServiceName, *, owner_account: str | None = None) -> tuple[Instance, ...]:
        """Every instance of a service, sorted by id."""
        with self._lock:
            service, now = self._find_service(name, owner_account), self._state.now
            public = ServiceName(service.namespace.http_name, service.name)
            return tuple(
                Instance(each.id, public, service.health_of(each, now), each.attributes)
                for _, each in sorted(service.instances.items())
            )

    def services(self) -> tuple[ServiceName, ...]:
        """Every service, sorted by name, also those in namespaces of other accounts."""
        with self._lock:
            return tuple(
                sorted(ServiceName(each.namespace.http_name, each.name) for each in self._state.services.values())
            )

    def fail_operations(
        self, times: int = 1, *, code: str = "INTERNAL_FAILURE", message: str = "injected failure"
    ) -> None:
        """Let the next operations end as FAIL, with no effect.

        Args:
            times: How many.
            code: Their ErrorCode, such as `THROTTLED_REQUEST`.
            message: Their ErrorMessage.
        """
        with self._lock:
            self._state.operations.fail(times, code, message)

    def __repr__(self) -> str:
        with self._lock:
            instances = sum(len(each.instances) for each in self._state.services.values())
            counts = f"{len(self._state.namespaces)} namespaces, {len(self._state.services)} services"
            return f"<World of account {self.account} in {self.region}: {counts}, {instances} instances>"

    def _namespace(self, name: str, owner: str | None) -> NamespaceRecord | None:
        """The owner's namespace; without an owner, the account's own or else a shared one."""
        state = self._state
        state.operations.settle(state.now)
        found = state.find_namespace(name, owner)
        if found is None and owner is None:
            return next((each for each in state.namespaces.values() if each.http_name == name), None)
        return found

    def _find_namespace(self, name: str, owner: str | None) -> NamespaceRecord:
        if (found := self._namespace(name, owner)) is None:
            raise RefusedError(f"namespace {name} not found", code="NamespaceNotFound")
        return found

    def _find_service(self, name: str | ServiceName, owner: str | None) -> ServiceRecord:
        parsed = ServiceName.parse(name)
        found = self._state.find_service(self._find_namespace(parsed.namespace, owner), parsed.service)
        if found is None:
            raise RefusedError(f"service {parsed} not found", code="ServiceNotFound")
        return found

    def _get_or_create_namespace(self, name: str, owner: str | None) -> NamespaceRecord:
        found = self._namespace(name, owner)
        if found is None:
            owner = self.account if owner is None else ACCOUNT.check("owner_account", owner)
            found = self._state.new_namespace(name, kind="HTTP", owner=owner)
            self._state.add_namespace(found)
        return found

    def _get_or_create_service(self, name: str | ServiceName, owner: str | None) -> ServiceRecord:
        parsed = ServiceName.parse(name)
        namespace = self._get_or_create_namespace(parsed.namespace, owner)
        found = self._state.find_service(namespace, parsed.service)
        if found is None:
            found = self._state.new_service(namespace, parsed.service)
            self._state.add_service(found)
        return found
