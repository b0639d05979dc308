"""A gate that holds calls until somebody opens it, over any number of event loops and threads."""

from __future__ import annotations

import asyncio
import threading

__all__ = ["Gate"]

_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class Gate:
    """Closed until `open`; then open for good."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[_Waiter] = []
        self._watchers: list[tuple[int, _Waiter]] = []
        self._is_open = False

    @property
    def held(self) -> int:
        """How many wait now."""
        return len(self._held)

    async def wait(self) -> None:
        """Wait for the gate, or for one's turn. Cancelling gives up."""
        waiter = _waiter()
        with self._lock:
            if self._is_open:
                return
            self._held.append(waiter)
            seen = [each for count, each in self._watchers if len(self._held) >= count]
        _wake(seen)
        try:
            await waiter[1]
        finally:
            with self._lock:
                if waiter in self._held:
                    self._held.remove(waiter)

    async def until_held(self, count: int) -> None:
        """Wait until `count` calls wait at once; at once where they do, for ever where the gate opens first."""
        waiter = _waiter()
        with self._lock:
            if len(self._held) >= count:
                return
            entry = (count, waiter)
            self._watchers.append(entry)
        try:
            await waiter[1]
        finally:
            with self._lock:
                self._watchers.remove(entry)

    def let_go(self, count: int) -> None:
        """Let the first `count` that wait go on; the gate stays closed."""
        with self._lock:
            going, self._held = self._held[:count], self._held[count:]
        _wake(going)

    def open(self) -> None:
        """Let all go on, now and later."""
        with self._lock:
            self._is_open = True
            going, self._held = self._held, []
        _wake(going)


def _waiter() -> _Waiter:
    loop = asyncio.get_running_loop()
    return loop, loop.create_future()


def _wake(waiters: list[_Waiter]) -> None:
    for loop, future in waiters:
        try:
            loop.call_soon_threadsafe(_finish, future)
        except RuntimeError:
            # That loop has been closed: nobody is left to wake.
            continue


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
