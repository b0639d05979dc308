"""AWS Cloud Map as a source of truth: questions to DiscoverInstances and GetServiceAttributes, answers in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aiocloudmap.aws.errors import GARBLED, from_call
from aiocloudmap.aws.service_ids import ServiceIds
from aiocloudmap.errors import (
    AccessDeniedError,
    CloudMapError,
    CredentialsError,
    ServiceNotFoundError,
    ThrottledError,
)
from aiocloudmap.model.instance import MAX_INSTANCES, Discovery, HealthStatus, Instance
from aiocloudmap.model.query import AttributesQuery, Query, ServiceName

if TYPE_CHECKING:
    from aiocloudmap.aws.session import AwsSession

__all__ = ["AwsBackend", "attributes_of", "discovery_of", "parameters_of"]


_CONTROL_PLANE_ADVICE: Mapping[type[CloudMapError], str] = {
    AccessDeniedError: "Allow servicediscovery:GetServiceAttributes, servicediscovery:ListNamespaces and"
    " servicediscovery:ListServices.",
    ThrottledError: "The control plane's rates are low, and all of the account shares them: raise CachePolicy.ttl.",
}
"""What differs from the advice for DiscoverInstances, which has actions and quotas of its own."""


_HEALTH: Final[Mapping[str, HealthStatus]] = {status.value: status for status in HealthStatus}


class AwsBackend:
    """Cloud Map, asked through one session.

    Args:
        session: Gives the client; its credentials are loaded anew after AWS has found them expired or unknown.
    """

    def __init__(self, session: AwsSession) -> None:
        self._session = session
        self._ids = ServiceIds(self._ask_control_plane)

    def forget_after_fork(self) -> None:
        """A new lock for the child; what is known stays."""
        self._ids.forget_after_fork()

    async def discover(self, query: Query) -> Discovery:
        """Every instance that matches: one DiscoverInstances, `max_attempts` of them where AWS fails or throttles.

        The deadline is the caller's: cancelling ends the request under way.

        Raises:
            CloudMapError: By `aws.error_table`; a ConfigurationError where there is no Region or no credentials.

        Source: https://docs.aws.amazon.com/cloud-map/latest/api/API_DiscoverInstances.html
        """
        answer = await self._ask("discover_instances", query.service, parameters_of(query))
        return discovery_of(answer, query.service)

    async def service_attributes(self, query: AttributesQuery) -> Mapping[str, str]:
        """The service's own attributes: one GetServiceAttributes, once its id is known (see `aws.service_ids`).

        An id that AWS does not know any more is learnt once more: the service may have been made anew.

        Raises:
            CloudMapError: As `discover`.

        Source: https://docs.aws.amazon.com/cloud-map/latest/api/API_GetServiceAttributes.html
        """
        while True:
            found = await self._ids.find(query)
            try:
                parameters = {"ServiceId": found.value}
                answer = await self._ask_control_plane("get_service_attributes", query.service, parameters)
                return attributes_of(answer, query.service)
            except ServiceNotFoundError:
                self._ids.forget(query, found)
                if not found.remembered:
                    raise

    async def _ask_control_plane(
        self, operation: str, service: ServiceName, parameters: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        try:
            answer = await self._ask(operation, service, parameters)
        except CloudMapError as error:
            error.advice = _CONTROL_PLANE_ADVICE.get(type(error), error.advice)
            raise
        if not isinstance(answer, Mapping):
            raise _garbled("is no object", service)
        return answer

    async def _ask(self, operation: str, service: ServiceName, parameters: Mapping[str, Any]) -> Any:
        """One call, in this library's errors."""
        region, credentials = "", self._session.credentials
        try:
            client = await self._session.discovery_client()
            region = client.meta.region_name
            return await getattr(client, operation)(**parameters)
        except Exception as error:
            meaning = from_call(error, service=service, region=region)
            if isinstance(meaning, CredentialsError):
                # A login, a role or a rotation may have put better ones in their place.
                self._session.drop_credentials(credentials)
            if meaning is error:
                raise
            raise meaning from error


def parameters_of(query: Query) -> dict[str, Any]:
    """The question in DiscoverInstances' words.

    MaxResults and HealthStatus are always sent: unset, the one means 100 instances, and AWS does not say what the other
    means.
    """
    parameters: dict[str, Any] = {
        "NamespaceName": query.service.namespace,
        "ServiceName": query.service.service,
        "MaxResults": MAX_INSTANCES,
        "HealthStatus": query.health.value,
    }
    if query.where:
        parameters["QueryParameters"] = dict(query.where)
    if query.prefer:
        parameters["OptionalParameters"] = dict(query.prefer)
    if query.owner_account is not None:
        parameters["OwnerAccount"] = query.owner_account
    return parameters


def discovery_of(answer: Any, service: ServiceName) -> Discovery:
    """The answer in our words.

    Raises:
        ProtocolError: It is not what AWS sends.
    """
    instances = answer.get("Instances") if isinstance(answer, dict) else None
    if not isinstance(instances, list):
        raise _garbled("has no list of instances", service)
    revision = answer.get("InstancesRevision")
    if revision is not None and type(revision) is not int:
        raise _garbled("has a revision that is no number", service)
    return Discovery(tuple(_instance(item, service) for item in instances), revision)


def attributes_of(answer: Mapping[str, Any], service: ServiceName) -> Mapping[str, str]:
    """The answer to GetServiceAttributes in our words.

    Raises:
        ProtocolError: It is not what AWS sends.
    """
    described = answer.get("ServiceAttributes")
    if not isinstance(described, Mapping):
        raise _garbled("describes no service", service)
    return _attributes(described.get("Attributes"), service)


def _instance(item: Any, service: ServiceName) -> Instance:
    if not isinstance(item, dict):
        raise _garbled("has an instance that is no object", service)
    instance_id = item.get("InstanceId")
    if not isinstance(instance_id, str) or not instance_id:
        raise _garbled("has an instance without an id", service)
    attributes = _attributes(item.get("Attributes"), service)
    return Instance(instance_id, service, _health(item.get("HealthStatus")), attributes)


def _attributes(given: Any, service: ServiceName) -> Mapping[str, str]:
    attributes = {} if given is None else given
    if not isinstance(attributes, dict) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in attributes.items()
    ):
        raise _garbled("has attributes that are no text", service)
    return attributes


def _health(value: Any) -> HealthStatus:
    """UNKNOWN for a status that this version has not heard of: a new word of AWS's must not end discovery."""
    return _HEALTH.get(value, HealthStatus.UNKNOWN) if isinstance(value, str) else HealthStatus.UNKNOWN


def _garbled(what: str, service: ServiceName) -> CloudMapError:
    return GARBLED.error(f"the answer {what}", service=service)
