"""The block that hears of SIGTERM, under real signals, on asyncio's own loop and on uvloop."""

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
    """Runs a coroutine on a loop of the kind."""
    factory = None if request.param == "asyncio" else pytest.importorskip("uvloop").new_event_loop

    def run_it(coroutine):
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(coroutine)

    return run_it


@pytest.fixture(autouse=True)
def before() -> Iterator[dict[int, object]]:
    """Handlers of the test's own, by number; the test leaves them in place."""
    heard: list[int] = []
    own = {number: lambda number, _: heard.append(number) for number in SIGNALS}
    kept = {number: signal.signal(number, handler) for number, handler in own.items()}
    try:
        yield own
        assert in_place() == own
        assert heard == []
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def in_place() -> dict[int, object]:
    """The handlers that the process has."""
    return {number: signal.getsignal(number) for number in SIGNALS}


@pytest.mark.parametrize("number", SIGNALS)
def test_the_signal_sets_the_event(run, number, before, caplog):
    """Whoever waits for it goes on, and the log says why."""

    async def main():
        async with until_sigterm() as stop:
            assert not stop.is_set()
            os.kill(os.getpid(), number)
            await stop.wait()

    with caplog.at_level(logging.INFO, "aiocloudmap"):
        run(main())
    assert caplog.messages == [f"{number.name}: no new work; what has begun may end"]


def test_after_the_first_signal_the_handlers_of_before_are_back(run, before):
    """So a second one does what it would have done without the block."""

    async def main():
        async with until_sigterm() as stop:
            assert not set(in_place().values()) & set(before.values())
            signal.raise_signal(signal.SIGTERM)
            assert in_place() == before
            await stop.wait()

    run(main())


def test_the_handlers_of_before_are_back_at_the_end_however_it_comes(run, before):
    """Without a signal, after an error, after a cancellation."""

    async def end_with(error):
        async with until_sigterm():
            if error is not None:
                raise error

    async def main():
        for error in (None, ValueError(), asyncio.CancelledError()):
            with contextlib.suppress(ValueError, asyncio.CancelledError):
                await end_with(error)
            assert in_place() == before

    run(main())


def test_a_handler_that_was_put_in_place_meanwhile_stays(run, before):
    """The end of the block takes away its own handlers only."""

    async def main():
        async with until_sigterm():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    run(main())
    assert in_place() == before | {signal.SIGTERM: signal.SIG_IGN}
    signal.signal(signal.SIGTERM, before[signal.SIGTERM])


def test_a_handler_that_calls_the_one_it_replaced_may_go_on_doing_so(run, before):
    """In the block that sets the event; afterwards it does nothing."""
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
    signal.signal(signal.SIGTERM, before[signal.SIGTERM])


def test_a_second_ctrl_c_is_a_keyboard_interrupt(run):
    """The runner's own handler is back after the first one."""

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


def test_one_signal_is_for_all_blocks_nested_and_beside_each_other(run):
    """Nobody keeps it from the others."""

    async def hear():
        async with until_sigterm() as stop:
            await stop.wait()

    async def main():
        async with until_sigterm() as outer, until_sigterm() as inner, asyncio.TaskGroup() as group:
            group.create_task(hear())
            group.create_task(hear())
            await asyncio.sleep(0)
            signal.raise_signal(signal.SIGTERM)
            await outer.wait()
            await inner.wait()

    run(main())


def test_blocks_may_end_in_any_order(run, before):
    """The first to come may be the first to go; the other still hears, and the handlers of before come back."""

    async def main():
        first, second = until_sigterm(), until_sigterm()
        await first.__aenter__()
        stop = await second.__aenter__()
        await first.__aexit__(None, None, None)
        signal.raise_signal(signal.SIGTERM)
        await stop.wait()
        await second.__aexit__(None, None, None)

    run(main())


def test_handlers_of_the_loop_itself_are_called_as_well(run):
    """In the block, beside it, and after it as before."""

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


def test_what_has_not_ended_when_the_drain_time_is_over_is_cancelled(run):
    """The tasks that the block waits for too; and there is an error with a name."""
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
        with pytest.raises(NotDrainedError, match="did not end within 0 s after the signal") as caught:
            await work()
        assert isinstance(caught.value, TimeoutError)
        assert asyncio.current_task().cancelling() == 0

    run(main())
    assert sorted(cancelled) == ["first", "second"]


def test_work_that_lives_on_after_its_cancellation_is_told_all_the_same(run):
    """Whoever swallows the one cancellation has still not drained in time."""
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


def test_the_drain_time_begins_with_the_signal(run):
    """Before, and where the program sets the event itself, nothing is cancelled."""

    async def main():
        async with until_sigterm(drain_timeout=0) as stop:
            stop.set()
            for _ in range(10):
                await asyncio.sleep(0)

    run(main())


def test_what_ends_within_the_drain_time_is_no_error(run):
    """And nobody is cancelled later."""

    async def main():
        async with until_sigterm(drain_timeout=3600) as stop:
            signal.raise_signal(signal.SIGTERM)
            await stop.wait()
            await asyncio.sleep(0)

    run(main())


def test_a_signal_at_the_very_end_starts_no_drain_time(run):
    """The block is over before its loop hears of it."""

    async def main():
        async with until_sigterm(drain_timeout=0) as stop:
            signal.raise_signal(signal.SIGTERM)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not stop.is_set()

    run(main())


def test_a_timeout_of_the_block_s_own_stays_what_it_is(run):
    """Only the drain time is spoken of as such."""

    async def main():
        async with until_sigterm(drain_timeout=3600), asyncio.timeout(0):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError) as caught:
        run(main())
    assert not isinstance(caught.value, NotDrainedError)


def test_on_another_thread_it_says_where_it_belongs(run):
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
    assert "is not on the main thread" in message


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), True, "25"])
def test_a_drain_time_that_is_none_is_refused(run, wrong):
    """Before anything is waited for."""

    async def main():
        async with until_sigterm(drain_timeout=wrong):
            pass

    with pytest.raises(ConfigurationError, match="drain_timeout="):
        run(main())
