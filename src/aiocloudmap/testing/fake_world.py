"""A fake Cloud Map for tests: a world, its faults and its call counts in one object."""

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
    """A fake Cloud Map that a test controls with one line each.

    `register`, `deregister`, `set_health`, `add_service` and `remove_service` are those of `World`; `fail`, `delay`,
    `hang`, `hold` and `release` those of `Faults`. `.world` and `.faults` have the rest.

    It follows AWS's rules without the request rates: under a clock that stands still they would never refill.

    Args:
        clock: Where time comes from.
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
        """Where time comes from."""
        return self.world.clock

    @property
    def calls(self) -> CallCounts:
        """Calls so far, in this process and over the wire: `calls["DiscoverInstances"]`."""
        return self.backend.calls

    def served(self) -> LocalCloudMap:
        """The same world, faults and counts behind AWS's wire protocol, for `with` or `async with`.

        Its delays use real time, as clients of other libraries do.
        """
        from aiocloudmap.local.cloud_map import LocalCloudMap  # noqa: PLC0415 - loads aiohttp

        local = LocalCloudMap(self.world, faults=self.faults, clock=SYSTEM_CLOCK)
        local.stats.calls = self.calls
        return local

    def __repr__(self) -> str:
        return f"<FakeWorld {self.world!r}, {self.faults!r}, {self.calls.total} calls>"
