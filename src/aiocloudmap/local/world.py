"""A Cloud Map without AWS: namespaces, services, instances, health, revisions, operations, by AWS's rules.

No I/O and no event loop; time comes from a clock, and nothing ticks. `World.call` takes AWS's own calls; the other
methods are a tester's hand, which acts at once: no operation, no delay, no rate.

What remains different from the real service
* Answers are consistent at once: nothing has to spread, unless `operation_time` says so.
* No DNS records are made, no Route 53 health check runs: `set_health` says how it ended. No VPC, no IAM, no RAM: a
  namespace of another account is simply there (`owner_account`).
* Rates of the control plane are unlimited; AWS does not publish them.
* What AWS does not document is decided here: registering an id again moves the revision, and keeps the health unless
  it names one; a CreatorRequestId is remembered as long as what it made exists, unchanged.
* Messages are ours; error names, statuses and members are AWS's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any, Self

from aiocloudmap.local.actions import CALLS
from aiocloudmap.local.actions.attributes import checked_service_attributes
from aiocloudmap.local.actions.instances import check_registration, drop_instance, find_instance, put_instance
from aiocloudmap.local.by_name import find_namespace, find_service, make_namespace, make_service
from aiocloudmap.local.errors import RefusedError
from aiocloudmap.local.quotas import SECONDS_TO_CHANGE_HEALTH, Quotas
from aiocloudmap.local.request import ACCOUNT, ATTRIBUTE_KEY, ATTRIBUTE_VALUE, INSTANCE_ID, Request
from aiocloudmap.local.state import Health, State
from aiocloudmap.local.toml import read_definition
from aiocloudmap.local.validation import filled_in
from aiocloudmap.model.instance import HealthStatus, Instance
from aiocloudmap.model.interfaces import SYSTEM_CLOCK, Clock
from aiocloudmap.model.query import ServiceName

__all__ = ["World"]

ACCOUNT_ID = "123456789012"
REGION = "eu-west-1"


class World:
    """Namespaces, services and instances of one account in one Region. May be used from several threads.

    Args:
        clock: Where time comes from.
        account: The account's twelve digits.
        region: The Region, for ARNs.
        quotas: How much the account may have and ask; AWS's own where nothing is said, none with
            `Quotas.unlimited()`.
        operation_time: Seconds that RegisterInstance and other operations take; 0 or more.
        health_delay: Seconds before UpdateInstanceCustomHealthStatus takes effect; AWS waits 30, 0 is at once.
        seed: Makes ids and the order of answers repeatable.
    """

    def __init__(
        self,
        *,
        clock: Clock = SYSTEM_CLOCK,
        account: str = ACCOUNT_ID,
        region: str = REGION,
        quotas: Quotas | None = None,
        operation_time: float = 0.0,
        health_delay: float = SECONDS_TO_CHANGE_HEALTH,
        seed: int | None = None,
    ) -> None:
        self._lock = threading.RLock()
        self._state = State(
            clock=clock,
            account=ACCOUNT.check("account", account),
            region=region,
            quotas=quotas or Quotas(),
            operation_time=operation_time,
            health_delay=health_delay,
            seed=seed,
        )

    @classmethod
    def from_toml(cls, path_or_text: str | os.PathLike[str], **settings: Any) -> Self:
        """A world as a TOML file describes it; the form is told in `aiocloudmap.local.toml`.

        Args:
            path_or_text: A path; or TOML itself, as a string that holds a line break.
            settings: As for `World`.

        Raises:
            ConfigurationError: The file cannot be read, is no TOML, or AWS would refuse what it says.
        """
        world = cls(**settings)
        for service in read_definition(path_or_text):
            owner = service.owner_account
            try:
                world.add_service(
                    service.name,
                    attributes=service.attributes,
                    health_check=service.health_check,
                    owner_account=owner,
                )
            except RefusedError as refusal:
                raise service.error(refusal.what) from refusal
            for identifier, attributes in service.instances.items():
                try:
                    world.register(service.name, identifier, attributes, owner_account=owner)
                except RefusedError as refusal:
                    raise service.error(refusal.what, "instances", identifier) from refusal
            for identifier in service.unhealthy:
                world.set_health(service.name, identifier, HealthStatus.UNHEALTHY, owner_account=owner)
        return world

    @property
    def clock(self) -> Clock:
        """Where the world's time comes from."""
        return self._state.clock

    @property
    def account(self) -> str:
        """The account whose world it is."""
        return self._state.account

    @property
    def region(self) -> str:
        """The Region whose world it is."""
        return self._state.region

    def call(self, operation: str, members: Mapping[str, Any]) -> dict[str, Any]:
        """What AWS would answer.

        Args:
            operation: AWS's name of it, such as `DiscoverInstances`.
            members: The request, as its JSON.

        Raises:
            RefusedError: AWS would refuse it, with AWS's error name as `.code`.
        """
        call = CALLS.get(operation)
        if call is None:
            raise RefusedError(f"Cloud Map has no operation {operation}", code="UnknownOperationException")
        with self._lock:
            now = self._state.now
            self._state.limiter.take(operation, now)
            self._state.operations.settle(now)
            return call(self._state, Request(members))

    def register(
        self,
        name: str | ServiceName,
        instance_id: str,
        attributes: Mapping[str, str] | None = None,
        *,
        owner_account: str | None = None,
    ) -> None:
        """Put an instance there at once, or change it; namespace and service are made where they are missing.

        Args:
            name: The service, as `namespace/service`.
            instance_id: Unique in its service.
            attributes: Its attributes.
            owner_account: The account that owns the namespace. Where it is not said, here and below, the account's
                own namespace is meant, or else one that is shared under this name.

        Raises:
            RefusedError: AWS would refuse it.
        """
        with self._lock:
            INSTANCE_ID.check("InstanceId", instance_id)
            service = make_service(self._state, name, owner_account)
            given = Request({"Attributes": dict(attributes or {})})
            checked = given.mapping("Attributes", ATTRIBUTE_KEY, ATTRIBUTE_VALUE, required=True)
            check_registration(self._state, service, instance_id, checked)
            put_instance(self._state, service, instance_id, filled_in(checked))

    def deregister(self, name: str | ServiceName, instance_id: str, *, owner_account: str | None = None) -> None:
        """Take an instance away at once.

        Raises:
            RefusedError: There is none.
        """
        with self._lock:
            service = find_service(self._state, name, owner_account)
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

        A service without a health check gets a custom one first: its other instances become HEALTHY.

        Raises:
            RefusedError: There is no such instance, or no such status.
        """
        if status not in (HealthStatus.HEALTHY, HealthStatus.UNHEALTHY):
            raise RefusedError(f"{status!a} is no health that an instance can be given; say HEALTHY or UNHEALTHY")
        with self._lock:
            service = find_service(self._state, name, owner_account)
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
        """Put a service there, in a namespace that is made where it is missing; change it where it is there.

        Args:
            name: The service, as `namespace/service`.
            attributes: The service's own attributes; None leaves them.
            health_check: Give it a custom health check.
            owner_account: The account that owns the namespace, for one that is shared.

        Raises:
            RefusedError: More attributes than a service may have, or an account that is none.
        """
        with self._lock:
            service = make_service(self._state, name, owner_account)
            if attributes is not None:
                service.attributes = checked_service_attributes(dict(attributes))
            if health_check and not service.has_health:
                service.custom_check = {"FailureThreshold": 1}

    def add_namespace(self, name: str, *, owner_account: str | None = None) -> None:
        """Put an HTTP namespace there, unless it is.

        Args:
            name: Its Name and HttpName.
            owner_account: The account that owns and shares it, None for one's own.
        """
        ServiceName(name, ".")
        with self._lock:
            make_namespace(self._state, name, owner_account)

    def remove_service(self, name: str | ServiceName, *, owner_account: str | None = None) -> None:
        """Take a service away at once, with its instances.

        Raises:
            RefusedError: There is none.
        """
        with self._lock:
            self._state.drop_service(find_service(self._state, name, owner_account))

    def remove_namespace(self, name: str, *, owner_account: str | None = None) -> None:
        """Take a namespace away at once, with everything in it.

        Raises:
            RefusedError: There is none.
        """
        with self._lock:
            namespace = find_namespace(self._state, name, owner_account)
            for service in list(self._state.services_of(namespace)):
                self._state.drop_service(service)
            del self._state.namespaces[namespace.id]

    def revision(self, name: str | ServiceName, *, owner_account: str | None = None) -> int:
        """The service's revision, which every registration and deregistration moves up by one.

        Raises:
            RefusedError: There is no such service.
        """
        with self._lock:
            return find_service(self._state, name, owner_account).revision

    def service_attributes(self, name: str | ServiceName, *, owner_account: str | None = None) -> dict[str, str]:
        """The service's own attributes.

        Args:
            name: The service, as `namespace/service`.
            owner_account: The account that shares the namespace; without it, only one's own namespaces are looked at.

        Raises:
            RefusedError: There is no such namespace, or no such service.
        """
        parsed = ServiceName.parse(name) if isinstance(name, str) else name
        with self._lock:
            self._state.operations.settle(self._state.now)
            return dict(self._state.discover(parsed.namespace, parsed.service, owner_account).attributes)

    def instances(self, name: str | ServiceName, *, owner_account: str | None = None) -> tuple[Instance, ...]:
        """Every instance of a service, sorted by id.

        Raises:
            RefusedError: There is no such service.
        """
        with self._lock:
            service, now = find_service(self._state, name, owner_account), self._state.now
            public = ServiceName(service.namespace.http_name, service.name)
            return tuple(
                Instance(each.id, public, service.health_of(each, now), each.attributes)
                for _, each in sorted(service.instances.items())
            )

    def services(self) -> tuple[ServiceName, ...]:
        """Every service, sorted by name, those in namespaces of other accounts included."""
        with self._lock:
            return tuple(
                sorted(ServiceName(each.namespace.http_name, each.name) for each in self._state.services.values())
            )

    def fail_operations(self, times: int = 1, *, code: str = "INTERNAL_FAILURE", message: str = "told to") -> None:
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
