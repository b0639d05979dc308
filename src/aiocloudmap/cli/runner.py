"""Running a command's coroutine so that Ctrl-C and `--timeout` end it at once, whatever hangs underneath."""

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

__all__ = ["leave", "run_async"]

_T = TypeVar("_T")


class _Abandoned(ThreadPoolExecutor):
    """Threads that nobody waits for: a name lookup that hangs cannot be cancelled, and asyncio would join it."""

    def shutdown(self, *_: Any, **__: Any) -> None:
        super().shutdown(wait=False, cancel_futures=True)


def run_async(work: Coroutine[Any, Any, _T], *, timeout: float | None = None) -> _T:
    """What the coroutine returns, run on an event loop of its own.

    Args:
        work: The command.
        timeout: Seconds it may take; None does not limit it.

    Raises:
        CommandError: The time has passed (exit code 124).
        KeyboardInterrupt: Ctrl-C; the coroutine has been cancelled.
    """

    async def limited() -> _T:
        deadline = asyncio.timeout(timeout)
        _end_on_sigterm()
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
                "Allow more time, or look at what hangs with 'aiocloudmap --debug resolve ...'.",
            ) from None

    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(_Abandoned(thread_name_prefix="aiocloudmap-cli"))
        return runner.run(limited())


def _end_on_sigterm() -> None:
    """Leave with 143, after the command has been cancelled and has cleaned up."""

    def end() -> None:
        raise SystemExit(Exit.TERMINATED)

    with contextlib.suppress(NotImplementedError, RuntimeError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)


def leave(code: int) -> NoReturn:
    """End the process, at once where a thread still hangs in something that cannot be cancelled."""
    lingering = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if any(not thread.daemon for thread in lingering):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
