"""For workers: stop on SIGTERM without losing work, in containers, systemd services and the like.

| a SIGTERM or SIGINT | what happens |
|---|---|
| the first one in an `until_sigterm()` block | the event of every open block is set, and their drain time begins |
| the next one of either kind | the previous handlers run: usually, the process ends |
| in a process forked in the block | the previous handlers run |

The handlers are Python's (`signal.signal`), not the event loop's, so they run while something blocks the loop. Handlers
that others have added to the loop itself (`add_signal_handler`) still run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from types import FrameType
from typing import Any, Final

from aiocloudmap.errors import CloudMapError, ConfigurationError
from aiocloudmap.model.validation import check_number

__all__ = ["NotDrainedError", "until_sigterm"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_MAX_SLEEP: Final = 1.0
_logger = logging.getLogger("aiocloudmap")


class NotDrainedError(CloudMapError, TimeoutError):
    """Work was still running `drain_timeout` seconds after the signal, and was cancelled."""


@contextlib.asynccontextmanager
async def until_sigterm(*, drain_timeout: float | None = None) -> AsyncGenerator[asyncio.Event]:
    """An event that SIGTERM or SIGINT sets: then take no new work, finish what is running, and leave the block.

    ```python
    async with until_sigterm(drain_timeout=25) as stop:
        while not stop.is_set():
            ...
    ```

    Only the first signal is handled. A second one takes effect as it would outside the block, so that a process that
    hangs can still be stopped. The end of the block restores the previous handlers.

    Several blocks may be open, nested or in different tasks; one signal sets the events of all. You may also set the
    event yourself; the drain time begins with a signal only.

    Makes no AWS calls. While a block is open, its event loop wakes once a second. Cancelling its task ends the block.

    Args:
        drain_timeout: Seconds from the signal until the block is cancelled, as by `asyncio.timeout`, with everything it
            waits for; 0 or more. It should be shorter than the time after which the supervisor kills the process (30 s
            by default on Amazon ECS and Kubernetes). None means no limit.

    Raises:
        NotDrainedError: The block was cancelled. If it is not caught, the exit code is 1.
        ConfigurationError: This is not the main thread, the only one that handles signals in Python, or `drain_timeout`
            is invalid.
    """
    if threading.current_thread() is not threading.main_thread():
        raise ConfigurationError(
            "until_sigterm() works on the main thread only, where Python handles signals",
            advice="Use it there, and notify the other threads.",
        )
    if drain_timeout is not None:
        check_number("drain_timeout", drain_timeout)
    loop = asyncio.get_running_loop()
    stop, deadline = asyncio.Event(), asyncio.timeout(None)
    is_open = True

    def drain(name: str) -> None:
        if not is_open:
            return
        stop.set()
        if drain_timeout is None:
            _logger.info("%s: taking no new work; waiting for work in progress", name)
        else:
            _logger.info("%s: taking no new work; waiting up to %g s for work in progress", name, drain_timeout)
            deadline.reschedule(loop.time() + drain_timeout)

    with _handlers.installed(lambda number: loop.call_soon_threadsafe(drain, number.name)), _kept_awake(loop):
        try:
            async with deadline:
                yield stop
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise _not_drained(drain_timeout) from error
        finally:
            is_open = False
        if deadline.expired():  # the block was cancelled, and suppressed it
            raise _not_drained(drain_timeout)


def _not_drained(drain_timeout: float | None) -> NotDrainedError:
    return NotDrainedError(
        f"work was still running {drain_timeout:g} s after the signal, and was cancelled",
        advice="Increase drain_timeout, or shorten the polls and the longest piece of work.",
    )


class _Handlers:
    """This process's handlers of SIGTERM and SIGINT, while blocks are open.

    Everything runs on the main thread; `_on_signal` may interrupt the other methods at any point.
    """

    def __init__(self) -> None:
        self._listeners: list[Callable[[signal.Signals], object]] = []
        self._previous: dict[signal.Signals, Any] = {}

    @contextlib.contextmanager
    def installed(self, listener: Callable[[signal.Signals], object]) -> Iterator[None]:
        """Call the listener with the first signal that arrives in the block."""
        self._listeners.append(listener)
        self._install()
        try:
            yield
        finally:
            with contextlib.suppress(ValueError):  # it has been called
                self._listeners.remove(listener)
            if not self._listeners:
                self._restore()

    def forget_after_fork(self) -> None:
        """In the child: drop the listeners, which belong to the parent and its event loops."""
        self._listeners.clear()
        self._restore()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        # False if a handler that has replaced this one calls it.
        is_installed = self._is_installed(number)
        listeners, self._listeners = self._listeners, []
        self._restore()
        for listener in listeners:
            listener(signal.Signals(number))
        if is_installed and not listeners:
            # The signal arrived while the last block ended, or a program has reinstalled this handler after that.
            if self._is_installed(number):
                signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _install(self) -> None:
        for number in _SIGNALS:
            if not self._is_installed(number):
                # Stored first: the signal may arrive as soon as the handler is installed.
                self._previous[number] = signal.getsignal(number)
                signal.signal(number, self._on_signal)

    def _restore(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            # A handler that was installed later stays. None means that it was not installed from Python, and
            # cannot be restored.
            if self._is_installed(number):
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _is_installed(self, number: int) -> bool:
        return signal.getsignal(number) == self._on_signal


@contextlib.contextmanager
def _kept_awake(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Wake the loop once a second.

    A signal wakes a loop that sleeps. If it arrives just before, after Python's last check for signals, it is only
    handled when the loop wakes for another reason.
    """
    timers: list[asyncio.TimerHandle] = []

    def wake() -> None:
        timers[:] = [loop.call_later(_MAX_SLEEP, wake)]

    wake()
    try:
        yield
    finally:
        timers[0].cancel()


_handlers: Final = _Handlers()
os.register_at_fork(after_in_child=_handlers.forget_after_fork)
