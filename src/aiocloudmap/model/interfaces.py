"""The protocols of clocks and backends, waiting by a clock, and calls to an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol, runtime_checkable

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.model.instance import Discovery
from aiocloudmap.model.query import AttributesQuery, Query, ServiceName

__all__ = [
    "FREEZE_THRESHOLD",
    "SYSTEM_CLOCK",
    "AttributesBackend",
    "Backend",
    "Clock",
    "Deadline",
    "Timer",
    "call_in_loop",
    "pause",
    "running_loop",
]


class Timer(Protocol):
    """A scheduled callback."""

    def cancel(self) -> None:
        """Cancel the callback. Does nothing after it was called."""


class Clock(Protocol):
    """Where time comes from. Each engine has one clock. A cache hit calls `monotonic` once and nothing else."""

    def monotonic(self) -> float:
        """Seconds that never go backwards, like `time.monotonic`."""
        ...

    def time(self) -> float:
        """Seconds since the epoch, like `time.time`; may be set forward or back."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` on the running event loop in `delay` seconds."""
        ...


class _SystemClock:
    """The machine's clocks and the running loop's timers."""

    __slots__ = ()

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(delay, callback)

    def __repr__(self) -> str:
        return "SYSTEM_CLOCK"


SYSTEM_CLOCK: Final[Clock] = _SystemClock()


class Backend(Protocol):
    """A source of instances: AWS, the local world, or your own."""

    async def discover(self, query: Query) -> Discovery:
        """Every instance that matches, in any order.

        Called in a task of its own, at most once at a time per query and event loop, and cancelled at the deadline.

        Raises:
            NotFoundError: The namespace or the service does not exist.
            CloudMapError: Any other failure, as the class that fits best; an old answer is served if there is one.
        """
        ...


@runtime_checkable
class AttributesBackend(Protocol):
    """A backend that also has the attributes of services themselves, for `Service.attributes`."""

    async def service_attributes(self, query: AttributesQuery) -> Mapping[str, str]:
        """The service's own attributes, possibly empty.

        Called and cancelled like `Backend.discover`.

        Raises:
            NotFoundError: The namespace or the service does not exist.
            CloudMapError: Any other failure, as the class that fits best; an old answer is served if there is one.
        """
        ...


def running_loop(service: ServiceName | None = None) -> asyncio.AbstractEventLoop:
    """The running event loop of asyncio or uvloop.

    Args:
        service: The service that the call is about, for the message.

    Raises:
        ConfigurationError: The call comes from synchronous code or from trio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError as error:
        raise ConfigurationError(
            "no asyncio event loop is running",
            service=service,
            advice="Await this in a coroutine that asyncio or uvloop runs.",
        ) from error


_CALL_TIMEOUT: Final = 5.0
"""Seconds that another thread's event loop may take for a call."""


def call_in_loop(loop: asyncio.AbstractEventLoop | None, callback: Callable[[], object]) -> None:
    """Call `callback` on an event loop, also one of another thread, and wait for it. If no loop runs, call it here."""
    if loop is None or loop is asyncio._get_running_loop() or not loop.is_running():
        callback()
        return
    done: concurrent.futures.Future[None] = concurrent.futures.Future()

    def call() -> None:
        try:
            callback()
        finally:
            done.set_result(None)

    # If the loop ends first, the call is not needed.
    with contextlib.suppress(RuntimeError, TimeoutError):
        loop.call_soon_threadsafe(call)
        done.result(_CALL_TIMEOUT)


async def pause(clock: Clock, delay: float) -> None:
    """Sleep for `delay` seconds by this clock."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = clock.call_later(delay, lambda: None if over.done() else over.set_result(None))
    try:
        await over
    finally:
        timer.cancel()


FREEZE_THRESHOLD: Final = 1.0
"""A timer that is late by more than this many seconds was delayed by a frozen process or a blocked event loop."""


class Deadline:
    """A timer that does not count time in which the process was frozen.

    When a frozen process continues, its timers are due and what arrived in the meantime is still unread. A timer that
    is late by more than `FREEZE_THRESHOLD` therefore starts again, once: a blocked event loop makes every timer late.

    Args:
        clock: Where time comes from.
        delay: Seconds.
        callback: Called once, on the running event loop.
    """

    __slots__ = ("_callback", "_clock", "_delay", "_due", "_timer", "_was_late")

    _due: float
    _timer: Timer

    def __init__(self, clock: Clock, delay: float, callback: Callable[[], object]) -> None:
        self._clock, self._delay, self._callback = clock, delay, callback
        self._was_late = False
        self._start()

    def cancel(self) -> None:
        """Cancel the callback. Does nothing after it was called."""
        self._timer.cancel()

    def _start(self) -> None:
        self._due = self._clock.monotonic() + self._delay
        self._timer = self._clock.call_later(self._delay, self._on_timer)

    def _on_timer(self) -> None:
        if not self._was_late and self._clock.monotonic() - self._due > FREEZE_THRESHOLD:
            self._was_late = True
            self._start()
        else:
            self._callback()
