"""Runs the demo: a server and a process for each strategy, the load, the outage and the counting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from aiocloudmap.cli.demo.schedule import Schedule
from aiocloudmap.cli.demo.score import Counts, Score
from aiocloudmap.cli.demo.strategies import STRATEGIES
from aiocloudmap.cli.errors import CommandError, Exit
from aiocloudmap.cli.serve import SAMPLE_WORLD

if TYPE_CHECKING:
    from aiocloudmap.cli.demo.display import LiveDisplay, PlainDisplay
    from aiocloudmap.local import LocalCloudMap

__all__ = ["Scenario"]

_SAMPLING_INTERVAL = 0.1
_MAX_START_WAIT = 60.0


@dataclass(slots=True)
class Scenario:
    """A run of each strategy, one after the other, with the same schedule."""

    schedule: Schedule
    display: LiveDisplay | PlainDisplay
    scores: Mapping[str, Score] = field(init=False)

    def __post_init__(self) -> None:
        self.scores = {strategy: Score(strategy, self.schedule) for strategy in STRATEGIES}

    async def run(self) -> None:
        """Run all strategies, and show their progress on the display.

        Cancellation ends the processes under load.

        Raises:
            CommandError: A process under load did not start or exited too early.
        """
        async with AsyncExitStack() as cleanup:
            self.display.message("starting a server and a process for each of the three ways")
            self.display.update(self.scores)
            # All processes import the AWS libraries now, so that later each run has the machine to itself.
            loads = [await cleanup.enter_async_context(_load(score)) for score in self.scores.values()]
            await self._until_ready(loads)
            for load in loads:
                await self._run(load)

    async def _until_ready(self, loads: list[_Load]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MAX_START_WAIT):
                for load in loads:
                    await load.started.wait()
        for load in loads:
            if load.score.state != "ready":
                raise await load.died()

    async def _run(self, load: _Load) -> None:
        score, server, loop = load.score, load.server, asyncio.get_running_loop()
        strategy = STRATEGIES[score.strategy]
        self.display.message(f"{strategy.title}: {strategy.description}")
        score.state, began = "running", loop.time()
        load.go()
        outage = asyncio.create_task(self._outage(score, server))
        try:
            while score.state == "running" and not load.reader.done():
                await asyncio.wait([load.reader], timeout=_SAMPLING_INTERVAL)
                score.on_counts(loop.time() - began, load.counts())
                self.display.update(self.scores)
                if score.now > self.schedule.max_length:
                    score.state = "done"
        finally:
            outage.cancel()
            await asyncio.wait([outage])
            server.faults.clear()
            score.outage = False
        if score.state == "running":
            raise await load.died()
        await load.stop()
        self.display.message(_result(score))
        self.display.update(self.scores)

    async def _outage(self, score: Score, server: LocalCloudMap) -> None:
        await asyncio.sleep(self.schedule.outage_from)
        # EventBridge, on the same server, still works.
        server.faults.server_error(operation="DiscoverInstances")
        score.outage = True
        self.display.message("Cloud Map is down: every DiscoverInstances call fails with HTTP 500")
        await asyncio.sleep(self.schedule.outage_to - self.schedule.outage_from)
        server.faults.clear()
        score.outage = False
        self.display.message("Cloud Map is back")


def _environment(server: LocalCloudMap) -> dict[str, str]:
    """This process's environment with all AWS calls sent to the server, and without proxies."""
    return {name: value for name, value in os.environ.items() if not _is_foreign(name)} | {
        "AWS_ENDPOINT_URL": server.endpoint_url,
        "AWS_REGION": server.world.region,
        "AWS_DEFAULT_REGION": server.world.region,
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _is_foreign(variable: str) -> bool:
    return variable.startswith(("AWS_", "AIOCLOUDMAP_")) or variable.lower().endswith("_proxy")


@dataclass(slots=True)
class _Load:
    """A process under load, its server, and the tasks that read its output."""

    score: Score
    server: LocalCloudMap
    process: Process
    started: asyncio.Event = field(default_factory=asyncio.Event)
    reader: asyncio.Task[None] = field(init=False)
    errors: asyncio.Task[bytes] = field(init=False)

    def __post_init__(self) -> None:
        assert self.process.stderr is not None
        self.reader = asyncio.create_task(self._read())
        self.errors = asyncio.create_task(self.process.stderr.read())

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")

    def counts(self) -> Counts:
        stats = self.server.stats
        sockets = stats.connections_open, stats.connections_peak, stats.connections_accepted
        return Counts(*sockets, stats.calls["DiscoverInstances"])

    async def stop(self) -> None:
        """Kill the process, which closes its sockets."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await asyncio.wait([self.reader, self.errors])
        await self.process.wait()

    async def died(self) -> CommandError:
        """The error of a process that exited too early or did not start."""
        await self.stop()
        lines = self.errors.result().decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "no error output")
        title = STRATEGIES[self.score.strategy].title
        return CommandError(Exit.FAILURE, "LoadDied", f"the process of {title!r} exited too early: {last}")

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.score.on_message(json.loads(line))
            self.started.set()
        self.started.set()


@asynccontextmanager
async def _load(score: Score) -> AsyncIterator[_Load]:
    """A local Cloud Map that also answers as EventBridge, and a process to put load on it."""
    from aiocloudmap.local import LocalCloudMap, World

    local = LocalCloudMap(World.from_toml(SAMPLE_WORLD))
    local.server.add_target("AWSEvents.PutEvents", _put_events)
    command = [sys.executable, "-m", "aiocloudmap.cli.demo.load", score.strategy, score.schedule.to_json()]
    async with local:
        # In a new session, Ctrl-C reaches only this process, which then ends the others.
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=_environment(local), start_new_session=True
        )
        load = _Load(score, local, process)
        try:
            yield load
        finally:
            await load.stop()


def _put_events(request: dict[str, Any]) -> dict[str, Any]:
    return {"FailedEntryCount": 0, "Entries": [{"EventId": str(uuid4())} for _ in request["Entries"]]}


def _result(score: Score) -> str:
    first, title = score.out_of_descriptors, STRATEGIES[score.strategy].title
    if first is not None:
        return f"{title}: after {len(score.answers)} requests {first.call} fails: {first.error}"
    return f"{title}: {len(score.answers)} of {score.schedule.requests} requests answered, {len(score.failures)} failed"
