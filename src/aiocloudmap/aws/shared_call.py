"""One call for all callers that want the same thing at the same time on one event loop.

A source of credentials or Cloud Map's control plane must not get a thousand calls because a thousand callers came at
once. Each event loop makes its own call: a task of one loop cannot be awaited on another.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, TypeVar

from aiocloudmap.errors import CloudMapError, UnavailableError

__all__ = ["SharedCalls"]

T = TypeVar("T")

_CLOSE_TIMEOUT: Final = 1.0
"""Seconds that a cancelled call gets to close what it opened."""


class _Call:
    def __init__(self, task: asyncio.Task[tuple[Any, Exception | None]]) -> None:
        self.task = task
        self.waiting = 0
        self.keep = False


class SharedCalls:
    """The calls under way, by event loop and key."""

    def __init__(self) -> None:
        self._calls: dict[tuple[asyncio.AbstractEventLoop, Hashable], _Call] = {}

    async def get(self, key: Hashable, function: Callable[[], Awaitable[T]], *, keep: bool = False) -> T:
        """Return the result of the call under way for this key, or of a new one.

        Cancelling one of several callers leaves the call to the others. Cancelling the last one ends it.

        Args:
            key: Equal keys share a call.
            function: Makes the call. Runs in a task of its own, without any caller's context variables.
            keep: Whether the call goes on after its last caller was cancelled.

        Raises:
            CloudMapError: The call raised it. Each caller gets an exception of its own.
            UnavailableError: Something else cancelled the call's task.
            Exception: The call raised it.
        """
        call = self._join(key, function)
        call.keep |= keep
        call.waiting += 1
        try:
            await asyncio.wait({call.task})
        except asyncio.CancelledError:
            if call.waiting == 1 and not (call.keep or call.task.done()):
                self._remove((call.task.get_loop(), key), call)
                call.task.cancel()
                await asyncio.wait({call.task}, timeout=_CLOSE_TIMEOUT)
            raise
        finally:
            call.waiting -= 1
        if call.task.cancelled():
            raise UnavailableError("the call was interrupted")
        value: T
        value, error = call.task.result()
        if error is not None:
            raise error.again() if isinstance(error, CloudMapError) else error
        return value

    def is_under_way(self, key: Hashable, *, keep: bool) -> bool:
        """Whether a call for this key runs on any event loop. With `keep` it goes on without callers, as in `get`."""
        calls = [call for (_, other), call in list(self._calls.items()) if other == key and not call.task.done()]
        for call in calls:
            call.keep |= keep
        return bool(calls)

    def forget_after_fork(self) -> None:
        """Leave the parent's calls alone."""
        self._calls = {}

    def _join(self, key: Hashable, function: Callable[[], Awaitable[Any]]) -> _Call:
        loop = asyncio.get_running_loop()
        call = self._calls.get((loop, key))
        if call is None or call.task.done():
            for other in [other for other in list(self._calls) if other[0].is_closed()]:
                self._calls.pop(other, None)
            # Not loop.create_task: the task factories of some tracing libraries do not take a context.
            call = _Call(asyncio.Task(_outcome(function), loop=loop, context=contextvars.Context()))
            self._calls[loop, key] = ended = call
            call.task.add_done_callback(lambda _: self._remove((loop, key), ended))
        return call

    def _remove(self, key: tuple[asyncio.AbstractEventLoop, Hashable], call: _Call) -> None:
        if self._calls.get(key) is call:
            del self._calls[key]


async def _outcome(function: Callable[[], Awaitable[T]]) -> tuple[T | None, Exception | None]:
    """The result and the error as values, since an unread exception of a task would be logged."""
    try:
        return await function(), None
    except Exception as error:  # noqa: BLE001 - each caller raises it
        # The traceback would keep this frame, and so everything that the call has used.
        return None, error.with_traceback(None)
