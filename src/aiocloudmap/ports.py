"""The protocols that the edges implement: where time comes from, and where answers come from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from aiocloudmap.model import Discovery, Query
    from aiocloudmap.service_attributes import AttributesQuery

__all__ = ["SYSTEM_CLOCK", "AttributesBackend", "Backend", "Clock", "Timer", "pause"]


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
