"""Calls in threads of their own: slow, blocking work that callers on several event loops wait for.

The event loop's default executor is not used, since the program may have filled it. A thread ends with its call, so no
event loop has to end it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import threading
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

from aiocloudmap.errors import CloudMapError

__all__ = ["ThreadCalls", "wait_for_threads"]

T = TypeVar("T")
_Outcome = tuple[Any, BaseException | None]
_Waiters = list[asyncio.Future[_Outcome]]

_THREAD_NAME: Final = "aiocloudmap-load"

_FORK_TIMEOUT: Final = 30.0
"""Seconds that a fork waits for the threads. Python's import locks would stay held in the child."""


class ThreadCalls:
    """The calls under way, by key. Used by any number of event loops and threads."""

    def __init__(self) -> None:
        self.forget_after_fork()

    def forget_after_fork(self) -> None:
        """Leave the parent's calls alone."""
        self._lock = threading.Lock()
        self._calls: dict[Hashable, _Waiters] = {}

    async def get(self, key: Hashable, function: Callable[[], T]) -> T:
        """Return the result of the call under way for this key, or of a new one.

        Cancelling a caller, or ending its event loop, does not stop the call. A result is not kept.

        Raises:
            BaseException: What the function raised. Each caller gets a CloudMapError of its own.
        """
        value: T
        value, error = await self.start(key, function)
        if error is not None:
            raise error.again() if isinstance(error, CloudMapError) else error
        return value

    def start(self, key: Hashable, function: Callable[[], object]) -> asyncio.Future[tuple[Any, BaseException | None]]:
        """As `get`, without waiting. The future's result is the value and the error."""
        waiter: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
        with self._lock:
            waiters = self._calls.get(key)
            if is_new := waiters is None:
                waiters = self._calls[key] = []
            waiters.append(waiter)
        if is_new:
            # Imported in the thread while a fork waits for it, its locks would be released without being held.
            with contextlib.suppress(OSError):  # without a file descriptor, the function reports it
                importlib.import_module("concurrent.futures.thread")

            arguments = key, function, waiters
            try:
                threading.Thread(target=self._run, args=arguments, name=_THREAD_NAME).start()
            except RuntimeError:  # the system has no thread left
                self._run(*arguments)
        return waiter

    def _run(self, key: Hashable, function: Callable[[], object], waiters: _Waiters) -> None:
        outcome: _Outcome
        try:
            outcome = function(), None
        except BaseException as error:  # noqa: BLE001 - each caller raises it
            outcome = None, error.with_traceback(None)
        with self._lock:
            if self._calls.get(key) is waiters:
                del self._calls[key]
        by_loop: dict[asyncio.AbstractEventLoop, _Waiters] = {}
        for waiter in waiters:
            by_loop.setdefault(waiter.get_loop(), []).append(waiter)
        for loop, own in by_loop.items():
            with contextlib.suppress(RuntimeError):  # it was closed
                loop.call_soon_threadsafe(_wake, own, outcome)


def _wake(waiters: _Waiters, outcome: _Outcome) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(outcome)


def wait_for_threads() -> None:
    """Before a fork: wait for the calls under way in other threads, since an import cut off there could not go on."""
    for thread in threading.enumerate():
        if thread.name == _THREAD_NAME and thread is not threading.current_thread():
            thread.join(_FORK_TIMEOUT)
