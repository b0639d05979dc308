"""A program in a child process that a test may stop and continue."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

__all__ = ["ChildProcess"]

_TIMEOUT = 60.0


class ChildProcess:
    """Runs a program and reads its output, one JSON value a line. Leaving `with` kills it.

    Args:
        program: Python code. It may import the modules beside this file. `say(value)` prints a value, `told()` waits
            for a line from the test.
        arguments: Variables that the program finds defined.
    """

    def __init__(self, program: str, **arguments: Any) -> None:
        defined = "".join(f"{name} = {value!r}\n" for name, value in arguments.items())
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{_FUNCTIONS}{defined}{program}"
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def said(self) -> Any:
        """Return the next value; fail with the program's standard error if it has ended."""
        process = self._process
        assert process.stdout is not None
        assert process.stderr is not None
        readable, _, _ = select.select([process.stdout], [], [], _TIMEOUT)
        assert readable, "the program printed nothing"
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return json.loads(line)

    def tell(self, word: str = "") -> None:
        """Send a line to the program, which waits for it in `told()`."""
        assert self._process.stdin is not None
        print(word, file=self._process.stdin)

    def stop(self) -> None:
        """Send SIGSTOP; return when all of its threads have stopped."""
        os.kill(self._process.pid, signal.SIGSTOP)
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def go_on(self) -> None:
        """Send SIGCONT."""
        os.kill(self._process.pid, signal.SIGCONT)

    def end(self) -> None:
        """Wait for its end; fail if it prints anything more or does not exit with 0."""
        output, errors = self._process.communicate(timeout=_TIMEOUT)
        assert (output, errors, self._process.returncode) == ("", "", 0), output + errors

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


_FUNCTIONS = """
import json
def say(value):
    print(json.dumps(value), flush=True)
def told():
    return sys.stdin.readline()
"""
