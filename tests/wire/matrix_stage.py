"""Plays one cell of the matrix: an old answer, a fault, and callers; then checks results, waits and calls.

Everything runs on this loop and on one manual clock, so that waits are measured by ticks and events. "at once" means
that a task ends in its first turn of the loop. "the call" means that it ends without a tick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from fault_matrix import AGES, CACHE, CONNECTIONS, Answer, Cell, Outcome, Row, Wait

from aiocloudmap import CloudMapError, Service, Snapshot
from aiocloudmap.testing import ManualClock

EPSILON = 0.001
TEST_TIMEOUT = 60
"""Seconds after which a stuck test fails."""

Result = Snapshot | BaseException


class Play:
    """One cell being played.

    Args:
        service: The service that the callers resolve.
        clock: The clock of the world and of the CloudMap.
        calls: The number of calls so far.
        reached: Whether the fault has affected a call, so that time may pass.
        release: Releases the answer, for faults that do not depend on the clock.
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
        """Start the callers and check that they get what the cell says."""
        before, begun = self.calls(), self.clock.monotonic()
        tasks = [asyncio.create_task(self.service.resolve()) for _ in range(callers)]
        await asyncio.sleep(0)
        if cell.wait is Wait.NONE:
            assert all(task.done() for task in tasks), "a caller waited"
        else:
            assert not any(task.done() for task in tasks), "a caller did not wait"
            await self._wait(tasks, cell.wait, row)
        results = await all_of(tasks)
        assert {kind_of(result, old) for result in results} == {cell.gets}
        await self._end(row, begun)
        assert self.calls() - before == cell.calls
        # The next caller is answered at once and causes no call.
        [again] = await self._at_once()
        assert kind_of(again, old) == (cell.then or cell.gets)
        assert self.calls() - before == cell.calls
        distinct = {id(result) for result in results if isinstance(result, CloudMapError)}
        assert len(distinct) in (0, callers), "an exception was raised twice"

    async def _wait(self, tasks: Sequence[asyncio.Task[Snapshot]], wait: Wait, row: Row) -> None:
        """Check that all callers wait until the last moment of the wait, then end it."""
        if wait is Wait.CALL:
            return
        seconds = {Wait.SOFT: CACHE.soft_timeout, Wait.DEADLINE: CONNECTIONS.discovery_timeout}.get(wait, row.pause)
        assert seconds is not None
        await until(self.reached)
        self.clock.tick(seconds - EPSILON)
        await settle()
        assert not any(task.done() for task in tasks), f"a caller waited for less than {seconds} s"
        self.clock.tick(EPSILON)
        if wait is Wait.PAUSE:
            self.release()

    async def _end(self, row: Row, begun: float) -> None:
        """Let the running call end: by its pause, or else by the deadline."""
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
    """Let every task run that is ready."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that depends on real sockets."""
    async with asyncio.timeout(TEST_TIMEOUT):
        while not condition():
            await asyncio.sleep(0.001)


async def all_of(tasks: Sequence[asyncio.Task[Snapshot]]) -> list[Result]:
    """The results or exceptions of all tasks."""
    async with asyncio.timeout(TEST_TIMEOUT):
        return await asyncio.gather(*tasks, return_exceptions=True)


def kind_of(result: Result, old: Snapshot) -> Outcome | BaseException:
    """The outcome that a result is; an unexpected error is returned as it is."""
    if isinstance(result, CloudMapError):
        assert str(result).startswith("shop/orders: ")
        return type(result)
    if isinstance(result, BaseException):
        return result
    if result is old:
        return Answer.OLD
    return {2: Answer.NEW, 1: Answer.FEWER, 0: Answer.NOTHING}[len(result)]


async def old_answer(service: Service, clock: ManualClock, state: str) -> Snapshot:
    """Fetch an answer and let time pass until it is in this state."""
    old = await service.resolve()
    clock.tick(AGES[state])
    assert service.explain().state.value == state
    return old
