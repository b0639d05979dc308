"""What callers get for each fault: the data of `test_fault_matrix.py` and of the tables in `docs/reference/faults.md`.

Run as a program it writes the tables into that page; a test fails if the two differ.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

from aiocloudmap import (
    AccessDeniedError,
    CachePolicy,
    CloudMapError,
    ConnectError,
    ConnectionPolicy,
    CredentialsError,
    DeadlineError,
    InvalidRequestError,
    ProtocolError,
    ThrottledError,
    UnavailableError,
)
from aiocloudmap.local.fault import Fault

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "faults.md"
CACHE = CachePolicy(jitter=0, refresh="background")
CONNECTIONS = ConnectionPolicy()
CALLERS = (1, 100)
# The age of the answer in seconds, in each of its four states.
AGES = {"fresh": 29.0, "stale": 59.0, "fallback": 600.0, "absent": 630.0}


class Answer(Enum):
    """What a caller gets."""

    OLD = "old"
    NEW = "new"
    FEWER = "fewer"
    NOTHING = "empty"


class Wait(Enum):
    """The longest that any caller waits."""

    NONE = "at once"
    CALL = "the call"
    PAUSE = "the pause"
    SOFT = "soft_timeout"
    DEADLINE = "deadline"


Outcome = Answer | type[CloudMapError]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """The expected outcome of one fault in one state, for one caller and for a hundred.

    Args:
        gets: What every caller gets.
        wait: The longest that any of them waits.
        calls: Requests that reach the server because of all callers together.
        then: What the next caller gets after that, at once and without a call; None for the same again.
    """

    gets: Outcome
    wait: Wait
    calls: int
    then: Outcome | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One fault.

    Args:
        what: Its description, for the page.
        switch_on: Switches it on, with the server's faults or the proxy.
        stale: Its outcome in this state, and so on. A fresh answer is returned at once, without a call.
        pause: Seconds after which an answer comes; None if it does not depend on time.
        read_timeout: Of one attempt. Short if the test has to wait for it in real time.
        on_wire_only: Whether it is about connections, and so has no effect in process.
    """

    what: str
    switch_on: Callable[[Any], Fault | None]
    stale: Cell
    fallback: Cell
    absent: Cell
    pause: float | None = None
    read_timeout: float = 60
    on_wire_only: bool = False

    def cell(self, state: str) -> Cell:
        """The expected outcome in a state."""
        return FRESH if state == "fresh" else getattr(self, state)

    @property
    def is_silent(self) -> bool:
        """Whether only the deadline ends its calls."""
        return self.absent.wait is Wait.DEADLINE


FRESH = Cell(gets=Answer.OLD, wait=Wait.NONE, calls=0)


def failing(error: type[CloudMapError], calls: int) -> dict[str, Cell]:
    """The cells of a fault that fails at once. `calls` includes the retries of botocore."""
    return {
        "stale": Cell(gets=Answer.OLD, wait=Wait.NONE, calls=calls),
        "fallback": Cell(gets=Answer.OLD, wait=Wait.CALL, calls=calls),
        "absent": Cell(gets=error, wait=Wait.CALL, calls=calls),
    }


def answering(answer: Answer, wait: Wait) -> dict[str, Cell]:
    """The cells of a fault with an answer before soft_timeout."""
    return {
        "stale": Cell(gets=Answer.OLD, wait=Wait.NONE, calls=1, then=answer),
        "fallback": Cell(gets=answer, wait=wait, calls=1),
        "absent": Cell(gets=answer, wait=wait, calls=1),
    }


SILENT = {
    "stale": Cell(gets=Answer.OLD, wait=Wait.NONE, calls=1),
    "fallback": Cell(gets=Answer.OLD, wait=Wait.SOFT, calls=1),
    "absent": Cell(gets=DeadlineError, wait=Wait.DEADLINE, calls=1),
}


def with_calls(cells: dict[str, Cell], *, calls: int) -> dict[str, Cell]:
    """The same cells with another number of calls."""
    return {state: dataclasses.replace(cell, calls=calls) for state, cell in cells.items()}


