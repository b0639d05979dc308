"""Fixtures for every test: an environment without AWS settings, and checks that the test leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes depends on what else the machine does.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# Some libraries' threads end a moment after the loop that started them.
_MAX_WAIT = 5.0
_DESCRIPTORS = Path("/proc/self/fd")
_REMOVED_PREFIXES = ("AWS_", "AIOCLOUDMAP_")
_REMOVED_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle")


@pytest.fixture(scope="session", autouse=True)
def process_wide_resources() -> None:
    """Open what a library keeps for the whole process, so that the first test is not blamed for it."""
    # uvloop keeps a pipe for signals.
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.new_event_loop().close()


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Handle Ctrl-C again. A shell makes background processes ignore it, and child processes inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the machine's settings: Region, profile, credentials, proxies, CA files."""
    for variable in os.environ:
        if variable.startswith(_REMOVED_PREFIXES) or variable.lower() in _REMOVED_VARIABLES:
            monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    # Otherwise a test without credentials would look for them on the network.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True)
def no_resources_left_behind(request: pytest.FixtureRequest, environment: None) -> Iterator[None]:
    """Check that the test, its fixtures and its event loop leave no descriptor and no thread.

    It is set up before the event loop and so torn down after it. Fixtures with a wider scope are set up earlier.
    """
    if request.node.get_closest_marker("leaves_things_behind"):
        yield
        return
    descriptors, threads = _open_descriptors(), set(threading.enumerate())
    with _asyncio_errors() as errors:
        yield
        _reset_registry()
    assert not (left := _new_descriptors(descriptors)), f"the test left these open: {left}"
    assert not (left := _new_threads(threads)), f"the test left these threads running: {left}"
    assert not errors, f"asyncio logged: {errors}"


@pytest.fixture(autouse=True)
def no_task_left_behind(request: pytest.FixtureRequest, no_resources_left_behind: None) -> Iterator[None]:
    """Check that no task is left when the test and its fixtures end. Closing the loop would cancel it silently."""
    if not inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        yield
        return
    runner: asyncio.Runner = request.getfixturevalue("_function_scoped_runner")
    yield
    if request.node.get_closest_marker("leaves_things_behind"):
        return
    assert not (left := runner.run(_pending_tasks())), f"the test left these tasks running: {left}"


async def _pending_tasks() -> list[str]:
    """Return the unfinished tasks after a few turns of the loop, which cancelled tasks need to end."""
    for _ in range(20):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if not tasks:
            break
        await asyncio.sleep(0)
    return sorted(repr(task) for task in tasks)


@contextlib.contextmanager
def _asyncio_errors() -> Iterator[list[str]]:
    """Collect what asyncio logs as an error: unretrieved exceptions, destroyed tasks, unclosed sessions."""
    errors: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: errors.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    try:
        yield errors
    finally:
        logger.removeHandler(handler)


def _open_descriptors() -> Counter[str]:
    """Count the open descriptors that can leak, by target. Empty on systems without /proc.

    Regular files do not count, as libraries keep some open for good, such as a log or a random device.
    """
    found: Counter[str] = Counter()
    with contextlib.suppress(FileNotFoundError):
        for entry in _DESCRIPTORS.iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = str(entry.readlink())
                if target.startswith(("socket:", "pipe:", "anon_inode:")):
                    found[target] += 1
    return found


def _new_descriptors(before: Counter[str]) -> list[str]:
    def new() -> list[str]:
        return sorted((_open_descriptors() - before).elements())

    if new():
        # Unreferenced objects now emit their ResourceWarning in this test.
        gc.collect()
    return _wait_until_empty(new)


def _new_threads(before: set[threading.Thread]) -> list[str]:
    return _wait_until_empty(lambda: sorted(repr(thread) for thread in set(threading.enumerate()) - before))


def _wait_until_empty(look: Callable[[], list[str]]) -> list[str]:
    """Call `look` until it returns an empty list or some seconds have passed, as a thread takes time to end."""
    deadline = time.monotonic() + _MAX_WAIT
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def _reset_registry() -> None:
    """Drop the shared engines, so that the next test starts without them."""
    if "aiocloudmap.client.registry" in sys.modules:
        from aiocloudmap.testing import reset

        reset()
