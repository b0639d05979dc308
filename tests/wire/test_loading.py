"""Libraries and data are loaded in a thread, while the event loop goes on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.loaders import JSONFileLoader

from aiocloudmap import CloudMap, ConfigurationError
from aiocloudmap.aws import session as aws_session
from aiocloudmap.local import LocalCloudMap
from aiocloudmap.testing import ManualClock

TIMEOUT = 30.0

IMPORTING = """
import asyncio, sys, threading
import aiocloudmap
from aiocloudmap.model.thread_calls import wait_for_threads

opened = threading.Event()

class Gate:
    def find_spec(self, name, path=None, target=None):
        if name == "aiohttp" and not opened.wait(30):
            sys.exit("the event loop stood still")

sys.meta_path.insert(0, Gate())

async def main():
    cloud_map = aiocloudmap.CloudMap(region="eu-west-1", endpoint_url="http://127.0.0.1:1")
    asyncio.get_running_loop().call_soon(opened.set)
    try:
        {statement}
    except aiocloudmap.ConnectError:
        pass
    assert "aiohttp" in sys.modules
    await cloud_map.aclose()

asyncio.run(main())
wait_for_threads()
assert threading.active_count() == 1, threading.enumerate()
"""


@pytest.mark.parametrize(
    "statement",
    [
        "await cloud_map.service('shop/orders').resolve()",
        "await cloud_map.client('sqs')",
        "await cloud_map.http_session()",
        "await cloud_map.preload('sqs')",
        "await cloud_map.__aenter__()",
    ],
)
def test_the_event_loop_goes_on_while_libraries_are_imported(statement, monkeypatch):
    """By every way that needs them. No thread is left."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    program = IMPORTING.format(statement=statement)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


class Reading:
    """Reads botocore's data once the test has opened it."""

    def __init__(self, monkeypatch) -> None:
        self.services: list[str] = []
        self.begun, self.opened = threading.Event(), threading.Event()
        self._read = aws_session._read_data
        monkeypatch.setattr(aws_session, "_read_data", self)

    def __call__(self, loader, aws_service, api_version):
        self.services.append(aws_service)
        self.begun.set()
        if not self.opened.wait(TIMEOUT):
            pytest.fail("the event loop stood still")
        self._read(loader, aws_service, api_version)

    async def has_begun(self) -> None:
        while not self.begun.is_set():
            await asyncio.sleep(0)


@pytest.fixture
def reading(monkeypatch) -> Reading:
    """The reading of botocore's data, closed."""
    return Reading(monkeypatch)


async def test_the_deadline_starts_after_loading(local: LocalCloudMap, reading: Reading):
    """In a small sandbox, loading takes longer than the deadline allows."""
    clock = ManualClock()
    cloud_map = local.cloud_map(clock=clock)

    question = asyncio.ensure_future(cloud_map.service("shop/orders").resolve())
    await reading.has_begun()
    for _ in range(120):  # a single long step would count as a freeze
        clock.tick(0.5)
    reading.opened.set()
    assert len(await question) == 1
    assert reading.services == ["servicediscovery"]
    await cloud_map.aclose()


async def test_callers_of_a_cold_process_load_once(local: LocalCloudMap, reading: Reading):
    """And cancelling the first of them leaves it to the others."""
    cloud_map = local.cloud_map()
    service = cloud_map.service("shop/orders")
    callers = [asyncio.ensure_future(service.resolve()) for _ in range(100)]
    await reading.has_begun()
    callers[0].cancel()
    reading.opened.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert [len(result) for result in results[1:]] == [1] * 99
    assert reading.services == ["servicediscovery"]
    assert local.stats.calls["DiscoverInstances"] == 1
    await cloud_map.aclose()


def test_several_event_loops_load_once(local: LocalCloudMap, reading: Reading):
    """Each in a thread of its own, at the same time."""
    cloud_map = local.cloud_map()
    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(asyncio.run, cloud_map.preload()) for _ in range(2)]
        assert reading.begun.wait(TIMEOUT)
        reading.opened.set()
        assert [result.result(TIMEOUT) for result in results] == [None, None]
    assert reading.services.count("servicediscovery") == 1


async def test_a_cancelled_preload_can_be_continued(local: LocalCloudMap, reading: Reading):
    """What had begun is used."""
    cloud_map = local.cloud_map()
    first = asyncio.ensure_future(cloud_map.preload("sqs"))
    await reading.has_begun()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    reading.opened.set()
    await cloud_map.preload("sqs")
    assert sorted(set(reading.services)) == ["servicediscovery", "sqs"]
    await cloud_map.aclose()


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The files of botocore's data that are read."""
    files: list[str] = []
    load = JSONFileLoader.load_file
    monkeypatch.setattr(JSONFileLoader, "load_file", lambda self, path: (files.append(path), load(self, path))[1])
    return files


async def test_after_preload_nothing_is_left_to_load(local: LocalCloudMap, read: list[str]):
    """Neither for clients nor for the first question. It makes no AWS call itself."""
    cloud_map = local.cloud_map()
    await cloud_map.preload("sqs", "events")
    assert local.stats.calls.total == 0
    read.clear()
    modules = set(sys.modules)
    for aws_service in ("sqs", "events"):
        await cloud_map.client(aws_service)
    await cloud_map.client("sqs", region_name="eu-west-2")
    await cloud_map.service("shop/orders").resolve()
    assert (read, set(sys.modules) - modules) == ([], set())
    await cloud_map.aclose()


@pytest.mark.parametrize("aws_service", ["servicediscovery", "sqs", "s3"])
async def test_making_a_client_reads_nothing_itself(local: LocalCloudMap, monkeypatch, aws_service):
    """All that it needs was read in the thread."""
    readers: list[threading.Thread] = []
    load = JSONFileLoader.load_file

    def load_file(self, path):
        readers.append(threading.current_thread())
        return load(self, path)

    monkeypatch.setattr(JSONFileLoader, "load_file", load_file)
    await local.cloud_map().client(aws_service)
    assert len(readers) > 3
    assert threading.current_thread() not in readers


async def test_preload_needs_no_credentials():
    """They are loaded by the first call."""
    cloud_map = CloudMap(region="eu-west-1")
    await cloud_map.preload("sqs")
    assert cloud_map.stats().open_connections == 0


@pytest.mark.parametrize(("region", "aws_service"), [(None, "sqs"), ("eu-west-1", "sqss")])
async def test_preload_raises_what_client_raises(region, aws_service):
    """No Region, and an unknown service."""
    cloud_map = CloudMap(region=region, shared=False)
    with pytest.raises(ConfigurationError):
        await cloud_map.preload(aws_service)


async def test_in_a_test_with_a_fake_discovery_is_not_loaded(cloud_map: CloudMap, read: list[str]):
    """The fixture answers in the place of AWS, and there is no Region."""
    await cloud_map.preload()
    assert read == []
