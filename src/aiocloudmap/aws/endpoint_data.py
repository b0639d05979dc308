"""botocore's endpoints.json, read service by service.

It is more than a megabyte about four hundred services, of which a program uses a few: reading all of it takes
milliseconds of every cold start, and megabytes of memory. It is laid out in one way, which a search for text
finds its way in; a file that is laid out otherwise is read as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["read_endpoints"]

_SERVICES: Final = '\n    "services" : '
_SERVICES_END: Final = "\n    }"
_SERVICE_END: Final = "\n      }"


def read_endpoints(text: str) -> Any:
    """The same data as `json.loads` gives; each partition's services are a mapping that reads them as they are asked.

    Raises:
        ValueError: It is no JSON.
    """
    rest, services = _parted(text)
    try:
        data = json.loads(rest)
        parted = [partition for partition in data["partitions"] if type(partition["services"]) is int]
        if [partition["services"] for partition in parted] != list(range(len(services))):
            return json.loads(text)
    except (ValueError, LookupError, TypeError):
        return json.loads(text)
    for partition, part in zip(parted, services, strict=True):
        partition["services"] = _Services(part)
    return data


def _parted(text: str) -> tuple[str, list[str]]:
    """The text with numbers for the services of partitions, and those services; none of one that has them in a line."""
    rest: list[str] = []
    services: list[str] = []
    position = 0
    while (found := text.find(_SERVICES + "{\n", position)) >= 0:
        end = text.find(_SERVICES_END, found)
        if end < 0:
            break
        rest.append(f"{text[position:found]}{_SERVICES}{len(services)}")
        services.append(text[found + len(_SERVICES) + 1 : end])
        position = end + len(_SERVICES_END)
    return "".join([*rest, text[position:]]), services


class _Services(Mapping[str, Any]):
    def __init__(self, text: str) -> None:
        self._text = text
        self._known: dict[str, Any] = {}
        self._complete = False

    def __getitem__(self, service: str) -> Any:
        if service not in self._known and not self._complete:
            self._find(service)
        return self._known[service]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _find(self, service: str) -> None:
        name = f"\n      {json.dumps(service)} : "
        found = self._text.rfind(name)  # of equal names JSON means the last
        if found < 0:
            self._all()  # it is not there, or somebody has written it in another way
            return
        end = self._text.find(_SERVICE_END, found) + len(_SERVICE_END)
        try:
            self._known[service] = json.loads(self._text[found + len(name) : end])
        except ValueError:  # one that is written in one line
            self._all()

    def _all(self) -> dict[str, Any]:
        if not self._complete:
            self._known = json.loads(f"{{{self._text}}}")
            self._complete = True
        return self._known
