"""One call for all callers that want the same thing at the same time on one event loop."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref

import pytest

from aiocloudmap.aws.shared_call import SharedCalls
from aiocloudmap.errors import ThrottledError, UnavailableError


class Function:
    """Counts its calls; each waits for `gate`, then returns its number or raises `error`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.begun = self.ended = 0
        self.gate = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        try:
            await self.gate.wait()
        finally:
            self.ended += 1
        if self.error is not None:
            raise self.error
        return number


async def begin(calls: SharedCalls, function: Function, count: int, key: object = "key", **options: bool):
    """That many callers of one key, with the call begun."""
    callers = [asyncio.create_task(calls.get(key, function, **options)) for _ in range(count)]
    await asyncio.sleep(0)  # they have joined
    while not function.begun:
        await asyncio.sleep(0)
    return callers


async def test_a_thousand_callers_share_one_call():
    """All of them get its result."""
    calls, function = SharedCalls(), Function()
    callers = await begin(calls, function, 1000)
    function.gate.set()
    assert (set(await asyncio.gather(*callers)), function.begun) == ({1}, 1)


async def test_a_call_that_has_ended_is_not_joined():
    """Not even in the same turn of the loop."""
    calls, function = SharedCalls(), Function()
    function.gate.set()
    assert [await calls.get("key", function) for _ in range(2)] == [1, 2]


async def test_other_keys_are_other_calls():
    """Each has its own result."""
    calls, first, second = SharedCalls(), Function(), Function()
    callers = await begin(calls, first, 1, "first") + await begin(calls, second, 1, "second")
    first.gate.set()
    second.gate.set()
    await asyncio.gather(*callers)
    assert (first.begun, second.begun) == (1, 1)


async def test_each_caller_gets_an_exception_of_its_own():
    """A shared one would collect the tracebacks of all callers."""
    calls, function = SharedCalls(), Function(ThrottledError("slow down"))
    callers = await begin(calls, function, 3)
    function.gate.set()
    errors = await asyncio.gather(*callers, return_exceptions=True)
    assert [(type(error), str(error)) for error in errors] == [(ThrottledError, "slow down")] * 3
    assert len({id(error) for error in errors}) == 3


async def test_an_exception_of_another_library_comes_through():
    """It is not hidden behind an error of ours."""
    calls, function = SharedCalls(), Function(OSError(24, "too many open files"))
    function.gate.set()
    with pytest.raises(OSError, match="too many open files"):
        await calls.get("key", function)


async def test_cancelling_one_caller_leaves_the_call_to_the_others():
    """The first caller is not special."""
    calls, function = SharedCalls(), Function()
    first, second = await begin(calls, function, 2)
    first.cancel()
    await asyncio.wait({first})
    function.gate.set()
    assert (await second, first.cancelled(), function.begun) == (1, True, 1)


async def test_cancelling_the_last_caller_ends_the_call():
    """It has ended when the caller's cancellation is over, and the next caller begins a new one."""
    calls, function = SharedCalls(), Function()
    callers = await begin(calls, function, 2)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    assert (function.begun, function.ended) == (1, 1)
    function.gate.set()
    assert await calls.get("key", function) == 2


async def test_a_kept_call_goes_on_without_callers():
    """A later caller joins it."""
    calls, function = SharedCalls(), Function()
    [caller] = await begin(calls, function, 1, keep=True)
    caller.cancel()
    await asyncio.wait({caller})
    later = await begin(calls, function, 1)
    function.gate.set()
    assert (await later[0], function.begun) == (1, 1)


async def test_one_caller_that_keeps_the_call_is_enough():
    """Even if another caller began it."""
    calls, function = SharedCalls(), Function()
    callers = await begin(calls, function, 1) + await begin(calls, function, 1, keep=True)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    assert function.ended == 0
    function.gate.set()
    assert await calls.get("key", function) == 1


async def test_a_call_sees_no_context_variables():
    """It serves all callers, so the request that began it must not be visible in it."""
    request = contextvars.ContextVar("request", default="unset")

    async def read():
        return request.get()

    request.set("caller")
    assert await SharedCalls().get("key", read) == "unset"


async def test_a_task_factory_without_context_is_no_obstacle():
    """Older tracing libraries install one."""
    loop = asyncio.get_running_loop()
    function = Function()
    function.gate.set()
    loop.set_task_factory(lambda loop, coro: asyncio.Task(coro, loop=loop))
    try:
        assert await SharedCalls().get("key", function) == 1
    finally:
        loop.set_task_factory(None)


async def test_a_call_cancelled_from_outside_is_an_error():
    """Its callers were not cancelled."""
    calls, function = SharedCalls(), Function()
    before = asyncio.all_tasks()
    callers = await begin(calls, function, 1)
    [task] = asyncio.all_tasks() - before - set(callers)
    task.cancel()
    with pytest.raises(UnavailableError, match="interrupted"):
        await callers[0]


def test_what_a_closed_loop_left_is_forgotten():
    """The next new call on another loop drops it."""
    calls, dead = SharedCalls(), asyncio.new_event_loop()
    dead.set_exception_handler(lambda *_: None)  # it would report the pending tasks

    async def leave():
        function = Function()
        await begin(calls, function, 1)
        return weakref.ref(function)

    async def use():
        function = Function()
        function.gate.set()
        return await calls.get("key", function)

    left = dead.run_until_complete(leave())
    dead.close()
    assert asyncio.run(use()) == 1
    gc.collect()
    assert left() is None


async def test_after_a_fork_the_parents_calls_are_not_joined():
    """They belong to the parent's loop."""
    calls, function = SharedCalls(), Function()
    parents = await begin(calls, function, 1)
    calls.forget_after_fork()
    childs = Function()
    childs.gate.set()
    assert (await calls.get("key", childs), function.ended) == (1, 0)
    function.gate.set()
    await asyncio.gather(*parents)
