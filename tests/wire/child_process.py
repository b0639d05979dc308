"""A program in a process of its own, that a test may stop and let go on."""

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

_PATIENCE = 60.0


class ChildProcess:
    """Runs a program and reads what it prints, one JSON value a line. Whatever happens, it is gone at the end.

    Args:
        program: Python; what lies beside this file may be imported by name. `say(value)` prints a value, `told()` waits
            for the test to say something.
        arguments: Names that the program finds defined, by their values.
    """

    def __init__(self, program: str, **arguments: Any) -> None:
        defined = "".join(f"{name} = {value!r}\n" for name, value in arguments.items())
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{_WORDS}{defined}{program}"
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def said(self) -> Any:
        """The next value; the program's own complaint where there is none."""
        process = self._process
        assert process.stdout is not None
        assert process.stderr is not None
        readable, _, _ = select.select([process.stdout], [], [], _PATIENCE)
        assert readable, "the program says nothing"
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return json.loads(line)

    def tell(self, word: str = "") -> None:
        """Let the program go on that waits in `told()`."""
        assert self._process.stdin is not None
        print(word, file=self._process.stdin)

    def stop(self) -> None:
        """SIGSTOP; returns when not one of its threads runs any more."""
        os.kill(self._process.pid, signal.SIGSTOP)
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self._process.pid, signal.SIGCONT)

    def end(self) -> None:
        """It has nothing more to say, complains of nothing, and ends in order."""
        output, complaints = self._process.communicate(timeout=_PATIENCE)
        assert (output, complaints, self._process.returncode) == ("", "", 0), output + complaints

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


_WORDS = """
import json
def say(value):
    print(json.dumps(value), flush=True)
def told():
    return sys.stdin.readline()
"""
