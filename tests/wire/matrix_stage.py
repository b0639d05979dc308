"""Plays one cell of the matrix: an old answer of some age, trouble, callers; and measures what comes of it.

Everything runs on this loop and on one manual clock, so that waits are measured by ticks and events: "at once" is to
end in the first turn of the loop, without ever having suspended; "the call" is to end with no tick at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from fault_matrix import AGES, CACHE, CONNECTIONS, Answer, Cell, Outcome, Row, Wait

from aiocloudmap import CloudMapError, Service, Snapshot
from aiocloudmap.testing import ManualClock

EPSILON = 0.001
PATIENCE = 60
"""Ends a test that is stuck; nothing is measured by it."""

Result = Snapshot | BaseException


class Play:
    """One cell being played.

    Args:
        service: Whom the callers ask.
        clock: The clock of the world and of the CloudMap.
        calls: How many calls the source of truth has had.
        reached: Whether the trouble has met a call, so that time may pass.
        release: Lets the answer come, at the end of a pause that no clock ends.
    """

    def __init__(
        self,
        service: Service,
        clock: ManualClock,
        *,
        calls: Callable[[], int],
        reached: Callable[[], bool],
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self.service = service
        self.clock = clock
        self.calls = calls
        self.reached = reached
        self.release = release

    async def act(self, cell: Cell, row: Row, old: Snapshot, callers: int) -> None:
        """Let the callers come, and see that they get what the cell says."""
        before, begun = self.calls(), self.clock.monotonic()
        tasks = [asyncio.create_task(self.service.resolve()) for _ in range(callers)]
        await asyncio.sleep(0)
        if cell.wait is Wait.NONE:
            assert all(task.done() for task in tasks), "somebody waited"
        else:
            assert not any(task.done() for task in tasks), "somebody did not wait"
            await self._wait(tasks, cell.wait, row)
        results = await all_of(tasks)
        assert {kind_of(result, old) for result in results} == {cell.gets}
        await self._end(row, begun)
        assert self.calls() - before == cell.calls
        # Whoever comes then is answered at once, and sets nothing off.
        [again] = await self._at_once()
        assert kind_of(again, old) == (cell.then or cell.gets)
        assert self.calls() - before == cell.calls
        distinct = {id(result) for result in results if isinstance(result, CloudMapError)}
        assert len(distinct) in (0, callers), "an exception was raised twice"

    async def _wait(self, tasks: Sequence[asyncio.Task[Snapshot]], wait: Wait, row: Row) -> None:
        """Until the last moment of the wait everybody waits; at its end nobody does."""
        if wait is Wait.CALL:
            return
        seconds = {Wait.SOFT: CACHE.soft_timeout, Wait.DEADLINE: CONNECTIONS.discovery_timeout}.get(wait, row.pause)
        assert seconds is not None
        await until(self.reached)
        self.clock.tick(seconds - EPSILON)
        await settle()
        assert not any(task.done() for task in tasks), f"somebody waited for less than {seconds} s"
        self.clock.tick(EPSILON)
        if wait is Wait.PAUSE:
            self.release()

    async def _end(self, row: Row, begun: float) -> None:
        """What the callers set off comes to its end: the pause, where there is one, else the deadline at the latest."""
        if self.service.explain().in_flight:
            await until(lambda: self.reached() or not self.service.explain().in_flight)
            pause = CONNECTIONS.discovery_timeout if row.is_silent else row.pause
            if pause is not None:
                self.clock.tick(max(0, begun + pause - self.clock.monotonic()))
                self.release()
        await until(lambda: not self.service.explain().in_flight)

    async def _at_once(self) -> list[Result]:
        task = asyncio.create_task(self.service.resolve())
        await asyncio.sleep(0)
        assert task.done(), "the next caller waited"
        return await all_of([task])


async def settle() -> None:
    """Let every task run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that real sockets take their time for."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


async def all_of(tasks: Sequence[asyncio.Task[Snapshot]]) -> list[Result]:
    """What each of them came to."""
    async with asyncio.timeout(PATIENCE):
        return await asyncio.gather(*tasks, return_exceptions=True)


def kind_of(result: Result, old: Snapshot) -> Outcome | BaseException:
    """Which of the outcomes it is; an error that has no name is itself."""
    if isinstance(result, CloudMapError):
        assert str(result).startswith("shop/orders: ")
        return type(result)
    if isinstance(result, BaseException):
        return result
    if result is old:
        return Answer.OLD
    return {2: Answer.NEW, 1: Answer.FEWER, 0: Answer.NOTHING}[len(result)]


async def old_answer(service: Service, clock: ManualClock, state: str) -> Snapshot:
    """An answer that is in this state now."""
    old = await service.resolve()
    clock.tick(AGES[state])
    assert service.explain().state.value == state
    return old
