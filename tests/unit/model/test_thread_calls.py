"""Calls in threads: shared by callers on any event loop, and never in the event loop's way."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from aiocloudmap import ConfigurationError
from aiocloudmap.model.thread_calls import ThreadCalls, wait_for_threads

TIMEOUT = 30.0


class Gate:
    """A function that waits in its thread until the test opens it."""

    def __init__(self) -> None:
        self.begun, self.opened = threading.Event(), threading.Event()
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        self.begun.set()
        assert self.opened.wait(TIMEOUT), "the event loop stood still"
        return self.calls


async def test_the_event_loop_goes_on_during_a_call():
    """What the function waits for happens on the event loop."""
    gate = Gate()
    asyncio.get_running_loop().call_soon(gate.opened.set)
    assert await ThreadCalls().get("key", gate) == 1


async def test_a_full_default_executor_does_not_delay_a_call():
    """The program may have filled it."""
    gate, running = Gate(), asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as executor:
        running.set_default_executor(executor)
        job = running.run_in_executor(None, gate)
        assert await ThreadCalls().get("key", lambda: "done") == "done"
        gate.opened.set()
        await job


def test_callers_on_several_event_loops_share_a_call():
    """A finished call is not kept."""
    calls, gate, joined = ThreadCalls(), Gate(), threading.Barrier(3)

    async def main():
        waiting = asyncio.ensure_future(calls.get("key", gate))
        await asyncio.sleep(0)
        await asyncio.to_thread(joined.wait, TIMEOUT)
        return await waiting

    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(asyncio.run, main()) for _ in range(2)]
        joined.wait(TIMEOUT)
        gate.opened.set()
        assert [result.result(TIMEOUT) for result in results] == [1, 1]
    assert asyncio.run(calls.get("key", gate)) == 2


async def test_a_cancelled_caller_leaves_the_call_to_others():
    """Even to those who come later."""
    calls, gate = ThreadCalls(), Gate()
    first = asyncio.ensure_future(calls.get("key", gate))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = calls.start("key", gate)
    gate.opened.set()
    assert await second == (1, None)


def test_a_call_may_outlast_its_event_loop():
    """The thread ends on its own."""
    calls, gate = ThreadCalls(), Gate()

    async def start():
        calls.start("key", gate)

    asyncio.run(start())
    gate.opened.set()
    wait_for_threads()
    assert asyncio.run(calls.get("key", gate)) == 2


async def test_each_caller_gets_an_error_of_its_own():
    """A shared exception would collect the tracebacks of all."""

    def fail():
        raise ConfigurationError("x")

    calls = ThreadCalls()
    first, second = await asyncio.gather(*(calls.get("key", fail) for _ in range(2)), return_exceptions=True)
    assert (type(first), str(first)) == (type(second), str(second)) == (ConfigurationError, "x")
    assert first is not second


async def test_without_a_thread_the_call_is_made_in_place(monkeypatch):
    """The system may have none left."""

    def fail(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    assert await ThreadCalls().get("key", lambda: "done") == "done"


async def test_a_fork_waits_for_the_calls():
    """An import that is cut off could not go on in the child."""
    gate, order = Gate(), []
    waiting = ThreadCalls().start("key", lambda: (gate(), order.append("loaded")))
    gate.begun.wait(TIMEOUT)
    opening = threading.Timer(0.05, gate.opened.set)
    opening.start()
    wait_for_threads()
    order.append("forked")
    assert order == ["loaded", "forked"]
    opening.join()
    await waiting
