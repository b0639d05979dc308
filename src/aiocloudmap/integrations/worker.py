"""For programs that work until they are told to stop: containers, services of systemd, whatever gets a SIGTERM.

| a SIGTERM or SIGINT | what happens |
|---|---|
| the first one in an `until_sigterm()` block | every open block has its event set, and its drain time begins |
| the next one, of either kind | what would have happened without the block: as a rule, the process ends |
| in a child that was forked in the block | the same |

The handlers are Python's own (`signal.signal`), not the event loop's: they work while something holds the loop up.
What others have asked of the loop itself (`add_signal_handler`) goes on beside them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from types import FrameType
from typing import Any, Final

from aiocloudmap.errors import CloudMapError, ConfigurationError
from aiocloudmap.model.validation import safe_repr

__all__ = ["NotDrainedError", "until_sigterm"]

_NUMBERS: Final = (signal.SIGTERM, signal.SIGINT)
_LONGEST_SLEEP: Final = 1.0
_logger = logging.getLogger("aiocloudmap")


class NotDrainedError(CloudMapError, TimeoutError):
    """What had begun did not end within `drain_timeout` after the signal, and was cancelled."""


@contextlib.asynccontextmanager
async def until_sigterm(*, drain_timeout: float | None = None) -> AsyncGenerator[asyncio.Event]:
    """An event that SIGTERM or SIGINT sets: take no new work then, let what has begun end, and leave the block.

    ```python
    async with until_sigterm(drain_timeout=25) as stop:
        while not stop.is_set():
            ...
    ```

    Only the first signal is taken. A second one does what it would do without the block, so that a process which is
    held up can still be ended. At the end of the block the handlers of before are back.

    Several blocks may be open, nested or in tasks beside each other; one signal is for all of them. The event may be
    set by hand as well: the drain time is counted from the signal only.

    Costs no AWS call. While a block is open, its event loop wakes once a second. Cancelling its task ends the block as
    it would any other.

    Args:
        drain_timeout: Seconds from the signal until the block is cancelled, with all it waits for, as by
            `asyncio.timeout`; 0 or more. Choose it shorter than the time after which the supervisor kills the process
            (30 s by default on Amazon ECS and Kubernetes). None sets no end.

    Raises:
        NotDrainedError: The block was cancelled so. Uncaught, it makes the process's exit code 1.
        ConfigurationError: This is not the main thread, the only one that Python handles signals on, or
            `drain_timeout` is out of range.
    """
    _check(drain_timeout)
    loop = asyncio.get_running_loop()
    stop, deadline = asyncio.Event(), asyncio.timeout(None)
    is_open = True

    def drain(name: str) -> None:
        if not is_open:
            return
        stop.set()
        if drain_timeout is None:
            _logger.info("%s: no new work; what has begun may end", name)
        else:
            _logger.info("%s: no new work; what has begun may end within %g s", name, drain_timeout)
            deadline.reschedule(loop.time() + drain_timeout)

    with _signals.heard(lambda number: loop.call_soon_threadsafe(drain, number.name)), _kept_awake(loop):
        try:
            async with deadline:
                yield stop
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise _not_drained(drain_timeout) from error
        finally:
            is_open = False
        if deadline.expired():  # and what was cancelled went on
            raise _not_drained(drain_timeout)


def _not_drained(drain_timeout: float | None) -> NotDrainedError:
    return NotDrainedError(
        f"what had begun did not end within {drain_timeout:g} s after the signal, and was cancelled",
        advice="Allow for the rest of a long poll and for the longest piece of work, or make them shorter.",
    )


class _Signals:
    """SIGTERM and SIGINT of the process, for as long as anybody wants to hear of them.

    All of it runs on the main thread; `_on_signal` may come between any two steps of the rest.
    """

    def __init__(self) -> None:
        self._listeners: list[Callable[[signal.Signals], object]] = []
        self._before: dict[signal.Signals, Any] = {}

    @contextlib.contextmanager
    def heard(self, listener: Callable[[signal.Signals], object]) -> Iterator[None]:
        """Call the listener with the first signal that comes meanwhile."""
        self._listeners.append(listener)
        self._take()
        try:
            yield
        finally:
            with contextlib.suppress(ValueError):  # it has been called
                self._listeners.remove(listener)
            if not self._listeners:
                self._give_back()

    def forget_after_fork(self) -> None:
        """In the child: the listeners, and the event loop that they would wake, are the parent's."""
        self._listeners.clear()
        self._give_back()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        # No, where a handler that has taken its place calls it.
        is_mine = self._in_place(number)
        listeners, self._listeners = self._listeners, []
        self._give_back()
        for listener in listeners:
            listener(signal.Signals(number))
        if is_mine and not listeners:
            # It came while the last listener left, or somebody has put this handler back after that.
            if self._in_place(number):
                signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _take(self) -> None:
        for number in _NUMBERS:
            if not self._in_place(number):
                # Known before it is replaced: the signal may come right after.
                self._before[number] = signal.getsignal(number)
                signal.signal(number, self._on_signal)

    def _give_back(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            # Who has put another handler in place meanwhile keeps it. None was not set by Python, and is lost.
            if self._in_place(number):
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _in_place(self, number: int) -> bool:
        return signal.getsignal(number) == self._on_signal


@contextlib.contextmanager
def _kept_awake(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """The loop sleeps for a second at most.

    It wakes for a signal that comes while it sleeps. One that comes right before, when Python has looked for signals
    for the last time, is handled when it wakes for something else.
    """
    timers: list[asyncio.TimerHandle] = []

    def wake() -> None:
        timers[:] = [loop.call_later(_LONGEST_SLEEP, wake)]

    wake()
    try:
        yield
    finally:
        timers[0].cancel()


def _check(drain_timeout: Any) -> None:
    if threading.current_thread() is not threading.main_thread():
        raise ConfigurationError(
            "until_sigterm() is not on the main thread, the only one that Python handles signals on",
            advice="Use it there, and tell the other threads from there.",
        )
    if drain_timeout is None:
        return
    is_number = isinstance(drain_timeout, (int, float)) and not isinstance(drain_timeout, bool)
    if not (is_number and 0 <= drain_timeout < math.inf):
        raise ConfigurationError(
            f"drain_timeout={safe_repr(drain_timeout)} is out of range", advice="Give seconds, 0 or more, or None."
        )


_signals: Final = _Signals()
os.register_at_fork(after_in_child=_signals.forget_after_fork)
