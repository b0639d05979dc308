"""Runs the command line in the test's process or in a child process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

_MAX_WAIT = 60


@dataclass(frozen=True)
class Outcome:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


def _invoke(capsys: pytest.CaptureFixture[str], *arguments: str) -> Outcome:
    """Run the command in this process, with a pipe as standard output."""
    from aiocloudmap.cli.app import app

    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        app(args=list(arguments), prog_name="aiocloudmap")
    out, err = capsys.readouterr()
    return Outcome(left.value.code or 0, out, err)


def _command(*arguments: str) -> list[str]:
    """The command line of a child process."""
    return [sys.executable, "-W", "error", "-m", "aiocloudmap", *arguments]


def _run(*arguments: str, **environment: str) -> Outcome:
    """Run the command in a child process, with a pipe as standard output."""
    done = subprocess.run(
        _command(*arguments),
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=_MAX_WAIT,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@dataclass
class Serving:
    """A running `aiocloudmap serve`."""

    process: subprocess.Popen[str]
    introduction: list[str] = field(default_factory=list)

    @property
    def exports(self) -> dict[str, str]:
        """The variables that it prints."""
        return dict(
            pair.split("=", 1) for line in self.introduction if line.startswith("export ") for pair in line.split()[1:]
        )

    def said(self, pattern: str) -> str:
        """The next matching line on standard error."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if re.search(pattern, line):
                return line
        raise AssertionError(f"it ended without writing {pattern!r}")

    def end(self, number: signal.Signals) -> Outcome:
        """Send the signal and wait for the exit."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=_MAX_WAIT)
        return Outcome(self.process.returncode, out, err)


@contextlib.contextmanager
def _serving(*arguments: str) -> Iterator[Serving]:
    """Run `aiocloudmap serve` on a free port, and wait until it listens."""
    process = subprocess.Popen(
        _command("serve", "--port", "0", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        served = Serving(process)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                served.introduction.append(line.rstrip("\n"))
                if line.startswith("# then"):
                    break
            yield served
        finally:
            process.kill()


def _on_terminal(*arguments: str, columns: int = 80, pipe_out: bool = False, **environment: str) -> Outcome:
    """Run the command in a child process on a terminal.

    Args:
        arguments: Arguments of the command.
        columns: Width of the terminal.
        pipe_out: Whether standard output is a pipe. It is `out` then, and must fit into the pipe. What the terminal
            shows is `err`.
        environment: Variables to set.
    """
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        variables = os.environ | {"TERM": "xterm-256color"} | environment
        out = subprocess.PIPE if pipe_out else theirs
        process = subprocess.Popen(_command(*arguments), env=variables, stdin=theirs, stdout=out, stderr=theirs)
        os.close(theirs)
        theirs = -1
        shown = b""
        with process:
            # Linux raises EIO after the child has exited.
            with contextlib.suppress(OSError):
                while chunk := os.read(ours, 65536):
                    shown += chunk
            data = process.stdout.read().decode() if process.stdout else ""
            code = process.wait(_MAX_WAIT)
        return Outcome(code, data, shown.decode().replace("\r\n", "\n"))
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs a command in this process."""
    return lambda *arguments: _invoke(capsys, *arguments)


@pytest.fixture(scope="session")
def run() -> Callable[..., Outcome]:
    """Runs a command in a child process."""
    return _run


@pytest.fixture(scope="session")
def on_terminal() -> Callable[..., Outcome]:
    """Runs a command in a child process on a terminal."""
    return _on_terminal


@pytest.fixture(scope="session")
def serving() -> Callable[..., contextlib.AbstractContextManager[Serving]]:
    """Runs `aiocloudmap serve` in a child process until the end of a block."""
    return _serving


@pytest.fixture(scope="session")
def command() -> Callable[..., list[str]]:
    """Makes the command line of a child process that a test starts."""
    return _command