FAULTS: dict[str, Row] = {
    "throttle": Row(
        what="AWS limits the rate of requests", switch_on=lambda on: on.throttle(), **failing(ThrottledError, 3)
    ),
    "fail_refusing": Row(
        what="AWS refuses with a code",
        switch_on=lambda on: on.fail("InvalidInput"),
        **failing(InvalidRequestError, 1),
    ),
    "fail_itself": Row(
        what="AWS fails with a code", switch_on=lambda on: on.fail("InternalError"), **failing(UnavailableError, 3)
    ),
    "server_error": Row(what="status 500", switch_on=lambda on: on.server_error(), **failing(UnavailableError, 3)),
    "server_error_503": Row(
        what="status 503", switch_on=lambda on: on.server_error(503), **failing(UnavailableError, 3)
    ),
    "reset": Row(
        what="the connection is reset instead of an answer",
        switch_on=lambda on: on.reset(),
        **failing(ConnectError, 3),
    ),
    "truncate": Row(
        what="the answer ends in the middle", switch_on=lambda on: on.truncate(), **failing(ProtocolError, 3)
    ),
    "garbage": Row(what="the answer is not JSON", switch_on=lambda on: on.garbage(), **failing(ProtocolError, 1)),
    "empty": Row(what="the answer has no body", switch_on=lambda on: on.empty(), **failing(ProtocolError, 1)),
    "expired_token": Row(
        what="the session token has expired", switch_on=lambda on: on.expired_token(), **failing(CredentialsError, 1)
    ),
    "access_denied": Row(
        what="the role is not allowed to ask", switch_on=lambda on: on.access_denied(), **failing(AccessDeniedError, 1)
    ),
    "hang": Row(what="no answer, ever", switch_on=lambda on: on.hang(), **SILENT),
    "delay_long": Row(what="the answer takes 6 s", switch_on=lambda on: on.delay(6), **SILENT),
    "delay": Row(
        what="the answer takes 3 s",
        switch_on=lambda on: on.delay(3),
        pause=3,
        stale=Cell(gets=Answer.OLD, wait=Wait.NONE, calls=1, then=Answer.NEW),
        fallback=Cell(gets=Answer.OLD, wait=Wait.SOFT, calls=1, then=Answer.NEW),
        absent=Cell(gets=Answer.NEW, wait=Wait.PAUSE, calls=1),
    ),
    "delay_short": Row(
        what="the answer takes 0.5 s",
        switch_on=lambda on: on.delay(0.5),
        pause=0.5,
        **answering(Answer.NEW, Wait.PAUSE),
    ),
    "hold": Row(
        what="the answer is held for 0.5 s",
        switch_on=lambda on: on.hold(),
        pause=0.5,
        **answering(Answer.NEW, Wait.PAUSE),
    ),
    "fewer": Row(
        what="the answer has one instance of two",
        switch_on=lambda on: on.truncate(instances=1),
        **answering(Answer.FEWER, Wait.CALL),
    ),
    "none": Row(
        what="the answer has no instance",
        switch_on=lambda on: on.truncate(instances=0),
        stale=Cell(gets=Answer.OLD, wait=Wait.NONE, calls=1),
        fallback=Cell(gets=Answer.OLD, wait=Wait.CALL, calls=1),
        absent=Cell(gets=Answer.NOTHING, wait=Wait.CALL, calls=1),
    ),
    "drop_idle": Row(
        what="idle connections have been closed",
        switch_on=lambda on: on.drop_idle(),
        on_wire_only=True,
        **answering(Answer.NEW, Wait.CALL),
    ),
    "drop_idle_silently": Row(
        what="idle connections are dead, but not closed",
        switch_on=lambda on: on.drop_idle(silently=True),
        read_timeout=1,
        on_wire_only=True,
        stale=Cell(gets=Answer.OLD, wait=Wait.NONE, calls=1, then=Answer.NEW),
        fallback=Cell(gets=Answer.OLD, wait=Wait.SOFT, calls=1, then=Answer.NEW),
        absent=Cell(gets=Answer.NEW, wait=Wait.CALL, calls=1),
    ),
}

