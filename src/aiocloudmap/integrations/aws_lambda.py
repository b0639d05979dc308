"""For AWS Lambda: `async def` handlers on one event loop per process, with a deadline before Lambda's own.

| when | what happens |
|---|---|
| the first invocation in a process, or in a fork of it | an `asyncio.Runner` is created; importing creates nothing |
| an invocation begins | time spent frozen is noticed, and closed connections are detected |
| its time is nearly over | the handler is cancelled, and the invocation fails with `InvocationTimeoutError` |
| before and after a snapshot (SnapStart) | every `CloudMap` drops idle connections and credentials, and keeps answers |
| SIGTERM between invocations | loop and connections are closed; then the previous handler runs, or the process ends |
| SIGTERM during an invocation | the invocation finishes; then the loop is closed |
| the process exits | the loop is closed |

Lambda's runtimes before Python 3.12 wait for events on the main thread, where Python then runs no signal handler.
There, SIGTERM keeps its default effect: the process ends at once, and the kernel closes the connections.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import functools
import inspect
import os
import re
import signal
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Final, ParamSpec, TypeVar, overload

from aiocloudmap.client.registry import registry
from aiocloudmap.errors import CloudMapError, ConfigurationError
from aiocloudmap.model.validation import check_number

try:
    # Installed in Lambda's managed runtimes only.
    from snapshot_restore_py import register_after_restore, register_before_snapshot
except ImportError:
    pass
else:
    # Hooks before a snapshot run in reverse order: the application registers its own later, and they run before ours.
    register_before_snapshot(registry.before_snapshot)
    register_after_restore(registry.after_restore)

__all__ = ["InvocationTimeoutError", "async_handler", "close"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_MARGIN: Final = 0.5
_LOOP_ITERATIONS: Final = 5
"""Until connections that the server closed are reported as lost. Measured: two for TCP, four for TLS."""
_FIRST_MINOR_WITH_SIGNALS: Final = 12
"""Minor version of the first Python runtime that waits for events outside of the main thread."""
_ADVICE: Final = "Decorate an `async def` with two parameters, event and context."


class InvocationTimeoutError(CloudMapError, TimeoutError):
    """The handler took too long and was cancelled, shortly before Lambda would have stopped the process.

    Its traceback leads to where the handler waited. It is not an `UnavailableError`, since the handler may have waited
    for something other than Cloud Map. It is raised outside of the handler, which cannot catch it.
    """


@overload
def async_handler(handler: Callable[_P, Coroutine[Any, Any, _R]], /) -> Callable[_P, _R]: ...


@overload
def async_handler(*, margin: float = ...) -> Callable[[Callable[_P, Coroutine[Any, Any, _R]]], Callable[_P, _R]]: ...


def async_handler(
    handler: Callable[_P, Coroutine[Any, Any, _R]] | None = None, /, *, margin: float = _MARGIN
) -> Callable[_P, _R] | Callable[[Callable[_P, Coroutine[Any, Any, _R]]], Callable[_P, _R]]:
    """Turn an `async def handler(event, context)` into a handler for AWS Lambda.

    All invocations in a process run on one event loop, so connections are reused. Each sees the caller's context
    variables and cannot change them. Answers are refreshed inline (`CachePolicy.refresh`), so this library leaves no
    task running after an invocation. A task of your own that is not awaited pauses until the next invocation.

    Place decorators that expect a plain function above it. In a test that runs an event loop, await
    `handler.__wrapped__(event, context)`; in any other test, call the handler, and `close()` at the end.

    Args:
        handler: The coroutine function. The decorator works with and without parentheses.
        margin: Seconds before Lambda's limit at which the handler is cancelled, 0 or more. They must suffice for its
            `finally` blocks and for reporting the error. Without a remaining time in the context, for example in tests
            that pass None, nothing is cancelled. Code that never awaits cannot be cancelled.

    Raises:
        ConfigurationError: The argument is not a coroutine function with two parameters, or the margin is invalid. At a
            call: an event loop is running on this thread, or an invocation on another thread.
        InvocationTimeoutError: At a call: it took too long. Later invocations are not affected.
    """
    check_number("margin", margin)
    if handler is None:
        return lambda handler: _decorate(handler, margin)
    return _decorate(handler, margin)


def close() -> None:
    """Close this process's event loop, its tasks and its connections; the next invocation creates a new loop.

    For tests that call a handler; otherwise it happens when the process exits. Answers stay in the cache.
    """
    _process.close()


def _decorate(handler: Callable[_P, Coroutine[Any, Any, _R]], margin: float) -> Callable[_P, _R]:
    context_name = _second_parameter(handler)

    @functools.wraps(handler)
    def invoke(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        context = args[1] if len(args) > 1 else kwargs.get(context_name)
        return _process.run(lambda: _invoke(lambda: handler(*args, **kwargs), context, margin))

    return invoke


def _second_parameter(handler: object) -> str:
    """The name of the parameter that receives the context."""
    if not inspect.iscoroutinefunction(handler):
        name = getattr(handler, "__qualname__", repr(handler))
        raise ConfigurationError(f"@async_handler: {name} is not a coroutine function", advice=_ADVICE)
    signature = inspect.signature(handler)
    try:
        signature.bind(None, None)
    except TypeError as error:
        raise ConfigurationError(
            f"@async_handler: {handler.__qualname__}{signature} does not take two arguments", advice=_ADVICE
        ) from error
    return [*signature.parameters, ""][1]


async def _invoke(call: Callable[[], Coroutine[Any, Any, _R]], context: object, margin: float) -> _R:
    registry.check_clocks()
    for _ in range(_LOOP_ITERATIONS):
        await asyncio.sleep(0)
    if (remaining := _remaining_seconds(context)) is None:
        return await call()
    margin = min(margin, remaining)
    deadline = asyncio.timeout(remaining - margin)
    try:
        async with deadline:
            return await call()
    except TimeoutError as error:
        if not deadline.expired():
            raise
        # Lambda reports no causes: the traceback of where the handler waited becomes this error's own.
        traceback = (error.__cause__ or error).__traceback__
        raise InvocationTimeoutError(
            f"the handler took longer than {remaining - margin:.3g} s: cancelled {margin:g} s before Lambda's limit",
            advice="See the traceback for where it waited, or increase the function's timeout.",
        ).with_traceback(traceback) from error


def _remaining_seconds(context: object) -> float | None:
    method = getattr(context, "get_remaining_time_in_millis", None)
    milliseconds = method() if callable(method) else None
    # A mock in a test returns another mock.
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else None


def _main(loop: asyncio.AbstractEventLoop, call: Callable[[], Coroutine[Any, Any, _R]]) -> Coroutine[Any, Any, _R]:
    """The coroutine to run next, as a task that the handler's task factory does not make.

    A runner passes a context to the factory, and one of the older form takes the loop and the coroutine only.
    """
    factory = loop.get_task_factory()
    loop.set_task_factory(None)

    async def main() -> _R:
        loop.set_task_factory(factory)
        return await call()

    return main()


class _Process:
    """The event loop of this process, which runs one invocation at a time."""

    def __init__(self) -> None:
        self._parent_runners: list[object] = []
        self._previous_handler: Any = None
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._runner: asyncio.Runner | None = None
        self._busy = threading.Lock()
        self._terminating = False

    def run(self, call: Callable[[], Coroutine[Any, Any, _R]]) -> _R:
        """Run the coroutine in a copy of this thread's context variables."""
        if asyncio._get_running_loop() is not None:
            raise ConfigurationError(
                "the handler was called inside a running event loop",
                advice="Await the coroutine function instead: handler.__wrapped__(event, context).",
            )
        if self._pid != os.getpid():
            # Closing the parent's loop would unregister descriptors from the selector that both share, and so would
            # its destructor: keep it.
            self._parent_runners.append(self._runner)
            self._reset()
        if not self._busy.acquire(blocking=False):
            raise ConfigurationError(
                "the handler was called during an invocation on another thread",
                advice="Call it on one thread at a time, as Lambda does.",
            )
        try:
            if self._runner is None or self._runner.get_loop().is_closed():
                self._runner = asyncio.Runner()
                self._install_signal_handler()
            return self._runner.run(_main(self._runner.get_loop(), call), context=contextvars.copy_context())
        finally:
            self._busy.release()
            if self._terminating:
                self.close()

    def close(self) -> None:
        """Close the loop, if this process created one and no invocation uses it."""
        if self._pid != os.getpid() or not self._busy.acquire(blocking=False):
            return
        try:
            runner, self._runner = self._runner, None
            if runner is not None:
                runner.close()
        finally:
            self._busy.release()

    def close_at_exit(self) -> None:
        """Like `close`, while the interpreter shuts down."""
        # A loop that has used threads starts one more to join them, which Python no longer allows at this point.
        with contextlib.suppress(RuntimeError):
            self.close()

    def _install_signal_handler(self) -> None:
        runtime = re.fullmatch(r"AWS_Lambda_python3\.(\d+)", os.environ.get("AWS_EXECUTION_ENV", ""))
        handles_signals = runtime is not None and int(runtime[1]) >= _FIRST_MINOR_WITH_SIGNALS
        if handles_signals and threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGTERM)
            if previous != self._on_sigterm:
                self._previous_handler = previous
                signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self._terminating = True
        self.close()
        # A process forked by the handler has a copy of the held lock, but runs no invocation.
        is_invoking = self._pid == os.getpid() and self._busy.locked()
        if callable(self._previous_handler):
            self._previous_handler(number, frame)
        elif self._previous_handler is signal.SIG_DFL and not is_invoking:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


_process: Final = _Process()
atexit.register(_process.close_at_exit)
