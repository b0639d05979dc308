"""`until_sigterm()` with real signals, on asyncio's event loop and on uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from aiocloudmap import ConfigurationError
from aiocloudmap.integrations.worker import NotDrainedError, until_sigterm

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Runs a coroutine on this kind of event loop."""
    factory = None if request.param == "asyncio" else pytest.importorskip("uvloop").new_event_loop

    def run_on_loop(coroutine):
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(coroutine)

    return run_on_loop


@pytest.fixture(autouse=True)
def previous() -> Iterator[dict[int, object]]:
    """Handlers installed before each test; it must leave them installed, and never call them."""
    calls: list[int] = []
    handlers = {number: lambda number, _: calls.append(number) for number in SIGNALS}
    original = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield handlers
        assert installed() == handlers
        assert calls == []
    finally:
        for number, handler in original.items():
            signal.signal(number, handler)


def installed() -> dict[int, object]:
    """The process's current handlers."""
    return {number: signal.getsignal(number) for number in SIGNALS}


@pytest.mark.parametrize("number", SIGNALS)
def test_the_signal_sets_the_event(run, number, previous, caplog):
    """It is logged, too."""

    async def main():
        async with until_sigterm() as stop:
            assert not stop.is_set()
            os.kill(os.getpid(), number)
            await stop.wait()

    with caplog.at_level(logging.INFO, "aiocloudmap"):
        run(main())
    assert caplog.messages == [f"{number.name}: taking no new work; waiting for work in progress"]


def test_the_first_signal_restores_the_previous_handlers(run, previous):
    """So a second one has the effect it has without the block."""

    async def main():
        async with until_sigterm() as stop:
            assert not set(installed().values()) & set(previous.values())
            signal.raise_signal(signal.SIGTERM)
            assert installed() == previous
            await stop.wait()

    run(main())


def test_the_end_of_the_block_restores_the_previous_handlers(run, previous):
    """Without a signal, after an error, and after a cancellation."""

    async def end_with(error):
        async with until_sigterm():
            if error is not None:
                raise error

    async def main():
        for error in (None, ValueError(), asyncio.CancelledError()):
            with contextlib.suppress(ValueError, asyncio.CancelledError):
                await end_with(error)
            assert installed() == previous

    run(main())


def test_a_handler_installed_in_the_block_stays(run, previous):
    """The end of the block removes its own handlers only."""

    async def main():
        async with until_sigterm():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    run(main())
    assert installed() == previous | {signal.SIGTERM: signal.SIG_IGN}
    signal.signal(signal.SIGTERM, previous[signal.SIGTERM])


def test_a_handler_may_call_the_one_it_replaced(run, previous):
    """In the block that sets the event; afterwards it has no effect."""
    calls = []

    async def main():
        async with until_sigterm() as stop:
            replaced = signal.getsignal(signal.SIGTERM)

            def chained(*arguments):
                calls.append("chained")
                replaced(*arguments)

            signal.signal(signal.SIGTERM, chained)
            signal.raise_signal(signal.SIGTERM)
            await stop.wait()
        signal.raise_signal(signal.SIGTERM)

    run(main())
    assert calls == ["chained", "chained"]
    signal.signal(signal.SIGTERM, previous[signal.SIGTERM])


def test_a_second_ctrl_c_is_a_keyboard_interrupt(run):
    """The first one restores the runner's own handler."""

    async def main():
        async with until_sigterm() as stop:
            signal.raise_signal(signal.SIGINT)
            await stop.wait()
            signal.raise_signal(signal.SIGINT)
            await asyncio.Event().wait()

    own = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        run(main())
    signal.signal(signal.SIGINT, own)


def test_one_signal_sets_the_events_of_all_open_blocks(run):
    """Whether they are nested or in different tasks."""

    async def wait():
        async with until_sigterm() as stop:
            await stop.wait()

    async def main():
        async with until_sigterm() as outer, until_sigterm() as inner, asyncio.TaskGroup() as group:
            group.create_task(wait())
            group.create_task(wait())
            await asyncio.sleep(0)
            signal.raise_signal(signal.SIGTERM)
            await outer.wait()
            await inner.wait()

    run(main())


