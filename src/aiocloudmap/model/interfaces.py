"""The protocols that the edges implement: where time comes from, and where answers come from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from aiocloudmap.errors import ConfigurationError

if TYPE_CHECKING:
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
    "pause",
    "running_loop",
]


class Timer(Protocol):
    """A callback that waits for its time."""

    def cancel(self) -> None:
        """Never call it; harmless when it has been called already."""


class Clock(Protocol):
    """Where time comes from. One clock per engine; the hot path calls `monotonic` once and nothing else."""

    def monotonic(self) -> float:
        """Seconds that never run backwards, as `time.monotonic`."""
        ...

    def time(self) -> float:
        """Seconds since the epoch, as `time.time`; may be set forward or back."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` on the running event loop in `delay` seconds."""
        ...


class _SystemClock:
    """The machine's own clocks and the running loop's timers."""

    __slots__ = ()

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(delay, callback)

    def __repr__(self) -> str:
        return "SYSTEM_CLOCK"


SYSTEM_CLOCK: Final[Clock] = _SystemClock()


async def pause(clock: Clock, delay: float) -> None:
    """Come back in `delay` seconds by this clock."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = clock.call_later(delay, lambda: None if over.done() else over.set_result(None))
    try:
        await over
    finally:
        timer.cancel()


class Backend(Protocol):
    """A source of truth about instances: AWS, the local world, or one of your own."""

    async def discover(self, query: Query) -> Discovery:
        """Every instance that matches, in any order.

        Called at most once at a time per query and event loop, in a task of its own, and cancelled at the deadline.

        Raises:
            NotFoundError: The source is sure that the namespace or the service does not exist.
            CloudMapError: Anything else, as the class that says it best; an old answer is served meanwhile.
        """
        ...


@runtime_checkable
class AttributesBackend(Protocol):
    """What a backend may know besides: the attributes of services themselves, for `Service.attributes`."""

    async def service_attributes(self, query: AttributesQuery) -> Mapping[str, str]:
        """The service's own attributes; empty where it has none.

        Called, cancelled and failing as `Backend.discover`.

        Raises:
            NotFoundError: The source is sure that the namespace or the service does not exist.
            CloudMapError: Anything else, as the class that says it best; an old answer is served meanwhile.
        """
        ...


# MERGED event_loop: The event loop that a call runs on; asyncio's, or uvloop's in its place.


def running_loop(service: ServiceName | None = None) -> asyncio.AbstractEventLoop:
    """The running loop; refused is a call from trio, or from synchronous code.

    Args:
        service: Who was asked for, for the message.

    Raises:
        ConfigurationError: None runs.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError as error:
        raise ConfigurationError(
            "no asyncio event loop is running",
            service=service,
            advice="Await this in a coroutine that asyncio or uvloop runs.",
        ) from error


# MERGED cache/deadline: A deadline for a process that may be stopped: only the time in which it ran counts.
#
# A frozen process wakes up with all of its timers due and all that came meanwhile unread. A timer that comes late by more
# than a moment says so, and waits once more.
#


FREEZE_THRESHOLD: Final = 1.0
"""Seconds by which a timer is late where the process was stopped, or its event loop blocked."""


class Deadline:
    """Calls back once, in `delay` seconds; in `delay` seconds more where the process stood still at its end.

    Args:
        clock: Where time comes from.
        delay: Seconds.
        callback: Called on the running event loop.
    """

    __slots__ = ("_callback", "_clock", "_delay", "_due", "_timer")

    _due: float
    _timer: Timer

    def __init__(self, clock: Clock, delay: float, callback: Callable[[], object]) -> None:
        self._clock, self._delay, self._callback = clock, delay, callback
        self._start()

    def _start(self) -> None:
        self._due = self._clock.monotonic() + self._delay
        self._timer = self._clock.call_later(self._delay, self._come)

    def _come(self) -> None:
        if self._clock.monotonic() - self._due > FREEZE_THRESHOLD:
            self._start()
        else:
            self._callback()

    def cancel(self) -> None:
        """Never call back; harmless when it has been done."""
        self._timer.cancel()
