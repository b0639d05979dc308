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
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from aiocloudmap.cli.demo.schedule import Schedule
from aiocloudmap.cli.demo.score import Counts, Score
from aiocloudmap.cli.demo.strategies import STRATEGIES
from aiocloudmap.cli.errors import CommandError, Exit
from aiocloudmap.cli.serve import SAMPLE_WORLD

if TYPE_CHECKING:
    from aiocloudmap.local import LocalCloudMap

__all__ = ["Display", "Scenario"]

_SAMPLING_INTERVAL = 0.1
_MAX_START_WAIT = 60.0


class Display(Protocol):
    """Shows the progress of the demo."""

    def message(self, text: str) -> None:
        """Show a sentence about what happened."""
        ...

    def update(self, scenario: Scenario) -> None:
        """Show the current figures. Called about ten times a second."""
        ...


@dataclass(slots=True)
class Scenario:
    """Three runs, one for each strategy, one after the other.

    Args:
        schedule: The schedule of each run.
        display: Shows the progress.
    """

    schedule: Schedule
    display: Display
    scores: Mapping[str, Score] = field(init=False)

    def __post_init__(self) -> None:
        self.scores = {strategy: Score(strategy, self.schedule) for strategy in STRATEGIES}

    async def run(self) -> None:
        """Run all three strategies.

        Cancelling it ends all processes that it started.

        Raises:
            CommandError: A process under load did not start, or died.
        """
        async with AsyncExitStack() as cleanup:
            self.display.message("starting a server and a process for each of the three ways")
            self.display.update(self)
            servers = [await cleanup.enter_async_context(_server()) for _ in self.scores]
            # All processes import the AWS libraries now, so that later each run has the machine to itself.
            loads = [
                await cleanup.enter_async_context(_load(score, server, self.schedule))
                for score, server in zip(self.scores.values(), servers, strict=True)
            ]
            await self._until_ready(loads)
            for load, server in zip(loads, servers, strict=True):
                await self._run(load, server)

    async def _until_ready(self, loads: list[_Load]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MAX_START_WAIT):
                for load in loads:
                    await load.started.wait()
        for load in loads:
            if load.score.state != "ready":
                raise await load.died()

    async def _run(self, load: _Load, server: LocalCloudMap) -> None:
        score, loop, strategy = load.score, asyncio.get_running_loop(), STRATEGIES[load.score.strategy]
        self.display.message(f"{strategy.title}: {strategy.description}")
        score.state, began = "running", loop.time()
        load.go()
        outage = asyncio.create_task(self._outage(score, server))
        try:
            while score.state == "running" and not load.reader.done():
                await asyncio.wait([load.reader], timeout=_SAMPLING_INTERVAL)
                score.on_counts(loop.time() - began, _counts(server))
                self.display.update(self)
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
        self.display.update(self)

    async def _outage(self, score: Score, server: LocalCloudMap) -> None:
        await asyncio.sleep(self.schedule.outage_from)
        # EventBridge, on the same server, goes on.
        server.faults.server_error(operation="DiscoverInstances")
        score.outage = True
        self.display.message("Cloud Map is down: every DiscoverInstances call fails with HTTP 500")
        await asyncio.sleep(self.schedule.outage_to - self.schedule.outage_from)
        server.faults.clear()
        score.outage = False
        self.display.message("Cloud Map is back")


@asynccontextmanager
async def _server() -> AsyncIterator[LocalCloudMap]:
    """A local Cloud Map that also answers as EventBridge."""
    from aiocloudmap.local import LocalCloudMap, World

    local = LocalCloudMap(World.from_toml(SAMPLE_WORLD))
    local.server.add_target("AWSEvents.PutEvents", _put_events)
    async with local:
        yield local


def _put_events(request: dict[str, Any]) -> dict[str, Any]:
    return {"FailedEntryCount": 0, "Entries": [{"EventId": str(uuid4())} for _ in request["Entries"]]}


def _counts(server: LocalCloudMap) -> Counts:
    stats = server.stats
    return Counts(
        stats.connections_open,
        stats.connections_peak,
        stats.connections_accepted,
        stats.calls["DiscoverInstances"],
    )


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
    """A process under load, and the tasks that read its output."""

    score: Score
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
async def _load(score: Score, server: LocalCloudMap, schedule: Schedule) -> AsyncIterator[_Load]:
    command = [sys.executable, "-m", "aiocloudmap.cli.demo.load", score.strategy, schedule.to_json()]
    # In a new session, Ctrl-C reaches only this process, which then ends the others.
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=_environment(server), start_new_session=True
    )
    load = _Load(score, process)
    try:
        yield load
    finally:
        await load.stop()


def _result(score: Score) -> str:
    first, title = score.out_of_descriptors, STRATEGIES[score.strategy].title
    if first is not None:
        return f"{title}: after {len(score.answers)} requests {first.call} fails: {first.error}"
    return f"{title}: {len(score.answers)} of {score.schedule.requests} requests answered, {len(score.failures)} failed"
