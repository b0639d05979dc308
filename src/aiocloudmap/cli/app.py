"""The typer application and the options that all commands share."""

from __future__ import annotations

import logging
import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer
import typer.core

from aiocloudmap.cli.demo.command import demo
from aiocloudmap.cli.errors import Exit
from aiocloudmap.cli.plan.command import plan
from aiocloudmap.cli.resolve import resolve
from aiocloudmap.cli.runner import exit_process
from aiocloudmap.cli.serve import serve

__all__ = ["app", "run"]

_EPILOG = (
    "Exit codes: 0 success, 1 failure, 2 wrong usage, 3 not found, 4 configuration or credentials, "
    "5 AWS refused or cannot be reached, 124 --timeout, 130 Ctrl-C, 143 SIGTERM (0 for serve)."
)


class _Group(typer.core.TyperGroup):
    """Removes the validator's words that newer versions of typer put before a message."""

    def invoke(self, ctx: Any) -> Any:
        """Parse a command's options, and run it."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    name="aiocloudmap",
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"aiocloudmap {version('aiocloudmap')}")
        except PackageNotFoundError:
            typer.echo("aiocloudmap, from a source tree that is not installed")
        raise typer.Exit


@app.callback()
def _shared(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show logs and tracebacks on standard error.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Service discovery with AWS Cloud Map: query it, run it locally, plan a fleet."""
    context.obj = "debug" if debug else None
    # Without a handler, Python would write the library's warnings to standard error.
    logging.basicConfig(handlers=None if debug else [logging.NullHandler()], level="INFO")
    if debug:
        logging.getLogger("aiocloudmap").setLevel("DEBUG")


for command in (resolve, serve, plan, demo):
    app.command(epilog=None)(command)


def run() -> None:
    """Parse the command line, run the command, and exit the process."""
    if sys.stdout is None or sys.stderr is None:  # closed by the parent process
        if sys.stderr is not None:
            sys.stderr.write("error: standard output is closed\n")
        sys.exit(Exit.FAILURE)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A character that the terminal cannot show becomes an escape instead of a traceback.
            stream.reconfigure(errors="backslashreplace")
    code: int = Exit.OK
    try:
        app(prog_name="aiocloudmap")
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else Exit.OK if done.code is None else Exit.FAILURE
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    try:
        sys.stdout.flush()
    except OSError:
        code = code or Exit.FAILURE
    exit_process(code)
