"""The members of one call, read by the rules of AWS's service model.

Patterns, lengths and ranges are those of its shapes. A wrong JSON type is a `SerializationException`, everything else
`InvalidInput`, as AWS does it; members that no rule asks for are ignored, as AWS ignores them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from aiocloudmap.local.errors import RefusedError

__all__ = [
    "ACCOUNT",
    "ARN",
    "ATTRIBUTE_KEY",
    "ATTRIBUTE_VALUE",
    "DESCRIPTION",
    "INSTANCE_ID",
    "NAMESPACE_NAME",
    "NAMESPACE_NAME_HTTP",
    "NAMESPACE_NAME_PRIVATE",
    "NAMESPACE_NAME_PUBLIC",
    "NEXT_TOKEN",
    "RESOURCE_ID",
    "SERVICE_NAME",
    "Filter",
    "Request",
    "Text",
    "page",
    "read_filters",
]


_LABEL = r"(?:[a-zA-Z0-9_][a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_]|[a-zA-Z0-9])"
_DNS_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"


@dataclass(frozen=True, slots=True)
class Text:
    """What a string may be.

    Args:
        most: Its length at most.
        least: Its length at least.
        pattern: What the whole of it must look like.
        meaning: The same for people.
    """

    most: int
    least: int = 1
    pattern: str = ""
    meaning: str = ""

    def check(self, name: str, value: object) -> str:
        """The value, if it is such a string.

        Raises:
            RefusedError: It is not.
        """
        if not isinstance(value, str):
            raise RefusedError(f"{name} must be a string, not {type(value).__name__}", code="SerializationException")
        if not self.least <= len(value) <= self.most:
            raise RefusedError(f"{name} has {len(value)} characters; {self.least} to {self.most} are allowed")
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise RefusedError(f"{name} {value!a} must be {self.meaning}")
        return value


RESOURCE_ID: Final = Text(64)
ARN: Final = Text(255)
DESCRIPTION: Final = Text(1024, least=0)
ACCOUNT: Final = Text(12, least=12, pattern="[0-9]{12}", meaning="an account id of twelve digits")
INSTANCE_ID: Final = Text(64, pattern="[0-9a-zA-Z_/:.@-]+", meaning="of letters, digits and any of _/:.@-")
SERVICE_NAME: Final = Text(
    127,
    pattern=rf"{_LABEL}(?:\.{_LABEL})*|\.",
    meaning="labels of up to 63 letters, digits, '_' and '-' (not at their ends), joined by dots",
)
NAMESPACE_NAME: Final = Text(1024, pattern="[!-~]+", meaning="printable ASCII without spaces")
NAMESPACE_NAME_HTTP: Final = Text(
    1024, pattern="(?!arn:)[!-~]+", meaning="printable ASCII without spaces, and not an ARN"
)
NAMESPACE_NAME_PRIVATE: Final = Text(
    253, pattern="(?!arn:)[!-~]+", meaning="printable ASCII without spaces, and not an ARN"
)
NAMESPACE_NAME_PUBLIC: Final = Text(
    253, pattern=rf"(?:{_DNS_LABEL}\.)+{_DNS_LABEL}", meaning="a domain name of two or more labels"
)
ATTRIBUTE_KEY: Final = Text(255, pattern="[!-~]+", meaning="printable ASCII without spaces")
ATTRIBUTE_VALUE: Final = Text(
    1024,
    least=0,
    pattern=r"(?:[!-~][ \t!-~]*)?",
    meaning="printable ASCII, spaces and tabs, and must not start with one of those",
)
NEXT_TOKEN: Final = Text(4096)


class Request:
    """One call's members.

    Args:
        members: What the caller sent, as JSON gave it.
        path: Where these members stand, for messages.
    """

    __slots__ = ("_members", "_path")

    def __init__(self, members: Mapping[str, Any], path: str = "") -> None:
        self._members = members
        self._path = path

    def __contains__(self, name: str) -> bool:
        return self._members.get(name) is not None

    def text(self, name: str, rule: Text) -> str:
        """The string `name`; it must be there."""
        return rule.check(self._path + name, self._required(name))

    def optional_text(self, name: str, rule: Text) -> str | None:
        """The string `name`, or None."""
        return self.text(name, rule) if name in self else None

    def choice(self, name: str, choices: Collection[str], default: str | None = None) -> str:
        """The string `name`, one of `choices`; it must be there where there is no default."""
        if default is not None and name not in self:
            return default
        value = Text(1024).check(self._path + name, self._required(name))
        if value not in choices:
            raise RefusedError(f"{self._path}{name} {value!a} must be one of {', '.join(choices)}")
        return value

    def number(self, name: str, least: int, most: int, default: int | None = None) -> int:
        """The whole number `name`; it must be there where there is no default."""
        if default is not None and name not in self:
            return default
        value = self._required(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise RefusedError(f"{self._path}{name} must be a whole number", code="SerializationException")
        if not least <= value <= most:
            raise RefusedError(f"{self._path}{name} {value} must be from {least} to {most}")
        return value

    def structure(self, name: str) -> Request:
        """The structure `name`; it must be there."""
        return Request(self._typed(name, dict, "a structure"), f"{self._path}{name}.")

    def optional_structure(self, name: str) -> Request | None:
        """The structure `name`, or None."""
        return self.structure(name) if name in self else None

    def structures(self, name: str) -> list[Request]:
        """The structures in the list `name`; none where it is absent."""
        return [
            Request({"item": value}, f"{self._path}{name}[{index}].").structure("item")
            for index, value in enumerate(self._list(name))
        ]

    def texts(self, name: str, rule: Text) -> list[str]:
        """The strings in the list `name`; none where it is absent."""
        return [rule.check(f"{self._path}{name}[{index}]", value) for index, value in enumerate(self._list(name))]

    def mapping(self, name: str, key: Text, value: Text, *, required: bool = False) -> dict[str, str]:
        """The map `name`; empty where it is absent, unless it is required."""
        if name not in self and not required:
            return {}
        entries = self._typed(name, dict, "a map")
        path = self._path + name
        return {key.check(f"a key of {path}", k): value.check(f"{path}.{k}", v) for k, v in entries.items()}

    def _list(self, name: str) -> list[Any]:
        return self._typed(name, list, "a list") if name in self else []

    def _typed(self, name: str, kind: type, meaning: str) -> Any:
        value = self._required(name)
        if not isinstance(value, kind):
            raise RefusedError(f"{self._path}{name} must be {meaning}", code="SerializationException")
        return value

    def _required(self, name: str) -> Any:
        value = self._members.get(name)
        if value is None:
            raise RefusedError(f"{self._path}{name} is missing")
        return value


# MERGED local/pages: Lists in pages, as AWS gives them: a page is read first and filtered afterwards.
#
# That is why a page may be empty and still carry a NextToken: more may follow.
#


MOST = 100


class _Numbered(Protocol):
    @property
    def number(self) -> int: ...


_Record = TypeVar("_Record", bound=_Numbered)
Filter = Callable[[Any], bool]
Match = Callable[[Any, list[str], str], bool]


def page(
    request: Request, operation: str, records: Iterable[_Record], keep: Filter = lambda _: True
) -> tuple[list[_Record], dict[str, str]]:
    """The next page of `records`, in the order of their numbers.

    Returns:
        The records of the page that `keep` keeps, and the members of the answer that lead on to the next page.
    """
    after = _after(request, operation)
    size = request.number("MaxResults", 1, MOST, default=MOST)
    rest = sorted((record for record in records if record.number > after), key=lambda record: record.number)
    found, more = rest[:size], rest[size:]
    token = {"NextToken": _token(operation, found[-1].number)} if more else {}
    return [record for record in found if keep(record)], token


def read_filters(request: Request, conditions: Mapping[str, tuple[str, ...]], matches: Mapping[str, Match]) -> Filter:
    """What the call's Filters keep: the records that match all of them.

    Args:
        request: The call.
        conditions: Which conditions each filter name allows.
        matches: How a record is held against values and condition, by filter name.
    """
    checks: list[Filter] = []
    for each in request.structures("Filters"):
        name = each.choice("Name", conditions)
        condition = each.choice("Condition", ("EQ", "IN", "BETWEEN", "BEGINS_WITH"), default="EQ")
        values = each.texts("Values", Text(255))
        if condition not in conditions[name]:
            raise RefusedError(f"filter {name} allows {' and '.join(conditions[name])}, not {condition}")
        count = {"EQ": 1, "BEGINS_WITH": 1, "BETWEEN": 2}.get(condition, max(1, len(values)))
        if len(values) != count:
            raise RefusedError(f"filter {name} with {condition} takes {count} value(s), not {len(values)}")
        checks.append(_check(matches[name], values, condition))
    return lambda record: all(check(record) for check in checks)


def _check(match: Match, values: list[str], condition: str) -> Filter:
    return lambda record: match(record, values, condition)


def _token(operation: str, number: int) -> str:
    return base64.urlsafe_b64encode(f"{operation}:{number}".encode()).decode()


def _after(request: Request, operation: str) -> int:
    token = request.optional_text("NextToken", NEXT_TOKEN)
    if token is None:
        return 0
    try:
        issuer, _, number = base64.urlsafe_b64decode(token.encode("ascii")).decode("ascii").partition(":")
        after = int(number)
    except (binascii.Error, UnicodeError, ValueError):
        issuer, after = "", 0
    if issuer != operation:
        raise RefusedError("NextToken is none that this operation gave")
    return after
