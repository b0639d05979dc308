"""One call per question and event loop, shared by every caller who asks while it runs.

Every caller waits on a future of its own, so cancelling one disturbs neither the call nor the others. A caller who may
not join the running call (it began too early, or before an invalidation) shares one successor, which starts when that
call has ended: two calls for one question never run at the same time.

| a call | means |
|---|---|
| pending | a successor that has not started |
| started | its task exists; until it asks the backend (`began`), callers with a max_age may still join |
| done | its outcome is known, and no caller may join it |

Outcomes travel as values, not as exceptions of futures or tasks, so asyncio never reports one as "never retrieved".
This module records who waits for which call. `aiocloudmap.cache.resolver` runs the calls.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from aiocloudmap.cache.entry import Entry
from aiocloudmap.errors import CloudMapError
from aiocloudmap.model.answer import Answer, Question
from aiocloudmap.model.interfaces import Clock, Deadline
from aiocloudmap.model.stats import Counts

__all__ = ["Call", "Outcome", "SingleFlight", "Waiter"]

Outcome = Answer | CloudMapError | None
"""The result of a call; None if it was cancelled, which says nothing about the question."""


class Waiter:
    """One caller that waits for a call.

    Args:
        call: The call that it waits for.
        entry: The entry of its handle.
        max_age: As given to `resolve`.
        timeout: Seconds that it waits at most; None to wait until the call ends.
    """

    __slots__ = ("call", "entry", "future", "max_age", "timeout")

    def __init__(self, call: Call, entry: Entry, max_age: float | None, timeout: float | None) -> None:
        self.call: Final = call
        self.entry: Final = entry
        self.max_age: Final = max_age
        self.timeout: Final = timeout
        self.future: Final[asyncio.Future[Outcome]] = call.loop.create_future()

    def set_outcome(self, outcome: Outcome) -> None:
        """End the wait, unless it has ended."""
        # A loop that was closed during a call accepts no callbacks, and no caller waits on it.
        if not self.future.done() and not self.call.loop.is_closed():
            self.future.set_result(outcome)

    async def outcome_in_time(self, clock: Clock) -> Outcome:
        """The outcome of the call, or None after `timeout` seconds."""
        assert self.timeout is not None
        timer = Deadline(clock, self.timeout, lambda: self.set_outcome(None))
        try:
            return await self.future
        finally:
            timer.cancel()


class Call:
    """One call to the backend, running or about to, and its waiters."""

    __slots__ = (
        "age",
        "began",
        "believe_empty",
        "done",
        "entries",
        "invalidated",
        "is_current",
        "keep",
        "loop",
        "query",
        "started",
        "successor",
        "task",
        "timer",
        "turn_at",
        "waiters",
    )

    def __init__(self, query: Question, loop: asyncio.AbstractEventLoop) -> None:
        self.query: Final = query
        self.loop: Final = loop
        self.entries: Final[set[Entry]] = set()
        self.waiters: Final[set[Waiter]] = set()
        self.task: asyncio.Task[None] | None = None
        self.timer: Deadline | None = None
        self.successor: Call | None = None
        self.started = self.turn_at = 0.0
        self.age = 0.0
        """How much older than the call its answer may be: the process was frozen, or the backend's answer was old."""
        self.began = self.done = False
        self.is_current = False
        """Whether it holds the place of its question, rather than waiting for the call that does."""
        self.keep = False
        """Whether it goes on when the last waiter has left."""
        self.invalidated = False
        """Whether its question was invalidated while it was in flight, so that its answer is not written."""
        self.believe_empty = False
        """Whether a caller insists on a new answer, so that an empty one is not held off."""

    def __repr__(self) -> str:
        state = "done" if self.done else "started" if self.task else "pending"
        return f"<Call for {self.query.service} {state}, {len(self.waiters)} waiting>"


