"""Handlers for tests of SIGTERM, in a module that may install its own signal handler."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from aiocloudmap import CloudMap
from aiocloudmap.integrations.aws_lambda import async_handler

cloud_map = CloudMap.from_env()
tasks = set()


async def stay():
    """Runs until the loop is closed."""
    try:
        await asyncio.Event().wait()
    finally:
        print("the task has ended", flush=True)


@async_handler
async def handler(event, context):
    if not tasks:
        tasks.add(asyncio.create_task(stay()))
    await cloud_map.service("shop/orders").resolve(max_age=0)
    return cloud_map.stats().open_connections


@async_handler
async def ends_what_it_forked(event, context):
    """Forks a worker process, as multiprocessing does, and ends it by SIGTERM."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, b"ready")
        time.sleep(60)
        os._exit(0)
    os.read(reading, 5)  # Python loses signals that arrive during the fork
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def listen(number, frame):
    print(f"received signal {number} with {cloud_map.stats().open_connections} connection(s)", flush=True)
    os._exit(7)


if "LISTENS" in os.environ:
    signal.signal(signal.SIGTERM, listen)