def test_blocks_may_end_in_any_order(run, previous):
    """If the first one ends first, the other still gets the signal."""

    async def main():
        first, second = until_sigterm(), until_sigterm()
        await first.__aenter__()
        stop = await second.__aenter__()
        await first.__aexit__(None, None, None)
        signal.raise_signal(signal.SIGTERM)
        await stop.wait()
        await second.__aexit__(None, None, None)

    run(main())


def test_handlers_added_to_the_loop_are_called_as_well(run):
    """In the block and after it."""

    async def main():
        theirs = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, theirs.set)
        async with until_sigterm() as stop:
            signal.raise_signal(signal.SIGTERM)
            await stop.wait()
            await theirs.wait()
        theirs.clear()
        signal.raise_signal(signal.SIGTERM)
        await theirs.wait()
        loop.remove_signal_handler(signal.SIGTERM)

    own = signal.getsignal(signal.SIGTERM)
    run(main())
    signal.signal(signal.SIGTERM, own)


def test_work_that_outlasts_the_drain_time_is_cancelled(run):
    """With the tasks that the block waits for, and with an error."""
    cancelled = []

    async def hang(name):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(name)
            raise

    async def work():
        async with until_sigterm(drain_timeout=0) as stop, asyncio.TaskGroup() as group:
            group.create_task(hang("first"))
            group.create_task(hang("second"))
            await asyncio.sleep(0)
            signal.raise_signal(signal.SIGTERM)
            await stop.wait()

    async def main():
        with pytest.raises(
            NotDrainedError, match="^work was still running 0 s after the signal, and was cancelled"
        ) as caught:
            await work()
        assert isinstance(caught.value, TimeoutError)
        assert asyncio.current_task().cancelling() == 0

    run(main())
    assert sorted(cancelled) == ["first", "second"]


def test_a_block_that_suppresses_the_cancellation_raises_the_error(run):
    """It has still not drained in time."""
    went_on = []

    async def main():
        async with until_sigterm(drain_timeout=0) as stop:
            signal.raise_signal(signal.SIGTERM)
            try:
                await stop.wait()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                went_on.append(True)

    with pytest.raises(NotDrainedError):
        run(main())
    assert went_on == [True]


def test_the_drain_time_begins_with_the_signal_only(run):
    """Setting the event by hand cancels nothing."""

    async def main():
        async with until_sigterm(drain_timeout=0) as stop:
            stop.set()
            for _ in range(10):
                await asyncio.sleep(0)

    run(main())


def test_work_that_ends_within_the_drain_time_raises_no_error(run):
    """Nothing is cancelled later, either."""

    async def main():
        async with until_sigterm(drain_timeout=3600) as stop:
            signal.raise_signal(signal.SIGTERM)
            await stop.wait()
            await asyncio.sleep(0)

    run(main())


def test_a_signal_at_the_end_of_the_block_has_no_effect(run):
    """The block has ended before its loop handles the signal."""

    async def main():
        async with until_sigterm(drain_timeout=0) as stop:
            signal.raise_signal(signal.SIGTERM)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not stop.is_set()

    run(main())


def test_other_timeouts_in_the_block_are_not_converted(run):
    """Only the drain time raises NotDrainedError."""

    async def main():
        async with until_sigterm(drain_timeout=3600), asyncio.timeout(0):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError) as caught:
        run(main())
    assert not isinstance(caught.value, NotDrainedError)


def test_on_another_thread_it_raises_an_error(run):
    """Python handles signals on the main thread only."""
    errors = []

    async def main():
        try:
            async with until_sigterm():
                pass
        except ConfigurationError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run, args=(main(),))
    thread.start()
    thread.join()
    [message] = errors
    assert "works on the main thread only" in message


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), True, "25"])
def test_an_invalid_drain_timeout_raises_an_error(run, wrong):
    """On entering the block."""

    async def main():
        async with until_sigterm(drain_timeout=wrong):
            pass

    with pytest.raises(ConfigurationError, match="^invalid drain_timeout .*: expected a number of 0 or more$"):
        run(main())