class SingleFlight:
    """The calls in flight, by event loop and question.

    Args:
        counts: Counts the callers that wait.
        timeout: Seconds that one call may take.
    """

    def __init__(self, counts: Counts, timeout: float) -> None:
        self._counts: Final = counts
        self._timeout: Final = timeout
        self._current: dict[asyncio.AbstractEventLoop, dict[Question, Call]] = {}

    def in_flight(self, query: Question) -> bool:
        """Whether a call for this question is in flight on the running event loop, if one runs."""
        try:
            return query in self._current.get(asyncio.get_running_loop(), _NO_CALLS)
        except RuntimeError:
            return False

    def join(self, entry: Entry, *, keep: bool, fresh: bool = False) -> Call:
        """The call that a caller on the running loop may share: one in flight, its successor, or a new one.

        Args:
            entry: The outcome is written there.
            keep: Whether the call is to go on when the last waiter has left.
            fresh: Whether a call that has begun is too old.
        """
        loop, query = asyncio.get_running_loop(), entry.query
        calls = self._current.get(loop)
        if calls is None:
            self._sweep()
            calls = self._current[loop] = {}
        call = calls.get(query)
        if call is None:
            call = calls[query] = Call(query, loop)
            call.is_current = True
        elif call.invalidated or (fresh and call.began):
            if call.successor is None:
                call.successor = Call(query, loop)
            call = call.successor
        call.entries.add(entry)
        call.keep |= keep
        return call

    def join_and_wait(self, entry: Entry, max_age: float | None, *, keep: bool) -> Waiter:
        """A waiter for the call that a caller may share, until that call ends."""
        call = self.join(entry, keep=keep, fresh=max_age is not None)
        call.believe_empty |= max_age == 0
        # The call's own deadline ends the wait, unless the call has to wait for another one.
        return self.wait(call, entry, max_age, None if call.is_current else self._timeout)

    def wait(self, call: Call, entry: Entry, max_age: float | None, timeout: float | None) -> Waiter:
        """A waiter for the call, on behalf of a caller on its loop."""
        self._counts.misses += 1
        if call.task is not None or call.waiters:
            self._counts.coalesced += 1
        waiter = Waiter(call, entry, max_age, timeout)
        call.waiters.add(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> Call | None:
        """A caller stops waiting. Returns its call if it is running and no longer needed: cancel that."""
        call = waiter.call
        call.waiters.discard(waiter)
        if call.waiters or call.keep or call.done:
            return None
        if call.task is not None:
            return call
        if call.is_current:
            self._remove(call)
        else:
            current = self._current.get(call.loop, _NO_CALLS).get(call.query)
            if current is not None and current.successor is call:
                current.successor = None
        return None

    def complete(self, call: Call, outcomes: dict[Waiter, Outcome]) -> Call | None:
        """Wake the waiters, then free the call's place. Returns the successor, which is current from now on."""
        for waiter, outcome in outcomes.items():
            waiter.set_outcome(outcome)
        call.timer = None
        call.waiters.clear()
        if not call.is_current:
            return None
        successor, call.successor = call.successor, None
        if successor is None:
            self._remove(call)
        else:
            call.is_current, successor.is_current = False, True
            self._current[call.loop][call.query] = successor
        return successor

    def invalidate(self, matches: Callable[[Question], bool]) -> None:
        """Calls in flight for these questions answer their waiters, and are not written."""
        for call in self.calls():
            if matches(call.query):
                call.invalidated = True

    def forget(self) -> None:
        """After a fork: the calls in flight are the parent's."""
        for call in self.calls():
            call.is_current = False
        self._current.clear()

    def calls(self) -> list[Call]:
        """The current calls of all event loops."""
        return [call for calls in list(self._current.values()) for call in list(calls.values())]

    def _remove(self, call: Call) -> None:
        call.is_current = False
        calls = self._current[call.loop]
        del calls[call.query]
        if not calls:
            del self._current[call.loop]

    def _sweep(self) -> None:
        """Drop the calls of event loops that were closed in the middle of one."""
        for loop in [loop for loop in list(self._current) if loop.is_closed()]:
            for call in self._current.pop(loop, _NO_CALLS).values():
                call.is_current, call.done = False, True
                if call.task is not None:
                    _end_on_closed_loop(call.task)


def _end_on_closed_loop(task: asyncio.Task[None]) -> None:
    """End a task whose loop cannot run it any more, so that neither is kept."""
    # As asyncio does for a task that it gives up itself: no complaint about it when it is collected.
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    coroutine = task.get_coro()
    assert coroutine is not None
    # What the backend does in its `finally` may need the loop.
    with contextlib.suppress(Exception):
        coroutine.close()


_NO_CALLS: Final[dict[Question, Call]] = {}
"""For a loop without calls. Never changed."""
