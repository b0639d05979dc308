from __future__ import annotations

import errno
import json
from types import SimpleNamespace

import pytest
import typer

from aiocloudmap import errors
from aiocloudmap.cli.errors import CommandError, Exit, explain, reporting
from aiocloudmap.model.query import ServiceName

ORDERS = ServiceName("shop", "orders")


def _context(obj=None):
    root = SimpleNamespace(obj=obj)
    return SimpleNamespace(find_root=lambda: root)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (errors.NotFoundError, 3),
        (errors.NamespaceNotFoundError, 3),
        (errors.ServiceNotFoundError, 3),
        (errors.NoInstancesError, 3),
        (errors.AttributeNotFoundError, 3),
        (errors.ConfigurationError, 4),
        (errors.CredentialsError, 4),
        (errors.AccessDeniedError, 5),
        (errors.InvalidRequestError, 5),
        (errors.RequestError, 5),
        (errors.ConnectError, 5),
        (errors.DeadlineError, 5),
        (errors.ThrottledError, 5),
        (errors.ProtocolError, 5),
        (errors.ConnectionLimitError, 5),
        (errors.TooManyOpenFilesError, 5),
        (errors.UnavailableError, 5),
        (errors.InvalidAttributeError, 1),
        (errors.CloudMapError, 1),
    ],
)
def test_each_error_has_its_exit_code(kind, expected):
    """Scripts rely on exit codes."""
    assert explain(kind("something went wrong")).exit == expected


def test_the_table_above_has_every_error_class():
    """A new class needs an exit code."""
    rows = next(
        mark.args[1] for mark in test_each_error_has_its_exit_code.pytestmark if mark.name == "parametrize"
    )  # fmt: skip
    assert {kind.__name__ for kind, _ in rows} == set(errors.__all__)


def test_the_advice_becomes_the_hint():
    """It is not part of the message."""
    failure = explain(errors.ServiceNotFoundError("no such service", service=ORDERS, advice="Look again."))
    assert (failure.code, failure.message, failure.hint) == (
        "ServiceNotFound",
        "shop/orders: no such service",
        "Look again.",
    )


def test_operating_system_errors_name_the_file():
    """The message begins with the path."""
    failure = explain(PermissionError(errno.EACCES, "Permission denied", "/etc/x"))
    assert failure.message == "/etc/x: Permission denied"


def test_an_unexpected_error_is_reported_as_a_bug():
    """The hint says how to report it."""
    failure = explain(ZeroDivisionError("division by zero"))
    assert failure.exit == 1
    assert "ZeroDivisionError: division by zero" in failure.message
    assert "--debug" in failure.hint


def test_a_failure_goes_to_standard_error_without_a_traceback(capsys):
    """Standard output has only data."""
    with pytest.raises(typer.Exit) as caught, reporting(_context()):
        raise errors.ThrottledError("too many requests", service=ORDERS, advice="Ask less.")
    assert caught.value.exit_code == Exit.UNAVAILABLE
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: shop/orders: too many requests\n  hint: Ask less.\n")


def test_a_failure_can_be_json(capsys):
    """Scripts can read it."""
    with pytest.raises(typer.Exit), reporting(_context(), as_json=True):
        raise CommandError(Exit.TIMED_OUT, "TimedOut", "no answer", "Wait.")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err) == {"error": {"code": "TimedOut", "message": "no answer", "hint": "Wait."}}


def test_messages_are_neither_markup_nor_terminal_escapes(capsys):
    """Messages from the server are untrusted."""
    with pytest.raises(typer.Exit), reporting(_context()):
        raise errors.ProtocolError("got [bold]\x1b[2J\nnothing")
    assert "got [bold]\\x1b[2J\\nnothing\n" in capsys.readouterr().err


def test_debug_shows_the_traceback(capsys):
    """The error line comes after it."""
    with pytest.raises(typer.Exit), reporting(_context("debug")):
        raise errors.ProtocolError("nothing")
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("error: nothing\n")


def test_ctrl_c_has_an_exit_code_and_no_message(capsys):
    """The code is 128 + SIGINT."""
    with pytest.raises(typer.Exit) as caught, reporting(_context()):
        raise KeyboardInterrupt
    assert caught.value.exit_code == 130
    assert capsys.readouterr() == ("", "")


def test_wrong_usage_is_reported_by_the_parser():
    """It shows the usage line too."""
    with pytest.raises(typer.BadParameter), reporting(_context()):
        raise typer.BadParameter("no")
