"""Cloud Map's ids for the names that people write: the control plane wants ids. Each is looked up once and kept.

| what is known | what it costs |
|---|---|
| the service's id | nothing |
| the namespace's id | ListServices, every page: AWS has no filter by name; the ids of all its services are kept |
| nothing | ListNamespaces by HttpName, then as above |

The control plane's rates are low and shared by the whole account. So all callers on one event loop that need the same
list share one reading of it, and its failure. A page may be empty and still lead to another one: AWS filters a page
after reading it.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from cachetools import LRUCache

from aiocloudmap.aws.errors import INVALID_ANSWER
from aiocloudmap.aws.shared_call import SharedCalls
from aiocloudmap.model.error_codes import NO_NAMESPACE, NO_SERVICE
from aiocloudmap.model.query import AttributesQuery, ServiceName

__all__ = ["ServiceId", "ServiceIds"]

MAX_IDS: Final = 4096
_PAGE: Final = 100
"""Entries of a page: the most that AWS returns."""

_Key = tuple[str | None, str, str | None]
"""Owner, namespace and service; None in place of the service for the namespace's own id."""


class ServiceId(NamedTuple):
    """The control plane's id of a service, or its ARN if another account shares the namespace.

    Args:
        value: The id or the ARN.
        remembered: Whether it was known before. The service may have been deleted or created again since then.
    """

    value: str
    remembered: bool


class ServiceIds:
    """The ids of services by name, for one account and Region.

    Args:
        call: Calls one of Cloud Map's operations, in snake case, and raises this library's errors.
    """

    def __init__(self, call: Callable[[str, ServiceName, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]) -> None:
        self._call = call
        self._ids: LRUCache[_Key, str] = LRUCache(MAX_IDS)
        self._lists = SharedCalls()
        self.forget_after_fork()

    def forget_after_fork(self) -> None:
        """A new lock for the child, without the parent's calls. The ids stay."""
        self._lock = threading.Lock()
        self._lists.forget_after_fork()

    async def find(self, query: AttributesQuery) -> ServiceId:
        """Return the service's id.

        Raises:
            NamespaceNotFoundError: The namespace does not exist, or is not shared.
            ServiceNotFoundError: The namespace does not have the service.
            CloudMapError: The call to AWS failed.
        """
        name, owner = query.service, query.owner_account
        if (known := self._get(owner, name.namespace, name.service)) is not None:
            return ServiceId(known, remembered=True)
        namespace, remembered = self._get(owner, name.namespace), True
        if namespace is None:
            namespace, remembered = await self._find_namespace(query), False
        found = await self._find_service(query, namespace)
        if found is None and remembered:  # the namespace may have been deleted and created again
            renewed = await self._find_namespace(query)
            found = None if renewed == namespace else await self._find_service(query, renewed)
        if found is None:
            raise NO_SERVICE.error(service=name)
        return ServiceId(found, remembered=False)

    def forget(self, query: AttributesQuery, wrong: ServiceId) -> None:
        """Drop an id that AWS no longer knows, and the namespace's: both may have been created again."""
        name, owner = query.service, query.owner_account
        with self._lock:
            if self._ids.get((owner, name.namespace, name.service)) == wrong.value:
                del self._ids[owner, name.namespace, name.service]
                self._ids.pop((owner, name.namespace, None), None)

    async def _find_namespace(self, query: AttributesQuery) -> str:
        key = (query.owner_account, query.service.namespace)
        found = await self._lists.get(key, lambda: self._read_namespaces(query))
        if found is None:
            raise NO_NAMESPACE.error(service=query.service)
        return found

    async def _find_service(self, query: AttributesQuery, namespace: str) -> str | None:
        name = query.service
        if (known := self._get(query.owner_account, name.namespace, name.service)) is not None:
            return known  # another caller read the list while this one waited for the namespace
        return (await self._lists.get(namespace, lambda: self._read_services(query, namespace))).get(name.service)

    async def _read_namespaces(self, query: AttributesQuery) -> str | None:
        """The namespace's id by HttpName, as DiscoverInstances finds it; by Name if it does not have an HttpName."""
        name, owner = query.service.namespace, query.owner_account
        # A shared namespace is listed with those of all owners: AWS has no filter for one account.
        own = [] if owner is not None else [_filter("RESOURCE_OWNER", "SELF")]
        for by in ("HTTP_NAME", "NAME"):
            for item in await self._list("list_namespaces", "Namespaces", query.service, [_filter(by, name), *own]):
                if _name_of(item) == name and owner in (None, _owner_of(item)):
                    found = _id_of(item, query)
                    self._put((owner, name, None), found)
                    return found
        return None

    async def _read_services(self, query: AttributesQuery, namespace: str) -> dict[str, str]:
        """The ids of all the namespace's services, by name; all are kept."""
        filters = [_filter("NAMESPACE_ID", namespace)]
        items = await self._list("list_services", "Services", query.service, filters)
        found = {str(item.get("Name")): _id_of(item, query) for item in items}
        for service, service_id in found.items():
            self._put((query.owner_account, query.service.namespace, service), service_id)
        return found

    async def _list(
        self, operation: str, member: str, service: ServiceName, filters: list[dict[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """Every entry, from all pages."""
        parameters: dict[str, Any] = {"Filters": filters, "MaxResults": _PAGE}
        found: list[Mapping[str, Any]] = []
        while True:
            page = await self._call(operation, service, parameters)
            items, token = page.get(member), page.get("NextToken")
            if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
                raise INVALID_ANSWER.error(f"invalid answer: expected a list of {member.lower()}", service=service)
            found += items
            if not token:
                return found
            if token == parameters.get("NextToken"):
                raise INVALID_ANSWER.error(f"invalid list of {member.lower()}: a page leads to itself", service=service)
            parameters = {**parameters, "NextToken": token}

    def _get(self, owner: str | None, namespace: str, service: str | None = None) -> str | None:
        with self._lock:
            found: str | None = self._ids.get((owner, namespace, service))
            return found

    def _put(self, key: _Key, found: str) -> None:
        with self._lock:
            self._ids[key] = found


def _filter(name: str, value: str) -> dict[str, Any]:
    return {"Name": name, "Values": [value], "Condition": "EQ"}


def _name_of(item: Mapping[str, Any]) -> object:
    """The HttpName. It differs from Name if a name was used twice."""
    properties = item.get("Properties")
    http = properties.get("HttpProperties") if isinstance(properties, Mapping) else None
    return (http.get("HttpName") if isinstance(http, Mapping) else None) or item.get("Name")


def _owner_of(item: Mapping[str, Any]) -> object:
    """The account in the ARN: older answers do not have ResourceOwner."""
    fields = str(item.get("Arn")).split(":")
    return item.get("ResourceOwner") or (fields[4] if len(fields) > 4 else None)


def _id_of(item: Mapping[str, Any], query: AttributesQuery) -> str:
    """The ARN for a namespace that another account shares: AWS does not take the id there."""
    member = "Id" if query.owner_account is None else "Arn"
    found = item.get(member)
    if not isinstance(found, str) or not found:
        raise INVALID_ANSWER.error(f"invalid answer: an entry without {member}", service=query.service)
    return found
