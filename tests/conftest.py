"""What every test gets without asking: an environment without AWS in it, and a look at what the test leaves behind."""

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

# Threads of libraries that end by themselves, some time after the loop that started them.
_PATIENCE = 5.0
_DESCRIPTORS = Path("/proc/self/fd")
_FOREIGN = ("AWS_", "AIOCLOUDMAP_")
_ELSEWHERE = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle")


@pytest.fixture(scope="session", autouse=True)
def things_that_stay() -> None:
    """What a library opens once per process and keeps is opened before the first test, which else would be blamed."""
    # libuv's pipe for signals.
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.new_event_loop().close()


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell lets what it runs in the background ignore Ctrl-C, and children would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine reaches a test: no region, no profile, no credentials, no proxy, no CA file."""
    for variable in os.environ:
        if variable.startswith(_FOREIGN) or variable.lower() in _ELSEWHERE:
            monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    # Without it, a test without credentials would ask the network for some.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest, environment: None) -> Iterator[None]:
    """The test, its fixtures and its event loop leave no descriptor and no thread behind.

    Set up before the event loop, and so torn down after it. Fixtures of a wider scope have been set up by then.
    """
    if request.node.get_closest_marker("leaves_things_behind"):
        yield
        return
    descriptors, threads = _open_descriptors(), set(threading.enumerate())
    with _asyncio_complaints() as complaints:
        yield
        _reset_registry()
    assert not (left := _new_descriptors(descriptors)), f"the test left these open: {left}"
    assert not (left := _new_threads(threads)), f"the test left these threads running: {left}"
    assert not complaints, f"asyncio complained: {complaints}"


@pytest.fixture(autouse=True)
def no_task_left_behind(request: pytest.FixtureRequest, nothing_left_behind: None) -> Iterator[None]:
    """No task runs on when the test and its fixtures are done; closing the event loop would cancel it unseen."""
    if not inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        yield
        return
    runner: asyncio.Runner = request.getfixturevalue("_function_scoped_runner")
    yield
    if request.node.get_closest_marker("leaves_things_behind"):
        return
    assert not (left := runner.run(_pending_tasks())), f"the test left these tasks running: {left}"


async def _pending_tasks() -> list[str]:
    """What still runs after a few turns of the loop, which tasks that were cancelled need to end."""
    for _ in range(20):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if not tasks:
            break
        await asyncio.sleep(0)
    return sorted(repr(task) for task in tasks)


@contextlib.contextmanager
def _asyncio_complaints() -> Iterator[list[str]]:
    """What asyncio logs as an error: exceptions never retrieved, tasks destroyed, sessions not closed."""
    complaints: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: complaints.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    try:
        yield complaints
    finally:
        logger.removeHandler(handler)


def _open_descriptors() -> Counter[str]:
    """How many descriptors are open on each thing that can leak; none where the system does not tell.

    Regular files do not count: libraries keep some open for good, a log or a random device.
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
        # What nobody refers to any more says so now, as a ResourceWarning of this test.
        gc.collect()
    return _once_gone(new)


def _new_threads(before: set[threading.Thread]) -> list[str]:
    return _once_gone(lambda: sorted(repr(thread) for thread in set(threading.enumerate()) - before))


def _once_gone(look: Callable[[], list[str]]) -> list[str]:
    """Nothing, as soon as that is seen, or what is there after some seconds: a thread takes its time to end."""
    deadline = time.monotonic() + _PATIENCE
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def _reset_registry() -> None:
    """Engines are shared by the whole process: the next test starts without those of this one."""
    if "aiocloudmap.client.registry" in sys.modules:
        from aiocloudmap.testing import reset

        reset()
