"""A server in a thread and an event loop of its own, for synchronous tests, for boto3, and to keep its work apart."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiocloudmap.local.server import LocalServer

__all__ = ["serve_in_thread"]

_Stop = Callable[[], object]


@contextmanager
def serve_in_thread(server: LocalServer) -> Iterator[LocalServer]:
    """Run the server until the block ends; its world and faults may be changed from here meanwhile.

    Raises:
        ConfigurationError: It cannot listen.
    """
    started: concurrent.futures.Future[_Stop] = concurrent.futures.Future()
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve(server, started)), name="aiocloudmap-local-server", daemon=True
    )
    thread.start()
    try:
        stop = started.result()
    except BaseException:
        thread.join()
        raise
    try:
        yield server
    finally:
        stop()
        thread.join()


async def _serve(server: LocalServer, started: concurrent.futures.Future[_Stop]) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    try:
        await server.start()
    except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits
        started.set_exception(error)
        return
    started.set_result(lambda: loop.call_soon_threadsafe(over.set))
    try:
        await over.wait()
    finally:
        await server.stop()
