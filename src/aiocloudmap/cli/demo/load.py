"""The process under load: `python -m aiocloudmap.cli.demo.load WAY PLAN`, one JSON object a line on standard output.

| line     | fields                       | when                                                                 |
|----------|------------------------------|----------------------------------------------------------------------|
| ready    |                              | the descriptor limit is set; it waits for a line on standard input   |
| answered | at, took                     | a request is done; `took` counts from when it was due                |
| failed   | at, call, error, descriptors | a request failed; whether for want of a descriptor                   |
| done     |                              | every request was tried, or there is no descriptor left              |

It ends when its standard input does, so it never outlives the one who started it.
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

from aiocloudmap.cli.demo.plan import SERVICES, Plan
from aiocloudmap.cli.demo.strategies import WAYS, Steps
from aiocloudmap.errors import TooManyOpenFilesError

__all__ = ["can_limit_descriptors", "lacks_descriptors", "limit_descriptors", "main"]


# Once is an accident; by then nothing that this process might try can work.
_FAILURES_THAT_END_IT = 3


def main() -> None:
    """Do one act."""
    way, plan = sys.argv[1], Plan.from_json(sys.argv[2])
    asyncio.run(_act(way, plan))


async def _act(way: str, plan: Plan) -> None:
    async with WAYS[way].steps(plan) as steps:
        limit_descriptors(plan.descriptors)
        _tell("ready")
        await _go_ahead()
        await _requests(steps, plan)
        _tell("done")


async def _requests(steps: Steps, plan: Plan) -> None:
    began, dead = time.monotonic(), 0
    for number, service in zip(range(plan.requests), cycle(SERVICES), strict=False):
        due = began + number / plan.rate
        await asyncio.sleep(due - time.monotonic())
        call = "DiscoverInstances"
        try:
            queue_url = await steps.find(service)
            call = "PutEvents"
            await steps.announce(queue_url)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the story is about
            lacking = lacks_descriptors(error)
            dead += lacking
            _tell("failed", at=time.monotonic() - began, call=call, error=_line(error), descriptors=lacking)
            if dead == _FAILURES_THAT_END_IT:
                return
        else:
            now = time.monotonic()
            _tell("answered", at=now - began, took=now - due)


async def _go_ahead() -> None:
    loop, told = asyncio.get_running_loop(), asyncio.Event()

    def listen() -> None:
        if sys.stdin.readline():
            loop.call_soon_threadsafe(told.set)
            sys.stdin.readline()
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    await told.wait()


def _tell(kind: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"kind": kind} | fields) + "\n")
    sys.stdout.flush()


def _line(error: BaseException) -> str:
    """The error and, where it hides one, the system's own words beneath it."""
    text = f"{type(error).__name__}: {error}"
    beneath: BaseException | None = error
    while beneath is not None:
        if isinstance(beneath, OSError) and beneath.strerror and beneath.strerror not in text:
            return f"{text} ([Errno {beneath.errno}] {os.strerror(beneath.errno or 0)})"
        beneath = beneath.__cause__ or beneath.__context__
    return text


# MERGED cli/demo/descriptors: The limit on open files: setting it, and recognising its victims.


def limit_descriptors(count: int) -> None:
    """Let this process have no descriptor numbered `count` or higher from now on."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def lacks_descriptors(error: BaseException) -> bool:
    """Whether the error is, or hides among its causes, that no descriptor was left."""
    seen: set[int] = set()
    beneath: BaseException | None = error
    while beneath is not None and id(beneath) not in seen:
        seen.add(id(beneath))
        if isinstance(beneath, TooManyOpenFilesError):
            return True
        if isinstance(beneath, OSError) and beneath.errno in (errno.EMFILE, errno.ENFILE):
            return True
        beneath = beneath.__cause__ or beneath.__context__
    return False


def can_limit_descriptors(count: int) -> bool:
    """Whether this system has such a limit, and it is not below `count` already."""
    try:
        import resource
    except ImportError:
        return False
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return hard == resource.RLIM_INFINITY or hard >= count


if __name__ == "__main__":
    main()
