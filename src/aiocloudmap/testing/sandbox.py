"""One process of a Lambda function, from its start to its end: it can be frozen, thawed, and told to end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final, Self

from aiocloudmap.testing.runtime_api import FunctionError, Invocation, RuntimeApi

__all__ = ["Log", "Sandbox", "SandboxError"]

_STEP: Final = 0.005
_TAIL: Final = 4000
_ENDED: Final = "Runtime.ExitError"


class SandboxError(Exception):
    """The process did not do in time what it had to; the message ends with what it has printed."""


class Log:
    """What processes print. A file, so that nobody has to read along."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`

    def fileno(self) -> int:
        """For a process to write to."""
        return self._file.fileno()

    def text(self) -> str:
        """All of it."""
        found = os.pread(self.fileno(), os.fstat(self.fileno()).st_size, 0)
        # The runtime separates the lines of a traceback by these, to keep them in one event of the log.
        return found.decode(errors="replace").replace("\r", "\n")

    def error(self, what: str) -> SandboxError:
        """What happened, with the end of what was printed."""
        printed = self.text()[-_TAIL:].strip()
        return SandboxError(f"{what}; printed was:\n{printed}" if printed else f"{what}; nothing was printed")

    def close(self) -> None:
        """Forget it."""
        self._file.close()


class Sandbox:
    """Starts the process; leaving the block ends it, whatever it does, and all that it has forked.

    Args:
        command: The program and its arguments.
        cwd: Where it runs.
        env: Its environment, to which the address of the Runtime API is added.
        log: Takes what it prints.
        patience: Seconds that it may take to become ready, to become idle, or to go.
    """

    def __init__(
        self, command: Sequence[str], *, cwd: str | os.PathLike[str], env: Mapping[str, str], log: Log, patience: float
    ) -> None:
        self.frozen = False
        self._log, self._patience = log, patience
        self._reaping = threading.Lock()
        self._exits = contextlib.ExitStack()
        self._api = self._exits.enter_context(RuntimeApi())
        try:
            self._process = subprocess.Popen(  # noqa: S603 - what the test wants to be run
                command,
                cwd=cwd,
                env={**env, "AWS_LAMBDA_RUNTIME_API": self._api.address},
                stdin=subprocess.DEVNULL,
                stdout=log.fileno(),
                stderr=subprocess.STDOUT,
                # A group of its own: what the process forks is stopped and killed with it.
                start_new_session=True,
            )
        except BaseException:
            self._exits.close()
            raise
        self._watcher = threading.Thread(target=self._watch, name="aiocloudmap-sandbox", daemon=True)
        self._watcher.start()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def lives(self) -> bool:
        """Whether it can take an event."""
        return self._api.error is None

    def until_ready(self) -> None:
        """Wait until it asks for an event, or could be made a snapshot of.

        Raises:
            FunctionError: It says why it cannot work.
            SandboxError: It has ended without a word, or says nothing.
        """
        self._until_idle("become ready")
        error = self._api.error
        if error is not None and error.type == _ENDED:
            raise self._log.error(f"the process ended before it was ready: {error.message}")
        if error is not None:
            raise error

    def invoke(self, event: bytes, timeout: float) -> Invocation:
        """Let it work on an event, for so many seconds at most; what became of it."""
        self.thaw()
        invocation = Invocation(event, timeout)
        self._api.put(invocation)
        if not self._api.wait(lambda: invocation.ended, timeout):
            self._api.fail(FunctionError("Sandbox.Timedout", f"Task timed out after {timeout:.2f} seconds"))
            self._signal(signal.SIGKILL)
        return invocation

    def freeze(self) -> None:
        """Stop it and what it has forked, once it is idle. On return nothing of it runs."""
        self._until_idle("become idle")
        self._signal(signal.SIGSTOP)
        end = time.monotonic() + self._patience
        with contextlib.suppress(ChildProcessError):  # it has died meanwhile
            while os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is None:
                if time.monotonic() > end:
                    raise self._log.error("the process did not stop")
                time.sleep(_STEP)
        self.frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        if self.frozen:
            self.frozen = False
            self._signal(signal.SIGCONT)

    def terminate(self, grace: float) -> int:
        """SIGTERM, and after `grace` seconds SIGKILL; the exit code."""
        self.thaw()
        self._process.terminate()
        self._watcher.join(grace)
        return self.end()

    def end(self) -> int:
        """Kill it and what it has forked; the exit code."""
        self._signal(signal.SIGKILL)
        self._watcher.join(self._patience)
        if self._watcher.is_alive():
            raise self._log.error("the process cannot be killed")
        self._exits.close()
        return int(self._process.returncode)

    def _until_idle(self, what: str) -> None:
        api = self._api
        if not api.wait(lambda: api.waiting or api.snapshots or api.error, self._patience):
            raise self._log.error(f"the process did not {what} within {self._patience:g} s")

    def _signal(self, number: signal.Signals) -> None:
        with self._reaping:
            if self._process.returncode is None:
                os.killpg(self.pid, number)

    def _watch(self) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._reaping:
            # What it has forked goes with it. Its number is still its own: nobody else can be hit.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            code = self._process.wait()
        self._api.fail(FunctionError(_ENDED, f"the runtime exited with exit status {code}"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
