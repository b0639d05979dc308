"""The story from begin to end: a server and a process for each way, the load, the outage, the counting."""

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
from typing import TYPE_CHECKING, Any, Protocol, Self
from uuid import uuid4

from aiocloudmap.cli.demo.plan import Plan
from aiocloudmap.cli.demo.score import Counts, Score
from aiocloudmap.cli.demo.strategies import WAYS
from aiocloudmap.cli.errors import CommandError, Exit
from aiocloudmap.cli.serve import SAMPLE_WORLD

if TYPE_CHECKING:
    from aiocloudmap.local import LocalCloudMap

__all__ = ["Listener", "Stage", "Story"]


# MERGED cli/demo/stage: Where one way plays: a local Cloud Map of its own that also answers as EventBridge, and counts.


class Stage:
    """One server. Every AWS call of a process in `environment()` goes there."""

    def __init__(self, local: LocalCloudMap) -> None:
        self._local = local

    @classmethod
    @asynccontextmanager
    async def built(cls) -> AsyncIterator[Self]:
        """A stage, for as long as the block lasts."""
        from aiocloudmap.local import LocalCloudMap, World

        local = LocalCloudMap(World.from_toml(SAMPLE_WORLD))
        local.server.add_target("AWSEvents.PutEvents", _put_events)
        async with local:
            yield cls(local)

    @property
    def counts(self) -> Counts:
        """What the server has seen so far."""
        stats = self._local.stats
        return Counts(
            stats.connections_open,
            stats.connections_peak,
            stats.connections_accepted,
            stats.calls["DiscoverInstances"],
        )

    def break_down(self) -> None:
        """Every question to Cloud Map fails from now on; EventBridge goes on."""
        self._local.faults.server_error(operation="DiscoverInstances")

    def restore(self) -> None:
        """Cloud Map answers again."""
        self._local.faults.clear()

    def environment(self) -> dict[str, str]:
        """For a process: this one's environment without anything of AWS and without proxies, and the way here."""
        return {name: value for name, value in os.environ.items() if not _is_foreign(name)} | {
            "AWS_ENDPOINT_URL": self._local.endpoint_url,
            "AWS_REGION": self._local.world.region,
            "AWS_DEFAULT_REGION": self._local.world.region,
            "AWS_ACCESS_KEY_ID": "demo",
            "AWS_SECRET_ACCESS_KEY": "demo",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def _put_events(request: dict[str, Any]) -> dict[str, Any]:
    return {"FailedEntryCount": 0, "Entries": [{"EventId": str(uuid4())} for _ in request["Entries"]]}


def _is_foreign(variable: str) -> bool:
    return variable.startswith(("AWS_", "AIOCLOUDMAP_")) or variable.lower().endswith("_proxy")


_SAMPLING = 0.1
_START_PATIENCE = 60.0


class Listener(Protocol):
    """Who shows the story."""

    def happened(self, text: str) -> None:
        """Something worth a sentence."""
        ...

    def moved(self, story: Story) -> None:
        """Figures have changed; comes about ten times a second."""
        ...


@dataclass(slots=True)
class Story:
    """Three acts, one for each way, one after the other.

    Args:
        plan: Of each act.
        listener: Is told as it happens.
    """

    plan: Plan
    listener: Listener
    scores: Mapping[str, Score] = field(init=False)

    def __post_init__(self) -> None:
        self.scores = {way: Score(way, self.plan) for way in WAYS}

    async def tell(self) -> None:
        """Play all three acts.

        Cancelling it ends every process that it started.

        Raises:
            CommandError: A process under load could not be started or died on its own.
        """
        async with AsyncExitStack() as cleanup:
            self.listener.happened("starting a server and a process for each of the three ways")
            self.listener.moved(self)
            stages = {way: await cleanup.enter_async_context(Stage.built()) for way in WAYS}
            # All three import at once, before the first act: afterwards each has the machine to itself.
            loads = [
                await cleanup.enter_async_context(_load(self.scores[way], stage, self.plan))
                for way, stage in stages.items()
            ]
            await self._until_ready(loads)
            for load, stage in zip(loads, stages.values(), strict=True):
                await self._act(load, stage)

    async def _until_ready(self, loads: list[_Load]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_PATIENCE):
                for load in loads:
                    await load.told.wait()
        for load in loads:
            if load.score.state != "ready":
                raise await load.died()

    async def _act(self, load: _Load, stage: Stage) -> None:
        score, loop = load.score, asyncio.get_running_loop()
        self.listener.happened(f"{WAYS[score.way].title}: {WAYS[score.way].told}")
        score.state, began = "running", loop.time()
        load.go()
        outage = asyncio.create_task(self._outage(score, stage))
        try:
            while score.state == "running" and not load.reader.done():
                await asyncio.wait([load.reader], timeout=_SAMPLING)
                score.saw(loop.time() - began, stage.counts)
                self.listener.moved(self)
                if score.now > self.plan.patience:
                    score.state = "done"
        finally:
            outage.cancel()
            await asyncio.wait([outage])
            stage.restore()
            score.outage = False
        if score.state == "running":
            raise await load.died()
        await load.stop()
        self.listener.happened(_end_of(score))
        self.listener.moved(self)

    async def _outage(self, score: Score, stage: Stage) -> None:
        await asyncio.sleep(self.plan.outage_from)
        stage.break_down()
        score.outage = True
        self.listener.happened("Cloud Map is down: every DiscoverInstances ends in HTTP 500")
        await asyncio.sleep(self.plan.outage_to - self.plan.outage_from)
        stage.restore()
        score.outage = False
        self.listener.happened("Cloud Map is back")


@dataclass(slots=True)
class _Load:
    """A process under load, and what listens to it."""

    score: Score
    process: Process
    told: asyncio.Event = field(default_factory=asyncio.Event)
    reader: asyncio.Task[None] = field(init=False)
    complaint: asyncio.Task[bytes] = field(init=False)

    def __post_init__(self) -> None:
        assert self.process.stderr is not None
        self.reader = asyncio.create_task(self._read())
        self.complaint = asyncio.create_task(self.process.stderr.read())

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")

    async def stop(self) -> None:
        """End the process, whatever it does. Its sockets go with it."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await asyncio.wait([self.reader, self.complaint])
        await self.process.wait()

    async def died(self) -> CommandError:
        """What to say of a process that ended before its time, or never came up."""
        await self.stop()
        words = self.complaint.result().decode(errors="replace").split("\n")
        last = next((line for line in reversed(words) if line.strip()), "it said nothing")
        return CommandError(
            Exit.FAILURE, "LoadDied", f"the process of {WAYS[self.score.way].title!r} ended before its time: {last}"
        )

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.score.told(json.loads(line))
            self.told.set()
        self.told.set()


@asynccontextmanager
async def _load(score: Score, stage: Stage, plan: Plan) -> AsyncIterator[_Load]:
    command = [sys.executable, "-m", "aiocloudmap.cli.demo.load", score.way, plan.to_json()]
    # A session of its own: Ctrl-C is for the one who tells the story, who then ends the others.
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=stage.environment(), start_new_session=True
    )
    load = _Load(score, process)
    try:
        yield load
    finally:
        await load.stop()


def _end_of(score: Score) -> str:
    fault, title = score.out_of_descriptors, WAYS[score.way].title
    if fault is not None:
        return f"{title}: after {len(score.answers)} requests {fault.call} fails: {fault.error}"
    return f"{title}: {len(score.answers)} of {score.plan.requests} requests answered, {len(score.faults)} failed"
