"""A world described in TOML.

```toml
[shop.orders]                       # namespace.service; quote names that contain dots
attributes = { OWNER = "team-a" }   # the service's own
health_check = true                 # a custom health check: instances are HEALTHY, otherwise UNKNOWN
unhealthy = ["orders-2"]            # instances that are UNHEALTHY; implies health_check
owner_account = "210987654321"      # the namespace belongs to another account, which shares it
[shop.orders.instances.orders-1]    # an instance: every key is an attribute, every value a string
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
[shop.orders.instances.orders-2]
```

Settings stand beside `instances`, never inside an instance, so that attributes may have any name.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.model.query import ServiceName
from aiocloudmap.model.validation import safe_repr

__all__ = ["ServiceDefinition", "read_definition"]

_KEYS: Final = ("attributes", "health_check", "instances", "owner_account", "unhealthy")
_TYPE_NAMES: Final[dict[type[object], str]] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "a table",
    str: "a string",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDefinition:
    """One service of the file. Without an `owner_account`, the account itself owns the namespace."""

    name: ServiceName
    attributes: Mapping[str, str]
    health_check: bool
    instances: Mapping[str, Mapping[str, str]]
    unhealthy: tuple[str, ...]
    owner_account: str | None
    error: Callable[..., ConfigurationError]
    """Makes an error that names the file and a table of the service: `error(what, *below)`."""


def read_definition(path_or_text: str | os.PathLike[str]) -> list[ServiceDefinition]:
    """The services of a TOML file, in its order. A string with a line break is TOML itself, not a path."""
    source, text = _read(path_or_text)
    try:
        document = _Table(source, (), tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source} is not TOML: {error}", advice="Correct that line.") from error
    return [
        _service(services.table(service, "settings"))
        for services in (document.table(namespace, "services") for namespace in document.values)
        for service in services.values
    ]


def _read(path_or_text: str | os.PathLike[str]) -> tuple[str, str]:
    if isinstance(path_or_text, str) and "\n" in path_or_text:
        return "the TOML text", path_or_text
    path = Path(path_or_text)
    try:
        return str(path), path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8, as TOML requires") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{path} cannot be read: {reason}", advice="Give the path of a TOML file.") from error


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the file, with its place for messages."""

    source: str
    place: tuple[str, ...]
    values: Mapping[str, Any]

    def table(self, key: str, expected: str) -> _Table:
        """The table under `key`; empty if it is absent."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            what = f"expected a table of {expected}, not {_type_of(value)}; write a header like this one"
            raise self.error(what, key)
        return _Table(self.source, (*self.place, key), value)

    def strings(self, key: str) -> Mapping[str, str]:
        """The table of attributes under `key`."""
        table = self.table(key, "attributes")
        for name, value in table.values.items():
            if not isinstance(value, str):
                raise table.error(
                    f'invalid {name}: expected a string in quotes, not {_type_of(value)}; write {name} = "..."'
                )
        return table.values

    def error(self, what: str, *below: str) -> ConfigurationError:
        """An error that names the file and this table, or one below it."""
        place = (*self.place, *below)
        parts = (each if each.replace("-", "").replace("_", "").isalnum() else f'"{each}"' for each in place)
        return ConfigurationError(f"{self.source}, [{'.'.join(parts)}]: {what}")


def _service(table: _Table) -> ServiceDefinition:
    for key in table.values:
        if key not in _KEYS:
            close = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"expected {', '.join(_KEYS)}"
            raise table.error(f"unknown key {key!a}: {hint}")
    try:
        name = ServiceName(*table.place)
    except ConfigurationError as error:
        raise table.error(f"{error.what}. {error.advice}") from error
    instances = table.table("instances", "instances")
    return ServiceDefinition(
        name=name,
        attributes=table.strings("attributes"),
        health_check=_health_check(table),
        instances={identifier: instances.strings(identifier) for identifier in instances.values},
        unhealthy=_unhealthy(table, instances.values),
        owner_account=_owner(table),
        error=table.error,
    )


def _health_check(table: _Table) -> bool:
    value = table.values.get("health_check", "unhealthy" in table.values)
    if not isinstance(value, bool):
        raise table.error(f"invalid health_check {safe_repr(value)}: expected true or false, without quotes")
    if table.values.get("unhealthy") and not value:
        raise table.error("unhealthy requires a health check: write health_check = true, or leave it out")
    return value


def _unhealthy(table: _Table, instances: Mapping[str, object]) -> tuple[str, ...]:
    value = table.values.get("unhealthy", [])
    if not isinstance(value, list):
        raise table.error('invalid unhealthy: expected a list of instance ids, like ["orders-2"]')
    for identifier in value:
        if not isinstance(identifier, str) or identifier not in instances:
            known = ", ".join(instances)
            raise table.error(f"invalid unhealthy {safe_repr(identifier)}: expected one of the instances [{known}]")
    return tuple(value)


def _owner(table: _Table) -> str | None:
    value = table.values.get("owner_account")
    if value is not None and not (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 12):
        raise table.error(
            f'invalid owner_account {safe_repr(value)}: expected twelve digits in quotes, like "210987654321"'
        )
    return value


def _type_of(value: object) -> str:
    return _TYPE_NAMES.get(type(value), "a date or time")
