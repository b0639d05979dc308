"""The FastAPI application, served by uvicorn."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from aiocloudmap.local import LocalCloudMap

EXAMPLE = Path(__file__).parents[2] / "examples" / "fastapi"
UVICORN = ("-m", "uvicorn", "app:app", "--app-dir", str(EXAMPLE), "--port", "0")


@asynccontextmanager
async def serving(start) -> AsyncIterator[tuple[aiohttp.ClientSession, Any]]:
    """A client of the application, and its process."""
    async with start(*UVICORN) as program:
        line = await program.line("INFO:     Uvicorn running on ")
        found = re.search(r"http://[\d.]+:\d+", line)
        assert found
        async with aiohttp.ClientSession(found.group()) as client:
            yield client, program


async def test_orders_go_to_the_queue_registered_in_cloud_map(start, shop: LocalCloudMap, queue):
    """Twenty requests send twenty messages, with one call to Cloud Map."""
    async with serving(start) as (client, _):
        for number in range(20):
            async with client.post("/orders", json={"number": number}) as response:
                assert response.status == 202
                assert (await response.json())["message_id"]
    assert queue.left() == 20
    assert shop.stats.calls["DiscoverInstances"] == 1


async def test_it_ends_cleanly_on_sigterm(start):
    """The lifespan closes the connections, without errors or warnings."""
    async with serving(start) as (client, program):
        async with client.post("/orders", json={"number": 1}) as response:
            assert response.status == 202
        code, output = await program.end(signal.SIGTERM)
    assert code in (0, -signal.SIGTERM)
    assert "Application shutdown complete" in output
    assert "Error" not in output
    assert "Warning" not in output


async def test_after_a_start_in_an_outage_it_responds_with_503(start, shop: LocalCloudMap):
    """With Retry-After, as there is no old answer. It is alive, but not ready."""
    shop.faults.server_error()
    async with serving(start) as (client, _):
        async with client.post("/orders", json={"number": 1}) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) >= 1
        async with client.get("/ready") as response:
            assert response.status == 503
        async with client.get("/live") as response:
            assert response.status == 200


async def test_an_outage_after_the_start_has_no_effect(start, shop: LocalCloudMap, queue):
    """The answer fetched at startup is still used."""
    async with serving(start) as (client, _):
        shop.faults.server_error()
        async with client.post("/orders", json={"number": 7}) as response:
            assert response.status == 202
    assert [json.loads(body) for body in queue.bodies()] == [{"number": 7}]


async def test_its_own_tests_pass_in_a_copy_of_the_folder(start, tmp_path: Path):
    """The folder needs nothing else from this repository."""
    copy = shutil.copytree(EXAMPLE, tmp_path / "service", ignore=shutil.ignore_patterns("__pycache__"))
    async with start("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(copy), str(copy)) as program:
        code, output = await program.end()
    assert code == 0, output
    assert " passed" in output
