"""An `async def` handler on AWS Lambda: one event loop per process, a deadline before Lambda's own, a clean end.

| when | what happens |
|---|---|
| the first invocation of a process, or of a fork of it | an `asyncio.Runner` is made; nothing is at import |
| an invocation begins | unseen time is noticed, and the loop learns which connections have died meanwhile |
| its time is nearly over | the handler is cancelled, and `InvocationTimeoutError` is what the invocation ends with |
| a snapshot is taken, or restored (SnapStart) | idle connections and credentials of every `CloudMap` go; answers stay |
| SIGTERM between invocations | loop and connections are closed; then the process ends, or who listened first is told |
| SIGTERM in an invocation | it may end, and the loop is closed then |
| the process ends | the loop is closed |

Lambda's Python runtimes before 3.12 wait for events with the main thread, which then acts on no signal. There SIGTERM
is left alone: it ends the process at once, and the kernel closes the connections.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import functools
import inspect
import math
import os
import re
import signal
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Final, ParamSpec, TypeVar, cast, overload

from aiocloudmap.client.registry import registry
from aiocloudmap.errors import CloudMapError, ConfigurationError
from aiocloudmap.model.validation import safe_repr

try:
    # Part of Lambda's managed runtimes, and hardly anywhere else.
    from snapshot_restore_py import register_after_restore, register_before_snapshot
except ImportError:
    pass
else:
    # Hooks before a snapshot run in reverse: what others, registered later, still do with connections comes first.
    register_before_snapshot(registry.before_snapshot)
    register_after_restore(registry.after_restore)

__all__ = ["InvocationTimeoutError", "async_handler", "close"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_MARGIN: Final = 0.5
_TURNS: Final = 5
"""Turns of the loop until all who held a connection know that it has ended: two with TCP, four with TLS, as seen."""
_FIRST_THAT_HEARS: Final = 12
"""The minor version of the first Python whose runtime lets the main thread act on signals while it waits."""
_NEEDED: Final = "Write it above an `async def` with two parameters, event and context."


class InvocationTimeoutError(CloudMapError, TimeoutError):
    """The handler did not end in time and was cancelled, shortly before Lambda would have stopped the process.

    Its traceback leads to where the handler waited. It is not an `UnavailableError`: that Cloud Map was what took the
    time is not said, and a handler that catches errors of Cloud Map never sees it.
    """


@overload
def async_handler(handler: Callable[_P, Coroutine[Any, Any, _R]], /) -> Callable[_P, _R]: ...


@overload
def async_handler(*, margin: float = ...) -> Callable[[Callable[_P, Coroutine[Any, Any, _R]]], Callable[_P, _R]]: ...


def async_handler(
    handler: Callable[_P, Coroutine[Any, Any, _R]] | None = None, /, *, margin: float = _MARGIN
) -> Callable[_P, _R] | Callable[[Callable[_P, Coroutine[Any, Any, _R]]], Callable[_P, _R]]:
    """A handler for AWS Lambda from an `async def handler(event, context)`.

    All invocations of a process run on one event loop, so connections are used again. Each sees the context variables
    of its caller, and leaves none to the next. Answers are refreshed inline (`CachePolicy.refresh`), so nothing of this
    library runs on after an invocation; a task of your own that is not awaited stands still until the next one.

    Decorators that expect a plain function go above it. A test that runs an event loop awaits
    `handler.__wrapped__(event, context)`; one that has none calls the handler, and `close()` at its end.

    Args:
        handler: The coroutine function; the decorator may be written with or without parentheses.
        margin: Seconds before Lambda's own limit at which the handler is cancelled, 0 or more. They have to do for its
            `finally` blocks and for reporting the error. Where the context does not tell the time that remains, as in a
            test that passes None, nothing is cancelled; neither is code that never awaits.

    Raises:
        ConfigurationError: Not a coroutine function of two arguments, or a margin that is none; when the handler is
            called: an event loop is running on this thread, or an invocation on another one.
        InvocationTimeoutError: When the handler is called: it took too long. The next invocation is not affected.
    """
    # bool is an int to Python, and margin=True a slip.
    if not isinstance(margin, int | float) or isinstance(margin, bool) or not 0 <= margin < math.inf:
        raise ConfigurationError(f"margin={safe_repr(margin)} is out of range", advice="Give a number of 0 or more.")
    if handler is None:
        return cast("Callable[[Callable[_P, Coroutine[Any, Any, _R]]], Callable[_P, _R]]", _decorator(margin))
    return _decorated(handler, margin)


def close() -> None:
    """Close the event loop of this process, with its connections and its tasks; the next invocation makes another.

    For tests that call a handler. Elsewhere it happens by itself, at the end of the process. Answers stay.
    """
    _process.close()


def _decorator(margin: float) -> Callable[[Callable[..., Coroutine[Any, Any, Any]]], Callable[..., Any]]:
    return lambda handler: _decorated(handler, margin)


def _decorated(handler: Callable[_P, Coroutine[Any, Any, _R]], margin: float) -> Callable[_P, _R]:
    second = _second_parameter(handler)

    @functools.wraps(handler)
    def invoke(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        context = args[1] if len(args) > 1 else kwargs.get(second)
        return _process.run(lambda: _invocation(lambda: handler(*args, **kwargs), context, margin))

    return invoke


def _second_parameter(handler: object) -> str:
    """The name of what the runtime gives as the second argument, the context."""
    if not inspect.iscoroutinefunction(handler):
        name = getattr(handler, "__qualname__", repr(handler))
        raise ConfigurationError(f"@async_handler: {name} is not a coroutine function", advice=_NEEDED)
    signature = inspect.signature(handler)
    try:
        signature.bind(None, None)
    except TypeError as error:
        raise ConfigurationError(
            f"@async_handler: {handler.__qualname__}{signature} does not take two arguments", advice=_NEEDED
        ) from error
    return [*signature.parameters, ""][1]


async def _invocation(call: Callable[[], Coroutine[Any, Any, _R]], context: object, margin: float) -> _R:
    registry.check_clocks()
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    if (remaining := _remaining(context)) is None:
        return await call()
    margin = min(margin, remaining)
    deadline = asyncio.timeout(remaining - margin)
    try:
        async with deadline:
            return await call()
    except TimeoutError as error:
        if not deadline.expired():
            raise
        # Lambda shows no causes: the way to where the handler waited is given as this error's own.
        waited = (error.__cause__ or error).__traceback__
        raise InvocationTimeoutError(
            f"the handler did not end within {remaining - margin:.3g} s: cancelled {margin:g} s before Lambda's limit",
            advice="Look in the traceback for where it waited, or give the function more time.",
        ).with_traceback(waited) from error


def _remaining(context: object) -> float | None:
    """Seconds until Lambda stops the invocation, as far as the context tells."""
    tell = getattr(context, "get_remaining_time_in_millis", None)
    milliseconds = tell() if callable(tell) else None
    # A mock in a test answers with another mock.
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else None


class _Process:
    """The event loop on which the handlers of this process run, one invocation after the other."""

    def __init__(self) -> None:
        self._inherited: list[object] = []
        self._before: Any = None
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._runner: asyncio.Runner | None = None
        self._busy = threading.Lock()
        self._ending = False

    def run(self, begin: Callable[[], Coroutine[Any, Any, _R]]) -> _R:
        """What the coroutine returns; it sees this thread's context variables, and keeps what it sets to itself."""
        if asyncio._get_running_loop() is not None:
            raise ConfigurationError(
                "the handler was called inside a running event loop",
                advice="Await the coroutine function there: handler.__wrapped__(event, context).",
            )
        if self._pid != os.getpid():
            # Closing a parent's loop would take descriptors out of the parent's own selector: kept, and left alone.
            self._inherited.append(self._runner)
            self._start()
        if not self._busy.acquire(blocking=False):
            raise ConfigurationError(
                "the handler was called while an invocation runs on another thread",
                advice="Call it on one thread at a time, as Lambda does.",
            )
        try:
            return self._living_runner().run(begin(), context=contextvars.copy_context())
        finally:
            self._busy.release()
            if self._ending:
                self.close()

    def close(self) -> None:
        """Close the loop, if this process made one and no invocation uses it."""
        if self._pid != os.getpid() or not self._busy.acquire(blocking=False):
            return
        try:
            runner, self._runner = self._runner, None
            if runner is not None:
                runner.close()
        finally:
            self._busy.release()

    def close_at_exit(self) -> None:
        """As `close`, when Python lets no new thread begin, of which the end of a loop that used threads needs one."""
        with contextlib.suppress(RuntimeError):
            self.close()

    def _living_runner(self) -> asyncio.Runner:
        if self._runner is None or self._runner.get_loop().is_closed():
            self._runner = asyncio.Runner()
            self._listen()
        return self._runner

    def _listen(self) -> None:
        """Hear SIGTERM, where the runtime lets the main thread act on it."""
        runtime = re.fullmatch(r"AWS_Lambda_python3\.(\d+)", os.environ.get("AWS_EXECUTION_ENV", ""))
        hears = runtime is not None and int(runtime[1]) >= _FIRST_THAT_HEARS
        if hears and threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGTERM)
            if before != self._terminated:
                self._before = before
                signal.signal(signal.SIGTERM, self._terminated)

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        self._ending = True
        self.close()
        # What a handler has forked has its parent's lock, and nothing to bring to an end.
        works = self._pid == os.getpid() and self._busy.locked()
        if callable(self._before):
            self._before(number, frame)
        elif self._before is signal.SIG_DFL and not works:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


_process: Final = _Process()
atexit.register(_process.close_at_exit)
