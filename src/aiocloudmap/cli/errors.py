"""From an exception to one clean line and an exit code.

| what went wrong                                      | exit code |
|------------------------------------------------------|-----------|
| not found, nothing registered, attribute missing     | 3         |
| a setting, a file, no or expired credentials         | 4         |
| AWS refused, throttled, out of reach                 | 5         |
| `--timeout` passed                                   | 124       |
| anything else                                        | 1         |
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

import typer

from aiocloudmap.cli.terminal import console, printable
from aiocloudmap.errors import (
    CloudMapError,
    ConfigurationError,
    CredentialsError,
    NotFoundError,
    RequestError,
    UnavailableError,
)

__all__ = ["CommandError", "Exit", "Failure", "explain", "reporting"]


# MERGED cli/exits: Exit codes: the promise that scripts rely on.


class Exit(IntEnum):
    """What the process leaves behind."""

    OK = 0
    FAILURE = 1
    """Something that none of the others names."""

    USAGE = 2
    """The command line itself is wrong."""

    NOT_FOUND = 3
    """AWS answered: no such namespace, service, instance or attribute."""

    CONFIGURATION = 4
    """A setting, a file or the credentials are wrong or missing."""

    UNAVAILABLE = 5
    """AWS refused, throttled, or could not be reached."""

    TIMED_OUT = 124
    """`--timeout` passed; the same number as timeout(1)."""

    INTERRUPTED = 130
    """Ctrl-C: 128 + SIGINT."""

    TERMINATED = 143
    """128 + SIGTERM; `serve`, which such a signal is meant to end, leaves with 0."""


_EXITS: tuple[tuple[type[CloudMapError], Exit], ...] = (
    (NotFoundError, Exit.NOT_FOUND),
    (ConfigurationError, Exit.CONFIGURATION),
    (CredentialsError, Exit.CONFIGURATION),
    (RequestError, Exit.UNAVAILABLE),
    (UnavailableError, Exit.UNAVAILABLE),
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What the person at the keyboard is told.

    Args:
        exit: What the process leaves behind.
        code: A word that a script can compare.
        message: What happened, and to what.
        hint: What to do about it; may be empty.
    """

    exit: Exit
    code: str
    message: str
    hint: str = ""


class CommandError(Exception):
    """A failure that the command itself has found."""

    def __init__(self, exit_code: Exit, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.failure = Failure(exit_code, code, message, hint)


def explain(error: BaseException) -> Failure:
    """What to tell about the error."""
    if isinstance(error, CommandError):
        return error.failure
    if isinstance(error, CloudMapError):
        exit_code = next((code for kind, code in _EXITS if isinstance(error, kind)), Exit.FAILURE)
        return Failure(exit_code, type(error).__name__.removesuffix("Error"), str(error.again(advice="")), error.advice)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Failure(Exit.FAILURE, type(error).__name__, f"{where}{error.strerror or error}")
    return Failure(
        Exit.FAILURE,
        type(error).__name__,
        f"unexpected {type(error).__name__}: {error}",
        "This is a bug of aiocloudmap. Run 'aiocloudmap --debug ...' and report what it shows.",
    )


@contextmanager
def reporting(context: typer.Context, *, as_json: bool = False) -> Iterator[None]:
    """Turn what goes wrong inside into a line on standard error and an exit code.

    Args:
        context: The command's; `--debug` lets the traceback through.
        as_json: Write the line as `{"error": {"code", "message", "hint"}}`.

    Raises:
        typer.Exit: Something went wrong, and has been told.
    """
    try:
        yield
        sys.stdout.flush()
    except (typer.Exit, typer.BadParameter):
        raise
    except BrokenPipeError:
        # Whoever read our output has gone. What is still buffered must not fail once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.FAILURE) from None
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001 - the last stop: a person must not meet a traceback
        if context.find_root().obj == "debug":
            console(sys.stderr).print_exception()
        failure = explain(error)
        _tell(failure, as_json=as_json)
        raise typer.Exit(failure.exit) from None


def _tell(failure: Failure, *, as_json: bool) -> None:
    if as_json:
        body = {"code": failure.code, "message": failure.message, "hint": failure.hint}
        sys.stderr.write(json.dumps({"error": body}) + "\n")
        return
    from rich.text import Text

    err = console(sys.stderr)
    lines = [Text.assemble(("error: ", "bold red"), printable(failure.message))]
    if failure.hint:
        lines.append(Text.assemble(("  hint: ", "bold"), printable(failure.hint)))
    # One line each for grep; a terminal gets them broken between words.
    err.print(*lines, sep="\n", soft_wrap=not sys.stderr.isatty())
