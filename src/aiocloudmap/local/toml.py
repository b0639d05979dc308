"""A world written down in TOML.

```toml
[shop.orders]                       # namespace.service; quote names that hold dots
attributes = { OWNER = "team-a" }   # the service's own
health_check = true                 # a custom health check: instances are HEALTHY then, else UNKNOWN
unhealthy = ["orders-2"]            # instances that are not; implies health_check
owner_account = "210987654321"      # the namespace belongs to another account, which shares it
[shop.orders.instances.orders-1]    # an instance: every key is an attribute, every value a string
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
[shop.orders.instances.orders-2]
```

What is not an attribute stands beside `instances`, never inside an instance, so that no attribute's name is taken.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.model.query import ServiceName
from aiocloudmap.model.validation import safe_repr

__all__ = ["ServiceDefinition", "read_definition"]

_KEYS: Final = ("attributes", "health_check", "instances", "owner_account", "unhealthy")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDefinition:
    """One service as the file has it.

    Args:
        source: The file's name, for messages.
        name: The service.
        attributes: The service's own.
        health_check: Whether it has a custom health check.
        instances: Attributes by instance id.
        unhealthy: Ids of the instances that are not healthy.
        owner_account: The account that owns the namespace, None for one's own.
    """

    source: str
    name: ServiceName
    attributes: Mapping[str, str]
    health_check: bool
    instances: Mapping[str, Mapping[str, str]]
    unhealthy: tuple[str, ...]
    owner_account: str | None

    def error(self, what: str, *table: str) -> ConfigurationError:
        """An error that names the file and the table."""
        return _error(self.source, (self.name.namespace, self.name.service, *table), what)


def read_definition(path_or_text: str | os.PathLike[str]) -> list[ServiceDefinition]:
    """The services of a TOML file, in its order.

    Args:
        path_or_text: A path; or TOML itself, as a string that holds a line break.

    Raises:
        ConfigurationError: The file cannot be read, is no TOML, or says something that a world cannot be.
    """
    source, text = _read(path_or_text)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source} is not TOML: {error}", advice="Correct that line.") from error
    definitions = []
    for namespace, services in document.items():
        for service, members in _table(source, (namespace,), services, "services").items():
            definitions.append(_service(source, namespace, service, members))
    return definitions


def _read(path_or_text: str | os.PathLike[str]) -> tuple[str, str]:
    if isinstance(path_or_text, str) and "\n" in path_or_text:
        return "the TOML text", path_or_text
    path = Path(path_or_text)
    try:
        return str(path), path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8, as TOML must be") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{path} cannot be read: {reason}", advice="Give the path of a TOML file.") from error


def _service(source: str, namespace: str, service: str, members: object) -> ServiceDefinition:
    place = (namespace, service)
    table = _table(source, place, members, "a service")
    for key in table:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            advice = f"is it {near[0]!r}?" if near else f"a service has {', '.join(_KEYS)}"
            raise _error(source, place, f"{key!a} is nothing a service has; {advice}")
    try:
        name = ServiceName(namespace, service)
    except ConfigurationError as error:
        raise _error(source, place, f"{error.what}. {error.advice}") from error
    instances = {
        identifier: _strings(source, (*place, "instances", identifier), attributes)
        for identifier, attributes in _table(
            source, (*place, "instances"), table.get("instances", {}), "instances"
        ).items()
    }
    return ServiceDefinition(
        source=source,
        name=name,
        attributes=_strings(source, (*place, "attributes"), table.get("attributes", {})),
        health_check=_health_check(source, place, table),
        instances=instances,
        unhealthy=_unhealthy(source, place, table, instances),
        owner_account=_owner(source, place, table),
    )


def _health_check(source: str, place: tuple[str, ...], table: Mapping[str, Any]) -> bool:
    value = table.get("health_check", "unhealthy" in table)
    if not isinstance(value, bool):
        raise _error(source, place, f"health_check = {safe_repr(value)} must be true or false, without quotes")
    if table.get("unhealthy") and not value:
        raise _error(source, place, "unhealthy needs a health check; write health_check = true, or leave it out")
    return value


def _unhealthy(
    source: str, place: tuple[str, ...], table: Mapping[str, Any], instances: Mapping[str, object]
) -> tuple[str, ...]:
    value = table.get("unhealthy", [])
    if not isinstance(value, list):
        raise _error(source, place, 'unhealthy must be a list of instance ids, like ["orders-2"]')
    for identifier in value:
        if not isinstance(identifier, str) or identifier not in instances:
            known = ", ".join(instances) or "none"
            raise _error(source, place, f"unhealthy names {safe_repr(identifier)}; the instances are: {known}")
    return tuple(value)


def _owner(source: str, place: tuple[str, ...], table: Mapping[str, Any]) -> str | None:
    value = table.get("owner_account")
    if value is not None and not (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 12):
        raise _error(
            source, place, f'owner_account = {safe_repr(value)} must be twelve digits in quotes, like "210987654321"'
        )
    return value


def _table(source: str, place: tuple[str, ...], value: object, meaning: str) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    raise _error(source, place, f"must be a table of {meaning}, not {_kind(value)}; write a header like the one above")


def _strings(source: str, place: tuple[str, ...], value: object) -> Mapping[str, str]:
    table = _table(source, place, value, "attributes")
    for key, text in table.items():
        if not isinstance(text, str):
            raise _error(source, place, f'{key} must be a string, not {_kind(text)}; write {key} = "..." in quotes')
    return table


def _kind(value: object) -> str:
    kinds: dict[type[object], str] = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a table",
        str: "a string",
    }
    return kinds.get(type(value), "a date or time")


def _error(source: str, place: tuple[str, ...], what: str) -> ConfigurationError:
    header = ".".join(part if part.replace("-", "").replace("_", "").isalnum() else f'"{part}"' for part in place)
    return ConfigurationError(f"{source}, [{header}]: {what}")
