"""Runs a coroutine so that Ctrl-C and `--timeout` end it at once, even if a thread hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar

from aiocloudmap.cli.errors import CommandError, Exit

__all__ = ["exit_process", "run_async"]

_T = TypeVar("_T")


class _Executor(ThreadPoolExecutor):
    """Does not join its threads, as asyncio would: a hanging name lookup cannot be cancelled."""

    def shutdown(self, *_: Any, **__: Any) -> None:
        super().shutdown(wait=False, cancel_futures=True)


def run_async(work: Coroutine[Any, Any, _T], *, timeout: float | None = None) -> _T:
    """Run the coroutine on a new event loop and return its result.

    Args:
        work: The command.
        timeout: Seconds that it may take; None means no limit.

    Raises:
        CommandError: The timeout passed (exit code 124).
        KeyboardInterrupt: Ctrl-C cancelled the coroutine.
    """

    def on_sigterm() -> None:
        # Before asyncio.Runner passes this on, it cancels the command, which cleans up.
        raise SystemExit(Exit.TERMINATED)

    async def limited() -> _T:
        deadline = asyncio.timeout(timeout)
        with contextlib.suppress(NotImplementedError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, on_sigterm)
        try:
            async with deadline:
                return await work
        except TimeoutError:
            if not deadline.expired():
                raise
            raise CommandError(
                Exit.TIMED_OUT,
                "TimedOut",
                f"no answer within the {timeout:g} s of --timeout",
                "Raise --timeout, or run 'aiocloudmap --debug resolve ...' to see what hangs.",
            ) from None

    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(_Executor(thread_name_prefix="aiocloudmap-cli"))
        return runner.run(limited())


def exit_process(code: int) -> NoReturn:
    """Exit without waiting for threads that hang."""
    lingering = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if any(not thread.daemon for thread in lingering):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
