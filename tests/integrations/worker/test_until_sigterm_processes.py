"""Child processes that get SIGTERM in an `until_sigterm()` block, or after it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def child_process(program: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has printed "ready"."""
    begin = "import asyncio, os, signal\nfrom aiocloudmap.integrations.worker import until_sigterm\n"
    command = [sys.executable, "-W", "error", "-c", begin + program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_a_sleeping_loop_gets_a_signal_sent_to_another_thread():
    """The kernel may choose any thread, and does not wake the main one: the loop checks regularly."""
    program = """
import selectors, threading

asleep, heard = threading.Event(), threading.Event()

class Selector(selectors.DefaultSelector):
    def select(self, timeout=None):
        if timeout is None or timeout > 0:
            asleep.set()  # the other thread continues when this one releases the GIL to sleep
        return super().select(timeout)

def take_signal():
    asleep.wait()
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    heard.wait()

async def main():
    thread = threading.Thread(target=take_signal)
    async with until_sigterm() as stop:
        thread.start()
        await stop.wait()
    heard.set()
    thread.join()
    print("ready", flush=True)

asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Selector())).run(main())
"""
    with child_process(program) as process:
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_second_sigterm_ends_a_process_that_hangs(loop):
    """The event loop need not run for that."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    program = f"""
async def main():
    async with until_sigterm() as stop:
        print("ready", flush=True)
        await stop.wait()
        print("draining", flush=True)
        while True:
            pass

import {loop}
asyncio.Runner(loop_factory={loop}.new_event_loop).run(main())
"""
    with child_process(program) as process:
        process.terminate()
        assert process.stdout is not None
        assert process.stdout.readline() == "draining\n"
        process.terminate()
        assert process.wait(timeout=60) == -signal.SIGTERM


def test_a_forked_child_ends_on_sigterm():
    """A process pool ends its children by SIGTERM; the parent's handler would prevent it."""
    program = """
async def main():
    async with until_sigterm() as stop:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.write(writer, b"!")
            signal.pause()
        os.read(reader, 1)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        print("ready", flush=True)
        await stop.wait()

asyncio.run(main())
"""
    with child_process(program) as process:
        process.terminate()
        assert process.wait(timeout=60) == 0


def test_its_handler_reinstalled_later_does_not_block_sigterm():
    """Some programs restore the handler they found at their start, after the block has ended."""
    program = """
async def main():
    async with until_sigterm():
        found = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, found)
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
    with child_process(program) as process:
        process.terminate()
        assert process.wait(timeout=60) == -signal.SIGTERM
