"""A call: its members, read by the rules of AWS's service model, the pages of a list, and the error that refuses it.

Patterns, lengths and ranges are those of its shapes. A wrong JSON type is a `SerializationException`, any other mistake
`InvalidInput`, as with AWS. Unknown members are ignored, as AWS ignores them.

AWS reads a page first and filters it afterwards. A page may therefore be empty and still have a NextToken.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from aiocloudmap.errors import RequestError
from aiocloudmap.model.validation import safe_repr

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
    "RESOURCE_ID",
    "SERVICE_NAME",
    "RefusedError",
    "Request",
    "Text",
    "paginate",
    "present",
    "read_filters",
]


_LABEL = r"(?:[a-zA-Z0-9_][a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_]|[a-zA-Z0-9])"
_DNS_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_MAX_RESULTS = 100


class RefusedError(RequestError):
    """AWS would refuse this request.

    Args:
        what: Why, as a clause.
        code: AWS's error name.
        status: HTTP status.
        members: What the error carries besides its message, such as `DuplicateOperationId`.
    """

    def __init__(
        self,
        what: str,
        *,
        code: str = "InvalidInput",
        status: int = 400,
        members: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(what, code=code, **fields)
        self.status = status
        self.members = members or {}


@dataclass(frozen=True, slots=True)
class Text:
    """The rule for a string. `expected` is its pattern in words."""

    max_length: int
    min_length: int = 1
    pattern: str = ""
    expected: str = ""

    def check(self, name: str, value: object) -> str:
        """The value, if it follows the rule."""
        if not isinstance(value, str):
            raise RefusedError(
                f"invalid {name}: expected a string, not {type(value).__name__}", code="SerializationException"
            )
        if not self.min_length <= len(value) <= self.max_length:
            raise RefusedError(
                f"invalid {name} of {len(value)} characters: expected {self.min_length} to {self.max_length}"
            )
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise RefusedError(f"invalid {name} {value!a}: expected {self.expected}")
        return value


_PRINTABLE: Final = "printable ASCII without spaces"
_PRINTABLE_NO_ARN: Final = "printable ASCII without spaces, and not an ARN"

RESOURCE_ID: Final = Text(64)
ARN: Final = Text(255)
DESCRIPTION: Final = Text(1024, min_length=0)
ACCOUNT: Final = Text(12, min_length=12, pattern="[0-9]{12}", expected="an account id of twelve digits")
INSTANCE_ID: Final = Text(64, pattern="[0-9a-zA-Z_/:.@-]+", expected="letters, digits and any of _/:.@-")
SERVICE_NAME: Final = Text(
    127,
    pattern=rf"{_LABEL}(?:\.{_LABEL})*|\.",
    expected="labels of up to 63 letters, digits, '_' and '-' (not at their ends), joined by dots",
)
NAMESPACE_NAME: Final = Text(1024, pattern="[!-~]+", expected=_PRINTABLE)
NAMESPACE_NAME_HTTP: Final = Text(1024, pattern="(?!arn:)[!-~]+", expected=_PRINTABLE_NO_ARN)
NAMESPACE_NAME_PRIVATE: Final = Text(253, pattern="(?!arn:)[!-~]+", expected=_PRINTABLE_NO_ARN)
NAMESPACE_NAME_PUBLIC: Final = Text(
    253, pattern=rf"(?:{_DNS_LABEL}\.)+{_DNS_LABEL}", expected="a domain name of two or more labels"
)
ATTRIBUTE_KEY: Final = Text(255, pattern="[!-~]+", expected=_PRINTABLE)
ATTRIBUTE_VALUE: Final = Text(
    1024,
    min_length=0,
    pattern=r"(?:[!-~][ \t!-~]*)?",
    expected="printable ASCII, with spaces and tabs after the first character",
)


class Request:
    """One call's members, as parsed JSON. `path` says where they are nested, for messages."""

    __slots__ = ("_members", "_path")

    def __init__(self, members: Mapping[str, Any], path: str = "") -> None:
        self._members = members
        self._path = path

    def __contains__(self, name: str) -> bool:
        return self._members.get(name) is not None

    def text(self, name: str, rule: Text) -> str:
        """The required string `name`."""
        return rule.check(self._path + name, self._required(name))

    def optional_text(self, name: str, rule: Text) -> str | None:
        """The string `name`, or None."""
        return self.text(name, rule) if name in self else None

    def choice(self, name: str, choices: Collection[str], default: str | None = None) -> str:
        """The string `name`, one of `choices`; required unless there is a default."""
        if default is not None and name not in self:
            return default
        value = self.text(name, Text(1024))
        if value not in choices:
            raise RefusedError(f"invalid {self._path}{name} {value!a}: expected one of {', '.join(choices)}")
        return value

    def number(self, name: str, minimum: int, maximum: int, default: int | None = None) -> int:
        """The integer `name`; required unless there is a default."""
        if default is not None and name not in self:
            return default
        value = self._required(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise RefusedError(f"invalid {self._path}{name}: expected an integer", code="SerializationException")
        if not minimum <= value <= maximum:
            raise RefusedError(f"invalid {self._path}{name} {safe_repr(value)}: expected {minimum} to {maximum}")
        return value

    def structure(self, name: str) -> Request:
        """The required structure `name`."""
        return Request(self._typed(name, dict, "a structure"), f"{self._path}{name}.")

    def optional_structure(self, name: str) -> Request | None:
        """The structure `name`, or None."""
        return self.structure(name) if name in self else None

    def structures(self, name: str) -> list[Request]:
        """The structures in the list `name`; empty if it is absent."""
        return [
            Request({"item": value}, f"{self._path}{name}[{index}].").structure("item")
            for index, value in enumerate(self._list(name))
        ]

    def texts(self, name: str, rule: Text) -> list[str]:
        """The strings in the list `name`; empty if it is absent."""
        return [rule.check(f"{self._path}{name}[{index}]", value) for index, value in enumerate(self._list(name))]

    def mapping(self, name: str, key: Text, value: Text, *, required: bool = False) -> dict[str, str]:
        """The map `name`; empty if it is absent and not required."""
        if name not in self and not required:
            return {}
        path = self._path + name
        entries = self._typed(name, dict, "a map")
        return {key.check(f"key of {path}", k): value.check(f"{path}.{k}", v) for k, v in entries.items()}

    def _list(self, name: str) -> list[Any]:
        return self._typed(name, list, "a list") if name in self else []

    def _typed(self, name: str, kind: type, expected: str) -> Any:
        value = self._required(name)
        if not isinstance(value, kind):
            raise RefusedError(f"invalid {self._path}{name}: expected {expected}", code="SerializationException")
        return value

    def _required(self, name: str) -> Any:
        value = self._members.get(name)
        if value is None:
            raise RefusedError(f"missing {self._path}{name}")
        return value


def present(**members: Any) -> dict[str, Any]:
    """The members of an answer that are not None."""
    return {name: value for name, value in members.items() if value is not None}


class _Numbered(Protocol):
    @property
    def number(self) -> int: ...


_Record = TypeVar("_Record", bound=_Numbered)
Filter = Callable[[Any], bool]
Match = Callable[[Any, list[str], str], bool]


def paginate(
    request: Request, operation: str, records: Iterable[_Record], keep: Filter = lambda _: True
) -> tuple[list[_Record], dict[str, str]]:
    """The next page of `records`, in the order of their numbers: those that `keep` accepts, and its NextToken."""
    after = _last_number(request, operation)
    size = request.number("MaxResults", 1, _MAX_RESULTS, default=_MAX_RESULTS)
    rest = sorted((record for record in records if record.number > after), key=lambda record: record.number)
    page, more = rest[:size], rest[size:]
    found = [record for record in page if keep(record)]
    if not more:
        return found, {}
    return found, {"NextToken": base64.urlsafe_b64encode(f"{operation}:{page[-1].number}".encode()).decode()}


def read_filters(request: Request, filters: Mapping[str, tuple[tuple[str, ...], Match]]) -> Filter:
    """A predicate for records that match all Filters of the call.

    `filters` has, by name, the allowed conditions, and a function that compares a record with values and condition.
    """
    checks: list[Filter] = []
    for each in request.structures("Filters"):
        name = each.choice("Name", filters)
        conditions, match = filters[name]
        condition = each.choice("Condition", ("EQ", "IN", "BETWEEN", "BEGINS_WITH"), default="EQ")
        values = each.texts("Values", Text(255))
        if condition not in conditions:
            raise RefusedError(f"invalid Condition {condition} for {name}: expected {' or '.join(conditions)}")
        count = {"EQ": 1, "BEGINS_WITH": 1, "BETWEEN": 2}.get(condition, max(1, len(values)))
        if len(values) != count:
            raise RefusedError(f"{len(values)} Values for {name} with {condition}: expected {count}")
        checks.append(_check(match, values, condition))
    return lambda record: all(check(record) for check in checks)


def _check(match: Match, values: list[str], condition: str) -> Filter:
    return lambda record: match(record, values, condition)


def _last_number(request: Request, operation: str) -> int:
    """The number of the last record of the previous page."""
    token = request.optional_text("NextToken", Text(4096))
    if token is None:
        return 0
    try:
        issuer, _, number = base64.urlsafe_b64decode(token.encode("ascii")).decode("ascii").partition(":")
        last = int(number)
    except (binascii.Error, UnicodeError, ValueError):
        issuer, last = "", 0
    if issuer != operation:
        raise RefusedError(f"invalid NextToken: expected one from {operation}")
    return last
