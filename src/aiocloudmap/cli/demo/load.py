"""The process under load: `python -m aiocloudmap.cli.demo.load STRATEGY SCHEDULE`. It writes JSON lines.

| line     | fields                       | when                                                                 |
|----------|------------------------------|----------------------------------------------------------------------|
| ready    |                              | the descriptor limit is set; a line on standard input starts the run |
| answered | at, took                     | a request was answered, `took` seconds after it was due              |
| failed   | at, call, error, descriptors | a request failed; `descriptors`: for lack of a file descriptor       |
| done     |                              | every request was tried, or all file descriptors are in use          |

It exits when its standard input is closed, so it does not outlive its parent.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sys
import threading
import time
from itertools import cycle
from typing import Any

from aiocloudmap.aws.errors import causes
from aiocloudmap.cli.demo.schedule import SERVICES, Schedule
from aiocloudmap.cli.demo.strategies import STRATEGIES, Steps
from aiocloudmap.errors import TooManyOpenFilesError

__all__ = ["can_limit_descriptors", "lacks_descriptors", "limit_descriptors"]


_MAX_FAILURES = 3  # for lack of a file descriptor: after that, no request can succeed


async def _run(strategy: str, schedule: Schedule) -> None:
    async with STRATEGIES[strategy].steps(schedule) as steps:
        limit_descriptors(schedule.descriptors)
        _send("ready")
        await _start_signal()
        await _make_requests(steps, schedule)
        _send("done")


async def _make_requests(steps: Steps, schedule: Schedule) -> None:
    began, out_of_descriptors = time.monotonic(), 0
    for number, service in zip(range(schedule.requests), cycle(SERVICES), strict=False):
        due = began + number / schedule.rate
        await asyncio.sleep(due - time.monotonic())
        call = "DiscoverInstances"
        try:
            queue_url = await steps.find(service)
            call = "PutEvents"
            await steps.announce(queue_url)
        except Exception as error:  # noqa: BLE001 - the demo shows every error
            lacking = lacks_descriptors(error)
            out_of_descriptors += lacking
            _send("failed", at=time.monotonic() - began, call=call, error=_line(error), descriptors=lacking)
            if out_of_descriptors == _MAX_FAILURES:
                return
        else:
            now = time.monotonic()
            _send("answered", at=now - began, took=now - due)


async def _start_signal() -> None:
    loop, started = asyncio.get_running_loop(), asyncio.Event()

    def listen() -> None:
        if sys.stdin.readline():
            loop.call_soon_threadsafe(started.set)
            sys.stdin.readline()
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    await started.wait()


def _send(kind: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"kind": kind} | fields) + "\n")
    sys.stdout.flush()


def _line(error: BaseException) -> str:
    """The error, and the message of an operating system error among its causes."""
    text = f"{type(error).__name__}: {error}"
    for cause in causes(error, contexts=True):
        if isinstance(cause, OSError) and cause.strerror and cause.strerror not in text:
            return f"{text} ([Errno {cause.errno}] {os.strerror(cause.errno or 0)})"
    return text


def limit_descriptors(count: int) -> None:
    """Let this process open no descriptor numbered `count` or higher."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def lacks_descriptors(error: BaseException) -> bool:
    """Whether the error or one of its causes is the lack of a file descriptor."""
    return any(
        isinstance(cause, TooManyOpenFilesError)
        or (isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE))
        for cause in causes(error, contexts=True)
    )


def can_limit_descriptors(count: int) -> bool:
    """Whether this system has such a limit, and its hard limit allows `count`."""
    try:
        import resource
    except ImportError:
        return False
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return hard == resource.RLIM_INFINITY or hard >= count


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], Schedule.from_json(sys.argv[2])))
