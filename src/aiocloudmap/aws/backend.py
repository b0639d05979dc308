"""AWS Cloud Map as a source of truth: a question to DiscoverInstances, its answer in this library's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiocloudmap.aws.translation import from_call
from aiocloudmap.errors import CloudMapError, CredentialsError, ProtocolError
from aiocloudmap.model import MAX_INSTANCES, Discovery, HealthStatus, Instance, Query, ServiceName

if TYPE_CHECKING:
    from aiocloudmap.aws.session import AwsSession

__all__ = ["AwsBackend", "discovery_of", "parameters_of"]


class AwsBackend:
    """Cloud Map, asked through one session.

    Args:
        session: Gives the client; its credentials are loaded anew after AWS has found them expired or unknown.
    """

    def __init__(self, session: AwsSession) -> None:
        self._session = session

    async def discover(self, query: Query) -> Discovery:
        """Every instance that matches: one DiscoverInstances, `max_attempts` of them where AWS fails or throttles.

        The deadline is the caller's: cancelling ends the request under way.

        Raises:
            CloudMapError: By `aws.error_table`; a ConfigurationError where there is no Region or no credentials.

        Source: https://docs.aws.amazon.com/cloud-map/latest/api/API_DiscoverInstances.html
        """
        region, credentials = "", self._session.credentials
        try:
            client = await self._session.discovery_client()
            region = client.meta.region_name
            answer = await client.discover_instances(**parameters_of(query))
        except Exception as error:
            meaning = from_call(error, service=query.service, region=region)
            if isinstance(meaning, CredentialsError):
                # A login, a role or a rotation may have put better ones in their place.
                self._session.drop_credentials(credentials)
            if meaning is error:
                raise
            raise meaning from error
        return discovery_of(answer, query.service)


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
    instances = answer.get("Instances") if isinstance(answer, Mapping) else None
    if not isinstance(instances, list):
        raise _garbled("has no list of instances", service)
    revision = answer.get("InstancesRevision")
    if revision is not None and type(revision) is not int:
        raise _garbled("has a revision that is no number", service)
    return Discovery(tuple(_instance(item, service) for item in instances), revision)


def _instance(item: Any, service: ServiceName) -> Instance:
    if not isinstance(item, Mapping):
        raise _garbled("has an instance that is no object", service)
    instance_id, attributes = item.get("InstanceId"), item.get("Attributes")
    if not isinstance(instance_id, str) or not instance_id:
        raise _garbled("has an instance without an id", service)
    attributes = {} if attributes is None else attributes
    if not isinstance(attributes, Mapping) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in attributes.items()
    ):
        raise _garbled("has attributes that are no text", service)
    return Instance(instance_id, service, _health(item.get("HealthStatus")), attributes)


def _health(value: Any) -> HealthStatus:
    """UNKNOWN for a status that this version has not heard of: a new word of AWS's must not end discovery."""
    try:
        return HealthStatus(value)
    except ValueError:
        return HealthStatus.UNKNOWN


def _garbled(what: str, service: ServiceName) -> CloudMapError:
    return ProtocolError(
        f"the answer {what}",
        service=service,
        advice="Check that endpoint_url names Cloud Map, and whether a proxy answers in its place.",
    )
