"""An application with two workers under load, while Cloud Map fails for the middle third.

`FASTAPI_SECONDS=30 FASTAPI_CLIENTS=200` with pytest's `-s` is the long form; it prints what it saw.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from aiocloudmap.local import LocalCloudMap

SECONDS = float(os.environ.get("FASTAPI_SECONDS", "3"))
CLIENTS = int(os.environ.get("FASTAPI_CLIENTS", "50"))
WORKERS = 2
SERVICES = 8
LIMIT = 3
ATTEMPTS = 3
TTL = SECONDS / 30
REQUESTS_PER_SECOND = 400
"""From all clients: enough to keep two workers busy, without a growing queue of requests."""

TIMEOUT = 60.0
"""Seconds that the server may take for anything: it only bounds a hang."""

SERVER = ("uvicorn", "shop_front:app", "--app-dir", str(Path(__file__).parent), "--port", "0", "--no-access-log")


def queue_url(number: int) -> str:
    """The attribute of a service."""
    return f"https://example.com/orders-{number}"


@dataclass
class Phase:
    """The results of one third of the time."""

    name: str
    durations: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    workers: set[int] = field(default_factory=set)
    calls: int = 0
    seconds: float = 0.0

    def p99(self) -> float:
        """The 99th percentile of the durations in milliseconds."""
        return sorted(self.durations)[int(len(self.durations) * 0.99)] * 1000

    def __str__(self) -> str:
        return (
            f"{self.name}: {len(self.durations)} requests, {self.failures.total()} failed, "
            f"p99 {self.p99():.1f} ms, {self.calls} call(s) to Cloud Map in {self.seconds:.1f} s"
        )


@asynccontextmanager
async def serving(local: LocalCloudMap) -> AsyncIterator[tuple[str, list[str]]]:
    """Uvicorn with its workers: its URL, and its output, complete after the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *SERVER, "--workers", str(WORKERS)),
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "AWS_ENDPOINT_URL_SERVICEDISCOVERY": local.endpoint_url,
            "AWS_REGION": local.world.region,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AIOCLOUDMAP_TTL": str(TTL),
            "AIOCLOUDMAP_STALE_WHILE_REVALIDATE": str(SECONDS),
            "AIOCLOUDMAP_MAX_CONNECTIONS": str(LIMIT),
            "AIOCLOUDMAP_MAX_ATTEMPTS": str(ATTEMPTS),
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # so that its workers can be killed with it
    )
    assert process.stdout is not None
    said: list[str] = []
    try:
        async with asyncio.timeout(TIMEOUT):
            while sum("Application startup complete" in line for line in said) < WORKERS:
                line = (await process.stdout.readline()).decode()
                assert line, said
                said.append(line)
        [address] = re.findall(r"running on (http://[\d.]+:\d+)", "".join(said))
        await until_it_listens(address)
        yield address, said
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(TIMEOUT):
            rest, _ = await process.communicate()
        said.append(rest.decode())
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()


async def until_it_listens(address: str) -> None:
    """A worker says that it has started shortly before it listens."""
    url = urlsplit(address)
    async with asyncio.timeout(TIMEOUT):
        while True:
            try:
                _, writer = await asyncio.open_connection(url.hostname, url.port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
                continue
            writer.close()
            await writer.wait_closed()
            return


async def visit(client: aiohttp.ClientSession, phases: list[Phase], visitor: int, stop: asyncio.Event) -> None:
    """One client: requests to all services in turn, with pauses."""
    pause = CLIENTS / REQUESTS_PER_SECOND
    await asyncio.sleep(visitor / REQUESTS_PER_SECOND)  # spreads the clients evenly
    first = visitor % SERVICES
    for number in itertools.cycle([*range(first, SERVICES), *range(first)]):
        phase, begun = phases[-1], asyncio.get_running_loop().time()
        try:
            async with client.get(f"/queues/{number}") as response:
                worker, *urls = await response.json()
                assert (response.status, urls) == (200, [queue_url(0), queue_url(number)]), response.status
                phase.workers.add(worker)
        except Exception as error:
            phase.failures[repr(error)] += 1
        phase.durations.append(asyncio.get_running_loop().time() - begun)
        try:
            await asyncio.wait_for(stop.wait(), pause)
        except TimeoutError:
            continue
        return


async def under_load(address: str, local: LocalCloudMap) -> list[Phase]:
    """The phases before, during and after the outage."""
    phases: list[Phase] = [Phase("before")]
    stop = asyncio.Event()
    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(address, connector=connector) as client, asyncio.TaskGroup() as group:
        for visitor in range(CLIENTS):
            group.create_task(visit(client, phases, visitor, stop))
        await a_third(phases[-1], local)
        with local.faults.server_error():
            phases.append(Phase("during"))
            await a_third(phases[-1], local)
        phases.append(Phase("after"))
        await a_third(phases[-1], local)
        stop.set()
    return phases


async def a_third(phase: Phase, local: LocalCloudMap) -> None:
    """Wait for a third of the time, and count the calls to Cloud Map."""
    loop = asyncio.get_running_loop()
    begun, before = loop.time(), local.stats.calls.total
    await asyncio.sleep(SECONDS / 3)
    phase.seconds, phase.calls = loop.time() - begun, local.stats.calls.total - before


def most_calls(phase: Phase) -> float:
    """The limit: a call for each TTL, shortened by jitter; in the outage, one for each backoff, with retries."""
    healthy = phase.seconds / (TTL * 0.9) + ATTEMPTS
    backoffs = itertools.accumulate(0.25 * 2**step for step in itertools.count())
    failing = ATTEMPTS * (2 + sum(1 for _ in itertools.takewhile(lambda end: end < phase.seconds, backoffs)))
    return WORKERS * SERVICES * (failing if phase.name == "during" else healthy)


async def test_no_request_fails_in_an_outage_of_cloud_map():
    """Each worker's connections are limited, and calls follow the TTL and the backoff."""
    async with LocalCloudMap() as local:
        for number in range(SERVICES):
            local.world.register(f"shop/orders-{number}", "orders-1", {"QUEUE_URL": queue_url(number)})
        async with serving(local) as (address, said):
            phases = await under_load(address, local)
            async with aiohttp.ClientSession(address) as client, client.get("/ready") as response:
                assert response.status == 200, await response.text()
        peak = local.stats.connections_peak
    print("", *phases, f"at most {peak} connections to Cloud Map", sep="\n")
    assert [dict(phase.failures) for phase in phases] == [{}, {}, {}]
    assert len(set.union(*(phase.workers for phase in phases))) == WORKERS
    for phase in phases:
        assert 0 < phase.calls <= most_calls(phase), str(phase)
    assert WORKERS <= peak <= LIMIT * WORKERS
    assert not re.search("Error|Warning|Traceback", "".join(said)), said
