"""Run a Lambda function locally: AWS's own runtime for Python, in a process that can be frozen and thawed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from aiocloudmap.errors import ConfigurationError, missing_extra
from aiocloudmap.model.validation import check_number, safe_repr
from aiocloudmap.testing.runtime_api import FunctionError
from aiocloudmap.testing.sandbox import Log, Sandbox, SandboxError

try:
    # Imported here so that a missing extra is reported before a process fails.
    import awslambdaric as _awslambdaric
except ImportError as error:
    raise missing_extra("testing", error) from error

__all__ = ["FunctionError", "LambdaRuntime", "SandboxError"]

_COMMAND = (sys.executable, "-m", _awslambdaric.__name__)
_SECONDS: Final = (0.001, threading.TIMEOUT_MAX)
"""The range of timeouts."""


class LambdaRuntime:
    """Runs a handler as Lambda does: in its own process, with `awslambdaric`, one event after another.

    ```python
    with LambdaRuntime("app.handler", cwd="src", env={"STAGE": "test"}) as function:
        assert function.invoke({"order": 7}) == {"sent": True}
        function.freeze()               # what Lambda does between two invocations
        assert function.invoke({"order": 8}) == {"sent": True}
        assert function.cold_starts == 1
    ```

    In an asynchronous test, `async with` and `await function.ainvoke(...)` do not block the event loop. Only the
    loopback is used. Leaving the block kills the process.

    Args:
        handler: Module and function, as in Lambda's settings: `app.handler`.
        cwd: The working directory, where the process finds the module; None for the current one.
        env: Environment variables; they override those of this process and those that Lambda sets.
        timeout: Seconds that an invocation may take before the process is killed.
        snap_start: Whether to emulate SnapStart: `start` returns when a snapshot could be taken, and the next
            invocation restores it.
        patience: Seconds to wait for the process to start, to become idle and to end. After that a `SandboxError` is
            raised with the output of the process.
        command: The command that runs the process; the name of the handler is appended.

    Raises:
        ConfigurationError: An invalid argument.
    """

    def __init__(
        self,
        handler: str,
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        snap_start: bool = False,
        patience: float = 60.0,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        if not isinstance(handler, str):
            raise ConfigurationError(f"invalid handler {safe_repr(handler)}: expected its name, like 'app.handler'")
        check_number("timeout", timeout, *_SECONDS)
        check_number("patience", patience, *_SECONDS)
        self.handler = handler
        self.timeout = timeout
        self.cold_starts = 0
        self._cwd = Path.cwd() if cwd is None else Path(cwd)
        self._env = _variables(env or {})
        self._snap_start = snap_start
        self._patience = patience
        self._command = tuple(command)
        self._log: Log | None = None
        self._sandbox: Sandbox | None = None

    def start(self) -> None:
        """Start a process, unless one is running, and wait until it is ready. `invoke` also does this.

        Raises:
            FunctionError: The module cannot be imported, or does not have the handler.
            SandboxError: The process did not become ready.
        """
        if self._sandbox is not None and self._sandbox.is_alive:
            return
        self._end()
        if self._log is None:
            raise SandboxError("the runtime is closed: use it inside `with`")
        self.cold_starts += 1
        environment = {**os.environ, **self._environment(), **self._env}
        self._sandbox = Sandbox(
            [*self._command, self.handler], cwd=self._cwd, env=environment, log=self._log, max_wait=self._patience
        )
        try:
            self._sandbox.until_ready()
        except FunctionError as error:
            error.log = self.log
            raise

    def invoke(self, event: Any = None, *, timeout: float | None = None) -> Any:
        """Send an event and return the handler's result. Starts a process if needed, and thaws a frozen one.

        Args:
            event: Anything that JSON can represent.
            timeout: Seconds until the process is killed, also for the handler's context; None for the function's own.

        Raises:
            FunctionError: The handler raised, the timeout expired (`Sandbox.Timedout`), or the process ended
                (`Runtime.ExitError`).
            SandboxError: The process did not become ready.
            ConfigurationError: An invalid timeout.
        """
        if timeout is not None:
            check_number("timeout", timeout, *_SECONDS)
        body = json.dumps(event).encode()
        self.start()
        invocation = self._running().invoke(body, self.timeout if timeout is None else timeout)
        if invocation.error is not None:
            invocation.error.log = self.log
            raise invocation.error
        return invocation.result

    async def ainvoke(self, event: Any = None, *, timeout: float | None = None) -> Any:
        """As `invoke`, in a thread, so that the event loop can serve the handler. Cancelling it only stops waiting."""
        return await asyncio.to_thread(self.invoke, event, timeout=timeout)

    def freeze(self) -> None:
        """Stop the process and everything it has forked once it is idle, until it is thawed."""
        self._running().freeze()

    def thaw(self) -> None:
        """Continue a frozen process."""
        self._running().thaw()

    def terminate(self, *, grace: float = 2.0) -> int:
        """Shut the process down as Lambda does, with SIGTERM and then SIGKILL. The next invocation starts another.

        Args:
            grace: Seconds between the two signals; Lambda waits 0.5 or 2, for functions with extensions only.

        Returns:
            The exit code; if a signal ended the process, minus its number.
        """
        sandbox, self._sandbox = self._running(), None
        return sandbox.terminate(grace)

    @property
    def log(self) -> str:
        """The output of all processes so far, both standard output and standard error."""
        return "" if self._log is None else self._log.text()

    @property
    def pid(self) -> int | None:
        """The process id; None if no process is running."""
        return self._sandbox.pid if self._sandbox is not None and self._sandbox.is_alive else None

    def _running(self) -> Sandbox:
        if self._sandbox is None or not self._sandbox.is_alive:
            raise SandboxError("no process is running: call invoke or start first")
        return self._sandbox

    def _environment(self) -> dict[str, str]:
        """The variables that Lambda sets."""
        return {
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "AWS_LAMBDA_FUNCTION_NAME": "local",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/local",
            "AWS_LAMBDA_LOG_STREAM_NAME": "local",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start" if self._snap_start else "on-demand",
            "LAMBDA_TASK_ROOT": str(self._cwd),
            "_HANDLER": self.handler,
        }

    def _end(self) -> None:
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            sandbox.end()

    def __enter__(self) -> Self:
        self._log = Log()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._end()
        finally:
            if self._log is not None:
                self._log.close()
                self._log = None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.__exit__)

    def __repr__(self) -> str:
        state = "no process" if self.pid is None else f"process {self.pid}"
        frozen = ", frozen" if self._sandbox is not None and self._sandbox.frozen else ""
        return f"<LambdaRuntime {self.handler}: {state}{frozen}, {self.cold_starts} cold start(s)>"


def _variables(env: object) -> dict[str, str]:
    if not isinstance(env, Mapping):
        raise ConfigurationError(f"invalid env of type {type(env).__name__}: expected a dict like {{'STAGE': 'test'}}")
    for name, value in env.items():
        # The value is not shown: it may be a secret.
        if not (isinstance(name, str) and isinstance(value, str)):
            raise ConfigurationError(
                f"invalid env {safe_repr(name)} with a value of type {type(value).__name__}: expected strings"
            )
    return dict(env)
