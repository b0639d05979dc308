"""Where one way plays: a local Cloud Map of its own that also answers as EventBridge, and counts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from aiocloudmap.cli.demo.score import Counts
from aiocloudmap.cli.sample import SAMPLE_WORLD

if TYPE_CHECKING:
    from aiocloudmap.local import LocalCloudMap

__all__ = ["Stage"]


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
