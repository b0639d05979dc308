"""A Cloud Map to order: a world, its faults and its counts in one hand."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from aiocloudmap.local.backend import LocalBackend
from aiocloudmap.local.faults import Faults
from aiocloudmap.local.quotas import Quotas, Rate
from aiocloudmap.local.stats import CallCounts
from aiocloudmap.local.world import World
from aiocloudmap.model.interfaces import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from aiocloudmap.local.cloud_map import LocalCloudMap

__all__ = ["FakeWorld"]


class FakeWorld:
    """What a test puts in the place of Cloud Map, and gives orders to in one line each.

    `register`, `deregister`, `set_health`, `add_service` and `remove_service` are those of `World`; `fail`, `delay`,
    `hang`, `hold` and `release` those of `Faults`. For everything else there are `.world` and `.faults` themselves.

    It goes by AWS's rules but for the rates, which by a clock that stands still would run out and never refill.

    Args:
        clock: Where its time comes from.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        no_limit = Rate(inf, inf)
        quotas = Quotas(discover_instances=no_limit, discover_instances_revision=no_limit)
        self.world: Final = World(clock=clock, quotas=quotas)
        self.faults: Final = Faults()
        self.backend: Final = LocalBackend(self.world, self.faults)
        self.register: Final = self.world.register
        self.deregister: Final = self.world.deregister
        self.set_health: Final = self.world.set_health
        self.add_service: Final = self.world.add_service
        self.remove_service: Final = self.world.remove_service
        self.fail: Final = self.faults.fail
        self.delay: Final = self.faults.delay
        self.hang: Final = self.faults.hang
        self.hold: Final = self.faults.hold
        self.release: Final = self.faults.release

    @property
    def clock(self) -> Clock:
        """Where its time comes from."""
        return self.world.clock

    @property
    def calls(self) -> CallCounts:
        """What was asked so far, in this process and over the wire: `calls["DiscoverInstances"]`."""
        return self.backend.calls

    def served(self) -> LocalCloudMap:
        """The same world, faults and counts behind AWS's wire protocol, for `with` or `async with`.

        Its delays are real time: a client of another library's goes by no other.
        """
        from aiocloudmap.local.cloud_map import LocalCloudMap  # noqa: PLC0415 - it loads aiohttp, and few need it

        local = LocalCloudMap(self.world, faults=self.faults, clock=SYSTEM_CLOCK)
        local.stats.calls = self.calls
        return local

    def __repr__(self) -> str:
        return f"<FakeWorld {self.world!r}, {self.faults!r}, {self.calls.total} calls>"