WIRES: dict[str, Row] = {
    "request_held": Row(
        what="the request is on its way for 0.5 s",
        switch_on=lambda on: on.to_server.hold(),
        pause=0.5,
        **answering(Answer.NEW, Wait.PAUSE),
    ),
    "answer_held": Row(
        what="the answer is on its way for 0.5 s",
        switch_on=lambda on: on.to_client.hold(),
        pause=0.5,
        **answering(Answer.NEW, Wait.PAUSE),
    ),
    "request_swallowed": Row(
        what="requests vanish", switch_on=lambda on: on.to_server.swallow(), **with_calls(SILENT, calls=0)
    ),
    "answer_swallowed": Row(what="answers vanish", switch_on=lambda on: on.to_client.swallow(), **SILENT),
    "request_cut": Row(
        what="connections end before the request's first byte",
        switch_on=lambda on: on.to_server.cut(),
        **failing(ConnectError, 0),
    ),
    "request_cut_within": Row(
        what="connections end within the request",
        switch_on=lambda on: on.to_server.cut(100),
        **failing(ConnectError, 0),
    ),
    "request_reset_within": Row(
        what="connections are reset within the request",
        switch_on=lambda on: on.to_server.cut(100, reset=True),
        **failing(ConnectError, 0),
    ),
    "request_half_closed": Row(
        what="connections are half-closed towards the server within the request",
        switch_on=lambda on: on.to_server.half_close(100),
        **failing(ConnectError, 0),
    ),
    "answer_cut": Row(
        what="connections end before the answer's first byte",
        switch_on=lambda on: on.to_client.cut(),
        **failing(ConnectError, 3),
    ),
    "answer_cut_in_head": Row(
        what="connections end within the answer's head",
        switch_on=lambda on: on.to_client.cut(30),
        **failing(ConnectError, 3),
    ),
    "answer_cut_in_body": Row(
        what="connections end within the answer's body",
        switch_on=lambda on: on.to_client.cut(300),
        **failing(ProtocolError, 3),
    ),
    "answer_reset_in_body": Row(
        what="connections are reset within the answer's body",
        switch_on=lambda on: on.to_client.cut(300, reset=True),
        **failing(ProtocolError, 3),
    ),
    "answer_half_closed": Row(
        what="connections are half-closed towards the client within the answer's body",
        switch_on=lambda on: on.to_client.half_close(300),
        **failing(ProtocolError, 3),
    ),
}


def table(rows: dict[str, Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what goes wrong | stale | fallback | absent |", "|---|---|---|---|"]
    lines += [
        f"| {row.what} | {_words(row.stale)} | {_words(row.fallback)} | {_words(row.absent)} |" for row in rows.values()
    ]
    return "\n".join(lines) + "\n"


def _words(cell: Cell) -> str:
    then = "" if cell.then is None else f", then {_outcome(cell.then)}"
    return f"{_outcome(cell.gets)}, {_wait(cell.wait)}, {cell.calls}{then}"


def _outcome(outcome: Outcome) -> str:
    return outcome.value if isinstance(outcome, Answer) else f"`{outcome.__name__}`"


def _wait(wait: Wait) -> str:
    return f"`{wait.value}`" if wait is Wait.SOFT else wait.value


def with_tables(page: str, tables: dict[str, dict[str, Row]]) -> str:
    """The page with each table replaced between its markers."""
    for name, rows in tables.items():
        begin, end = f"<!-- table: {name} -->\n", f"<!-- end: {name} -->\n"
        place = re.compile(f"(?<={re.escape(begin)}).*?(?={re.escape(end)})", re.DOTALL)
        text = table(rows)
        page, found = place.subn(lambda _, text=text: text, page)
        assert found == 1, f"{PAGE.name} has {found} places for the table {name!r}"
    return page


TABLES = {"faults": FAULTS, "wires": WIRES}

if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), TABLES), encoding="utf-8")
