"""Exit codes, and how an exception becomes one error line and an exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

__all__ = ["CommandError", "Exit", "explain", "reporting"]


class Exit(IntEnum):
    """Exit codes that scripts rely on."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFIGURATION = 4
    UNAVAILABLE = 5
    TIMED_OUT = 124  # the code of timeout(1)
    INTERRUPTED = 130  # 128 + SIGINT: Ctrl-C
    TERMINATED = 143  # 128 + SIGTERM; `serve` is meant to be stopped this way and exits with 0


_EXITS: Mapping[Exit, tuple[type[CloudMapError], ...]] = {
    Exit.NOT_FOUND: (NotFoundError,),
    Exit.CONFIGURATION: (ConfigurationError, CredentialsError),
    Exit.UNAVAILABLE: (RequestError, UnavailableError),
}


class CommandError(Exception):
    """What a failed command reports.

    Args:
        exit_code: The exit code.
        code: A word that a script can compare.
        message: What happened, and to which service.
        hint: What to do about it. May be empty.
    """

    def __init__(self, exit_code: Exit, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.exit, self.code, self.message, self.hint = exit_code, code, message, hint


def explain(error: BaseException) -> CommandError:
    """What to report about the error."""
    if isinstance(error, CommandError):
        return error
    name = type(error).__name__
    if isinstance(error, CloudMapError):
        exit_code = next((code for code, kinds in _EXITS.items() if isinstance(error, kinds)), Exit.FAILURE)
        return CommandError(exit_code, name.removesuffix("Error"), str(error.again(advice="")), error.advice)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return CommandError(Exit.FAILURE, name, f"{where}{error.strerror or error}")
    return CommandError(
        Exit.FAILURE,
        name,
        f"unexpected {name}: {error}",
        "This is a bug in aiocloudmap. Run 'aiocloudmap --debug ...' and report the traceback.",
    )


@contextmanager
def reporting(context: typer.Context, *, as_json: bool = False) -> Iterator[None]:
    """Turn an exception into an error line on standard error and an exit code.

    Args:
        context: The command's context. With `--debug`, the traceback is shown too.
        as_json: Write the line as `{"error": {"code", "message", "hint"}}`.

    Raises:
        typer.Exit: An exception was reported.
    """
    try:
        yield
        sys.stdout.flush()
    except (typer.Exit, typer.BadParameter):
        raise
    except BrokenPipeError:
        # The reader closed the pipe. Buffered output must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.FAILURE) from None
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001 - a user must not see a traceback
        if context.find_root().obj == "debug":
            console(sys.stderr).print_exception()
        reported = explain(error)
        _report(reported, as_json=as_json)
        raise typer.Exit(reported.exit) from None


def _report(failure: CommandError, *, as_json: bool) -> None:
    if as_json:
        body = {"code": failure.code, "message": failure.message, "hint": failure.hint}
        sys.stderr.write(json.dumps({"error": body}) + "\n")
        return
    from rich.text import Text

    err = console(sys.stderr)
    lines = [Text.assemble(("error: ", "bold red"), printable(failure.message))]
    if failure.hint:
        lines.append(Text.assemble(("  hint: ", "bold"), printable(failure.hint)))
    # One line each for grep; on a terminal they wrap between words.
    err.print(*lines, sep="\n", soft_wrap=not sys.stderr.isatty())
