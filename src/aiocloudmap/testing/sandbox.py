"""One process of a Lambda function, which can be frozen, thawed and terminated."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final

from aiocloudmap.testing.runtime_api import FunctionError, Invocation, RuntimeApi

__all__ = ["Log", "Sandbox", "SandboxError"]

_POLL_INTERVAL: Final = 0.005
_MAX_OUTPUT: Final = 4000
_EXITED: Final = "Runtime.ExitError"


class SandboxError(Exception):
    """The process did not respond in time. The message ends with its output."""


class Log:
    """The output of processes, in a file, so that no thread has to read it."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`

    def fileno(self) -> int:
        """The file descriptor that processes write to."""
        return self._file.fileno()

    def text(self) -> str:
        """The whole output."""
        output = os.pread(self.fileno(), os.fstat(self.fileno()).st_size, 0)
        # The runtime joins the lines of a traceback with \r, to keep them in one log event.
        return output.decode(errors="replace").replace("\r", "\n")

    def error(self, what: str) -> SandboxError:
        """An error with the end of the output."""
        printed = self.text()[-_MAX_OUTPUT:].strip()
        return SandboxError(f"{what}; output:\n{printed}" if printed else f"{what}; no output")

    def close(self) -> None:
        """Delete the file."""
        self._file.close()


class Sandbox:
    """A process that has been started. `end` kills it and everything it has forked.

    Args:
        command: The program and its arguments.
        cwd: Its working directory.
        env: Its environment; the address of the Runtime API is added.
        log: Takes its output.
        max_wait: Seconds that it may take to become ready, to become idle, or to end.
    """

    def __init__(
        self, command: Sequence[str], *, cwd: str | os.PathLike[str], env: Mapping[str, str], log: Log, max_wait: float
    ) -> None:
        self.frozen = False
        self._log, self._max_wait = log, max_wait
        self._reaping = threading.Lock()
        self._exits = contextlib.ExitStack()
        self._api = self._exits.enter_context(RuntimeApi())
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the command of the test
                command,
                cwd=cwd,
                env={**env, "AWS_LAMBDA_RUNTIME_API": self._api.address},
                stdin=subprocess.DEVNULL,
                stdout=log.fileno(),
                stderr=subprocess.STDOUT,
                # In its own group, so that the processes it forks are stopped and killed with it.
                start_new_session=True,
            )
        except BaseException:
            self._exits.close()
            raise
        self._watcher = threading.Thread(target=self._watch, name="aiocloudmap-sandbox", daemon=True)
        self._watcher.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can take an event."""
        return self._api.error is None

    def until_ready(self) -> None:
        """Wait until it asks for an event, or is ready for a snapshot.

        Raises:
            FunctionError: It reported an error.
            SandboxError: It ended without a report, or did not respond in time.
        """
        self._until_idle("become ready")
        error = self._api.error
        if error is not None and error.type == _EXITED:
            raise self._log.error(f"the process ended before it was ready: {error.message}")
        if error is not None:
            raise error

    def invoke(self, event: bytes, timeout: float) -> Invocation:
        """Send it an event and wait for the result. After `timeout` seconds the process is killed."""
        self.thaw()
        invocation = Invocation(event, timeout)
        self._api.put(invocation)
        if not self._api.wait(lambda: invocation.ended, timeout):
            self._api.fail(FunctionError("Sandbox.Timedout", f"Task timed out after {timeout:.2f} seconds"))
            self._signal(signal.SIGKILL)
        return invocation

    def freeze(self) -> None:
        """Stop it and everything it has forked once it is idle, and wait until it has stopped."""
        self._until_idle("become idle")
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + self._max_wait
        with contextlib.suppress(ChildProcessError):  # it has ended
            while os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is None:
                if time.monotonic() > deadline:
                    raise self._log.error("the process did not stop")
                time.sleep(_POLL_INTERVAL)
        self.frozen = True

    def thaw(self) -> None:
        """Continue it, if it is frozen."""
        if self.frozen:
            self.frozen = False
            self._signal(signal.SIGCONT)

    def terminate(self, grace: float) -> int:
        """Send SIGTERM, and after `grace` seconds SIGKILL. Returns the exit code."""
        self.thaw()
        self._process.terminate()
        self._watcher.join(grace)
        return self.end()

    def end(self) -> int:
        """Kill it and everything it has forked. Returns the exit code."""
        self._signal(signal.SIGKILL)
        self._watcher.join(self._max_wait)
        if self._watcher.is_alive():
            raise self._log.error("the process could not be killed")
        self._exits.close()
        return int(self._process.returncode)

    def _until_idle(self, what: str) -> None:
        api = self._api
        if not api.wait(lambda: api.waiting or api.snapshots or api.error, self._max_wait):
            raise self._log.error(f"the process did not {what} within {self._max_wait:g} s")

    def _signal(self, number: signal.Signals) -> None:
        with self._reaping:
            if self._process.returncode is None:
                os.killpg(self.pid, number)

    def _watch(self) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._reaping:
            # Also kill what it has forked. The process id is not reused before `wait`.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            code = self._process.wait()
        self._api.fail(FunctionError(_EXITED, f"the runtime exited with exit status {code}"))
