"""From the names that people write to the ids that Cloud Map's control plane wants: learnt once, and kept.

| what is known | what it costs |
|---|---|
| the service's id | nothing |
| the namespace's id | ListServices, every page: AWS has no filter by name; the ids of all its services are kept |
| nothing | ListNamespaces by HttpName, then as above |

The control plane's rates are low, and everybody in the account shares them. So whoever needs a list that is being read
on the same event loop waits for it, and takes what came of it, a failure as well. Whoever is cancelled while reading
leaves it to the next one. A page may be empty and yet lead on to another one: AWS filters pages after reading them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from cachetools import LRUCache

from aiocloudmap.aws.errors import GARBLED
from aiocloudmap.errors import CloudMapError
from aiocloudmap.model.error_codes import NO_NAMESPACE, NO_SERVICE
from aiocloudmap.model.query import AttributesQuery, ServiceName

__all__ = ["Ask", "ServiceId", "ServiceIds"]

MAX_IDS: Final = 4096
_PAGE: Final = 100
"""Entries of a page: as many as AWS gives."""

_Key = tuple[str | None, str, str | None]
"""Owner and namespace, and the service unless it is the namespace's id."""


class Ask(Protocol):
    """Calls one of Cloud Map's operations, in snake case, and raises this library's errors."""

    async def __call__(self, operation: str, service: ServiceName, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """What AWS answers."""
        ...


class ServiceId(NamedTuple):
    """What the control plane knows a service by: its id, or its ARN where the namespace is shared.

    Args:
        value: The id or the ARN.
        remembered: Whether it was known before, so that the service may be gone, or be another one, by now.
    """

    value: str
    remembered: bool


class ServiceIds:
    """The ids of services by name, for one account and Region.

    Args:
        ask: Calls Cloud Map.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._ids: LRUCache[_Key, str] = LRUCache(MAX_IDS)
        self._reading = _OneAtATime()
        self.forget_after_fork()

    def forget_after_fork(self) -> None:
        """A new lock for the child; what is known stays."""
        self._lock = threading.Lock()

    async def find(self, query: AttributesQuery) -> ServiceId:
        """The service's id.

        Raises:
            NamespaceNotFoundError: There is no such namespace, or it is not shared.
            ServiceNotFoundError: There is no such service in it.
            CloudMapError: AWS could not be asked.
        """
        name, owner = query.service, query.owner_account
        if (known := self._get(owner, name.namespace, name.service)) is not None:
            return ServiceId(known, remembered=True)
        namespace, remembered = self._get(owner, name.namespace), True
        if namespace is None:
            namespace, remembered = await self._find_namespace(query), False
        found = await self._find_service(query, namespace)
        if found is None and remembered:  # the namespace may have been deleted and made anew
            renewed = await self._find_namespace(query)
            found = None if renewed == namespace else await self._find_service(query, renewed)
        if found is None:
            raise NO_SERVICE.error(service=name)
        return ServiceId(found, remembered=False)

    def forget(self, query: AttributesQuery, wrong: ServiceId) -> None:
        """AWS does not know this id any more. The namespace's goes with it: both may have been made anew."""
        name, owner = query.service, query.owner_account
        with self._lock:
            if self._ids.get((owner, name.namespace, name.service)) == wrong.value:
                del self._ids[owner, name.namespace, name.service]
                self._ids.pop((owner, name.namespace, None), None)

    async def _find_namespace(self, query: AttributesQuery) -> str:
        name, owner = query.service.namespace, query.owner_account
        found: str | None = await self._reading.share((owner, name), lambda: self._read_namespaces(query))
        if found is None:
            raise NO_NAMESPACE.error(service=query.service)
        return found

    async def _find_service(self, query: AttributesQuery, namespace: str) -> str | None:
        name = query.service
        if (known := self._get(query.owner_account, name.namespace, name.service)) is not None:
            return known  # somebody read the list while we waited for the namespace
        found: dict[str, str] = await self._reading.share(namespace, lambda: self._read_services(query, namespace))
        return found.get(name.service)

    async def _read_namespaces(self, query: AttributesQuery) -> str | None:
        """The namespace's id. By HttpName, as DiscoverInstances finds it; by Name where it has no HttpName."""
        name, owner = query.service.namespace, query.owner_account
        # One that is shared is found with its owner only, which is not a filter of AWS's.
        whose = [] if owner is not None else [_filter("RESOURCE_OWNER", "SELF")]
        for by in ("HTTP_NAME", "NAME"):
            for item in await self._list("list_namespaces", "Namespaces", query.service, [_filter(by, name), *whose]):
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
            page = await self._ask(operation, service, parameters)
            items, token = page.get(member), page.get("NextToken")
            if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
                raise GARBLED.error(f"the answer has no list of {member.lower()}", service=service)
            found += items
            if not token:
                return found
            if token == parameters.get("NextToken"):
                raise GARBLED.error(f"the list of {member.lower()} leads from a page to the same page", service=service)
            parameters = {**parameters, "NextToken": token}

    def _get(self, owner: str | None, namespace: str, service: str | None = None) -> str | None:
        with self._lock:
            found: str | None = self._ids.get((owner, namespace, service))
            return found

    def _put(self, key: _Key, found: str) -> None:
        with self._lock:
            self._ids[key] = found


class _Turn:
    """Those who want the same thing on one event loop."""

    __slots__ = ("ended", "lock", "outcome", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = self.ended = 0
        self.outcome: Any = None


class _OneAtATime:
    """One call at a time per event loop and key; who came while it was under way takes what came of it."""

    def __init__(self) -> None:
        self._turns: dict[tuple[asyncio.AbstractEventLoop, Hashable], _Turn] = {}

    async def share(self, key: Hashable, call: Callable[[], Awaitable[Any]]) -> Any:
        """What the call returns or raises, one's own or that of somebody else."""
        mine = (asyncio.get_running_loop(), key)
        turn = self._turns.get(mine)
        if turn is None:
            self._sweep()
            turn = self._turns[mine] = _Turn()
        seen = turn.ended
        turn.users += 1
        try:
            async with turn.lock:
                if turn.ended == seen:  # nobody has finished since we came: it is up to us
                    turn.outcome = await _outcome(call)
                    turn.ended += 1
                outcome = turn.outcome
        finally:
            turn.users -= 1
            if not turn.users:
                self._turns.pop(mine, None)
        if isinstance(outcome, CloudMapError):
            raise outcome.again()
        return outcome

    def _sweep(self) -> None:
        """A loop that was closed in the middle of a call left its turns behind."""
        for key in [key for key in list(self._turns) if key[0].is_closed()]:
            self._turns.pop(key, None)


async def _outcome(call: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await call()
    except CloudMapError as error:
        # It is kept for others, and its traceback would keep this frame.
        return error.with_traceback(None)


def _filter(name: str, value: str) -> dict[str, Any]:
    return {"Name": name, "Values": [value], "Condition": "EQ"}


def _name_of(item: Mapping[str, Any]) -> object:
    """The HttpName, which differs from Name where a name was used twice."""
    properties = item.get("Properties")
    http = properties.get("HttpProperties") if isinstance(properties, Mapping) else None
    return (http.get("HttpName") if isinstance(http, Mapping) else None) or item.get("Name")


def _owner_of(item: Mapping[str, Any]) -> object:
    """The account in the ARN: ResourceOwner came later."""
    fields = str(item.get("Arn")).split(":")
    return item.get("ResourceOwner") or (fields[4] if len(fields) > 4 else None)


def _id_of(item: Mapping[str, Any], query: AttributesQuery) -> str:
    """AWS wants ARNs for what another account shares."""
    member = "Id" if query.owner_account is None else "Arn"
    found = item.get(member)
    if not isinstance(found, str) or not found:
        raise GARBLED.error(f"the answer has an entry without {member}", service=query.service)
    return found
