"""A Lambda function on this machine: AWS's own runtime for Python, in a process that can be frozen and thawed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from aiocloudmap.errors import ConfigurationError, missing_extra
from aiocloudmap.model.validation import safe_repr
from aiocloudmap.testing.runtime_api import FunctionError
from aiocloudmap.testing.sandbox import Log, Sandbox, SandboxError

try:
    # Named here so that what is missing is said before a process fails for it.
    import awslambdaric as _awslambdaric
except ImportError as error:
    raise missing_extra("testing", error) from error

__all__ = ["FunctionError", "LambdaRuntime", "SandboxError"]

_COMMAND = (sys.executable, "-m", _awslambdaric.__name__)


class LambdaRuntime:
    """Runs a handler as Lambda does: in a process of its own, by `awslambdaric`, one event after the other.

    ```python
    with LambdaRuntime("app.handler", cwd="src", env={"STAGE": "test"}) as function:
        assert function.invoke({"order": 7}) == {"sent": True}
        function.freeze()               # what Lambda does between two invocations
        assert function.invoke({"order": 8}) == {"sent": True}
        assert function.cold_starts == 1
    ```

    In an asynchronous test, `async with` and `await function.ainvoke(...)` leave the event loop free meanwhile. Nothing
    but the loopback is used. Leaving the block ends the process, whatever it does.

    Args:
        handler: Module and function, as in Lambda's settings: `app.handler`.
        cwd: Where the process runs and finds the module; None for where this one runs.
        env: Variables of the process, over those of this one and over what Lambda sets.
        timeout: Seconds that an invocation may take before the process is killed, as the function's own setting says.
        snap_start: Whether the process takes part in a snapshot: `start` returns when it could be taken, and the next
            invocation restores it.
        patience: Seconds that starting, becoming idle and being killed may take each; then a `SandboxError` says what
            the process has printed.
        command: What runs the process, before the name of the handler.

    Raises:
        ConfigurationError: One of them cannot be what it is.
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
            raise ConfigurationError(f"{safe_repr(handler)} is no handler", advice="Give its name, like 'app.handler'.")
        _check_seconds("timeout", timeout)
        _check_seconds("patience", patience)
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
        """Start a process where none lives, and wait until it is ready. `invoke` does it, too.

        Raises:
            FunctionError: The module cannot be imported, or has no such handler.
            SandboxError: The process did not become ready.
        """
        if self._sandbox is not None and self._sandbox.lives:
            return
        self._end()
        if self._log is None:
            raise SandboxError("the runtime is not open: use it inside `with`")
        self.cold_starts += 1
        environment = {**os.environ, **self._environment(), **self._env}
        self._sandbox = Sandbox(
            [*self._command, self.handler], cwd=self._cwd, env=environment, log=self._log, patience=self._patience
        )
        try:
            self._sandbox.until_ready()
        except FunctionError as error:
            error.log = self.log
            raise

    def invoke(self, event: Any = None, *, timeout: float | None = None) -> Any:
        """What the handler returns for this event. Starts the process where there is none, and thaws a frozen one.

        Args:
            event: Anything that JSON can say.
            timeout: Seconds until the process is killed, of which the handler's context tells; None for the
                function's own.

        Raises:
            FunctionError: The handler raised, the time was over (`Sandbox.Timedout`), or the process ended
                (`Runtime.ExitError`).
            SandboxError: The process did not become ready.
            ConfigurationError: There is no such timeout.
        """
        if timeout is not None:
            _check_seconds("timeout", timeout)
        body = json.dumps(event).encode()
        self.start()
        invocation = self._living().invoke(body, self.timeout if timeout is None else timeout)
        if invocation.error is not None:
            invocation.error.log = self.log
            raise invocation.error
        return invocation.result

    async def ainvoke(self, event: Any = None, *, timeout: float | None = None) -> Any:
        """As `invoke`, in a thread: the event loop may serve what the handler calls. Cancelling it ends the waiting."""
        return await asyncio.to_thread(self.invoke, event, timeout=timeout)

    def freeze(self) -> None:
        """Stop the process, and all that it has forked, once it is idle: nothing of it runs until it is thawed."""
        self._living().freeze()

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._living().thaw()

    def terminate(self, *, grace: float = 2.0) -> int:
        """Shut the process down as Lambda does: SIGTERM, then SIGKILL. The next invocation starts another.

        Args:
            grace: Seconds between the two; Lambda gives 0.5 or 2, to functions with extensions only.

        Returns:
            The exit code; where a signal ended the process, minus its number.
        """
        sandbox, self._sandbox = self._living(), None
        return sandbox.terminate(grace)

    @property
    def log(self) -> str:
        """What all processes so far have printed, on standard output and standard error."""
        return "" if self._log is None else self._log.text()

    @property
    def pid(self) -> int | None:
        """The number of the process, None where none lives."""
        return self._sandbox.pid if self._sandbox is not None and self._sandbox.lives else None

    def _living(self) -> Sandbox:
        if self._sandbox is None or not self._sandbox.lives:
            raise SandboxError("no process lives: invoke or start it first")
        return self._sandbox

    def _environment(self) -> dict[str, str]:
        """What Lambda sets."""
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


def _check_seconds(argument: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= threading.TIMEOUT_MAX:
        raise ConfigurationError(f"{argument}={safe_repr(value)} is no time", advice="Give seconds, more than 0.")


def _variables(env: object) -> dict[str, str]:
    if not isinstance(env, Mapping):
        raise ConfigurationError(f"env is of type {type(env).__name__}", advice="Write env={'STAGE': 'test'}.")
    for name, value in env.items():
        # The value is not shown: it may be a secret.
        if not (isinstance(name, str) and isinstance(value, str)):
            raise ConfigurationError(
                f"env has {safe_repr(name)} with a value of type {type(value).__name__}",
                advice="Names and values of variables are strings.",
            )
    return dict(env)
