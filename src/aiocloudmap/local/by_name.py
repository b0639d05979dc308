"""Namespaces and services by the names that people write, made where they are missing.

Where no owner is said, the account's own namespace is meant, or else one that is shared under this name.
"""

from __future__ import annotations

from aiocloudmap.local.actions.namespaces import new_namespace
from aiocloudmap.local.actions.services import new_service
from aiocloudmap.local.errors import RefusedError
from aiocloudmap.local.request import ACCOUNT
from aiocloudmap.local.state import NamespaceRecord, ServiceRecord, State
from aiocloudmap.model.query import ServiceName

__all__ = ["find_namespace", "find_service", "make_namespace", "make_service"]


def find_namespace(state: State, name: str, owner: str | None) -> NamespaceRecord:
    """The namespace.

    Raises:
        RefusedError: `NamespaceNotFound`.
    """
    if (found := _namespace(state, name, owner)) is None:
        raise RefusedError(f"there is no namespace {name}", code="NamespaceNotFound")
    return found


def find_service(state: State, name: str | ServiceName, owner: str | None) -> ServiceRecord:
    """The service.

    Raises:
        RefusedError: `NamespaceNotFound` or `ServiceNotFound`.
    """
    parsed = _parsed(name)
    found = state.find_service(find_namespace(state, parsed.namespace, owner), parsed.service)
    if found is None:
        raise RefusedError(f"there is no service {parsed}", code="ServiceNotFound")
    return found


def make_namespace(state: State, name: str, owner: str | None) -> NamespaceRecord:
    """The namespace; a new HTTP one where there is none."""
    found = _namespace(state, name, owner)
    if found is None:
        owner = state.account if owner is None else ACCOUNT.check("owner_account", owner)
        found = new_namespace(state, name, kind="HTTP", owner=owner)
        state.namespaces[found.id] = found
    return found


def make_service(state: State, name: str | ServiceName, owner: str | None) -> ServiceRecord:
    """The service; a new one without a health check where there is none."""
    parsed = _parsed(name)
    namespace = make_namespace(state, parsed.namespace, owner)
    found = state.find_service(namespace, parsed.service)
    if found is None:
        found = new_service(state, namespace, parsed.service)
        state.add_service(found)
    return found


def _namespace(state: State, name: str, owner: str | None) -> NamespaceRecord | None:
    state.operations.settle(state.now)
    found = state.find_namespace(name, owner)
    if found is None and owner is None:
        return next((each for each in state.namespaces.values() if each.http_name == name), None)
    return found


def _parsed(name: str | ServiceName) -> ServiceName:
    return name if isinstance(name, ServiceName) else ServiceName.parse(name)
