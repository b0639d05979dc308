"""The AWS backend: queries become DiscoverInstances and GetServiceAttributes calls, and their answers become ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aiocloudmap.aws.errors import INVALID_ANSWER, from_call
from aiocloudmap.aws.service_ids import ServiceIds
from aiocloudmap.errors import AccessDeniedError, CloudMapError, CredentialsError, ServiceNotFoundError, ThrottledError
from aiocloudmap.model.instance import MAX_INSTANCES, Discovery, HealthStatus, Instance
from aiocloudmap.model.query import AttributesQuery, Query, ServiceName

if TYPE_CHECKING:
    from aiocloudmap.aws.session import AwsSession

__all__ = ["AwsBackend", "attributes_of", "discovery_of", "parameters_of", "register_reader"]

_CONTROL_PLANE_ADVICE: Mapping[type[CloudMapError], str] = {
    AccessDeniedError: "Allow servicediscovery:GetServiceAttributes, servicediscovery:ListNamespaces and"
    " servicediscovery:ListServices.",
    ThrottledError: "The control plane's rates are low, and all of the account shares them: raise CachePolicy.ttl.",
}
"""Replaces the advice for DiscoverInstances, which needs other permissions and has other quotas."""

_HEALTH: Final[Mapping[str, HealthStatus]] = {status.value: status for status in HealthStatus}


class AwsBackend:
    """Cloud Map, called through one session.

    Args:
        session: Makes the client. Its credentials are loaded again after AWS has found them expired or unknown.
    """

    def __init__(self, session: AwsSession) -> None:
        self._session = session
        self._client: Any = None
        self._ids = ServiceIds(self._call_control_plane)

    def forget_after_fork(self) -> None:
        """In the child: ids stay, locks and calls under way are the parent's."""
        self._ids.forget_after_fork()

    def waiting_for(self, *, keep: bool) -> str:
        """Return what a call that has begun waits for, if it is known; the resolver asks at the call's deadline.

        Args:
            keep: Let it go on without the call, for the next one.
        """
        credentials = self._session.credentials
        source = "" if credentials is None else credentials.waited_for(keep=keep)
        return source and f"waiting for AWS credentials from {source}"

    async def discover(self, query: Query) -> Discovery:
        """Return every instance that matches: one DiscoverInstances, up to `max_attempts` if AWS fails or throttles.

        The deadline is the caller's: cancelling ends the request under way.

        Raises:
            CloudMapError: By the tables of `aws.errors`.

        Source: https://docs.aws.amazon.com/cloud-map/latest/api/API_DiscoverInstances.html
        """
        answer = await self._call("discover_instances", query.service, parameters_of(query))
        return discovery_of(answer, query.service)

    async def service_attributes(self, query: AttributesQuery) -> Mapping[str, str]:
        """Return the service's own attributes: one GetServiceAttributes once its id is known (see `aws.service_ids`).

        An id that AWS no longer knows is looked up once more: the service may have been created again.

        Raises:
            CloudMapError: As `discover`.

        Source: https://docs.aws.amazon.com/cloud-map/latest/api/API_GetServiceAttributes.html
        """
        while True:
            found = await self._ids.find(query)
            try:
                parameters = {"ServiceId": found.value}
                answer = await self._call_control_plane("get_service_attributes", query.service, parameters)
                return attributes_of(answer, query.service)
            except ServiceNotFoundError:
                self._ids.forget(query, found)
                if not found.remembered:
                    raise

    async def _call_control_plane(
        self, operation: str, service: ServiceName, parameters: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        try:
            answer = await self._call(operation, service, parameters)
        except CloudMapError as error:
            error.advice = _CONTROL_PLANE_ADVICE.get(type(error), error.advice)
            raise
        if not isinstance(answer, Mapping):
            raise _invalid("expected an object", service)
        return answer

    async def _call(self, operation: str, service: ServiceName, parameters: Mapping[str, Any]) -> Any:
        """Make one call, and raise its failure as one of this library's errors."""
        region, credentials = "", self._session.credentials
        signed_with = None if credentials is None else credentials.held
        try:
            if self._client is None:
                client = await self._session.discovery_client()
                register_reader(client)
                self._client = client
            region = self._client.meta.region_name
            return await getattr(self._client, operation)(**parameters)
        except Exception as error:
            meaning = from_call(error, service=service, region=region)
            if isinstance(meaning, CredentialsError):
                # A login, a role or a rotation may have put better ones in their place.
                self._session.drop_credentials(signed_with)
            if meaning is error:
                raise
            raise meaning from error


def parameters_of(query: Query) -> dict[str, Any]:
    """The query as DiscoverInstances' parameters.

    MaxResults and HealthStatus are always sent: AWS returns 100 instances without the one, and does not document what
    it does without the other.
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


# --- answers ---


def register_reader(client: Any) -> None:
    """Let this client's DiscoverInstances answers be read by the JSON parser alone.

    After parsing, botocore visits every attribute of every instance, which finds nothing but text. For a thousand
    instances that blocks the event loop for ten milliseconds. `discovery_of` checks the answer anyway.
    """
    event = "before-parse.servicediscovery.DiscoverInstances"
    client.meta.events.register(event, _read, unique_id="aiocloudmap-reader")


def _read(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Parse the body and leave only the headers to botocore. Errors and what isn't a JSON object stay as they are."""
    if response_dict["status_code"] >= 300:
        return
    try:
        answer = json.loads(response_dict["body"].decode())
    except ValueError:
        return
    if not isinstance(answer, dict):
        return
    for member in ("Instances", "InstancesRevision"):
        if answer.get(member) is not None:
            customized_response_dict[member] = answer[member]
    response_dict["body"] = b""


def discovery_of(answer: Any, service: ServiceName) -> Discovery:
    """The answer to DiscoverInstances as a `Discovery`.

    Raises:
        ProtocolError: AWS does not send such an answer.
    """
    instances = answer.get("Instances") if isinstance(answer, dict) else None
    if not isinstance(instances, list):
        raise _invalid("expected a list of instances", service)
    revision = answer.get("InstancesRevision")
    if revision is not None and type(revision) is not int:
        raise _invalid("expected a number as its revision", service)
    return Discovery(tuple(_instance(item, service) for item in instances), revision)


def attributes_of(answer: Mapping[str, Any], service: ServiceName) -> Mapping[str, str]:
    """The attributes in an answer to GetServiceAttributes.

    Raises:
        ProtocolError: AWS does not send such an answer.
    """
    described = answer.get("ServiceAttributes")
    if not isinstance(described, Mapping):
        raise _invalid("expected the attributes of a service", service)
    return _attributes(described.get("Attributes"), service)


def _instance(item: Any, service: ServiceName) -> Instance:
    if not isinstance(item, dict):
        raise _invalid("expected an object for each instance", service)
    instance_id = item.get("InstanceId")
    if not isinstance(instance_id, str) or not instance_id:
        raise _invalid("expected an id of each instance", service)
    # A status that this version does not know must not end discovery.
    status = _HEALTH.get(str(item.get("HealthStatus")), HealthStatus.UNKNOWN)
    return Instance(instance_id, service, status, _attributes(item.get("Attributes"), service))


def _attributes(given: Any, service: ServiceName) -> Mapping[str, str]:
    attributes = {} if given is None else given
    if not isinstance(attributes, dict) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in attributes.items()
    ):
        raise _invalid("expected attributes that map text to text", service)
    return attributes


def _invalid(expected: str, service: ServiceName) -> CloudMapError:
    return INVALID_ANSWER.error(f"invalid answer: {expected}", service=service)
