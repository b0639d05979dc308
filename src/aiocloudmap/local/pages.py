"""Lists in pages, as AWS gives them: a page is read first and filtered afterwards.

That is why a page may be empty and still carry a NextToken: more may follow.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from aiocloudmap.local.refusals import RefusedError
from aiocloudmap.local.request import NEXT_TOKEN, Request, Text

__all__ = ["Filter", "page", "read_filters"]

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
