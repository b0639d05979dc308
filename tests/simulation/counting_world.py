"""A local world for a fleet that counts calls and throttled calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from aiocloudmap.cli.plan.fleet import Fleet
from aiocloudmap.local import Quotas, RefusedError, World
from aiocloudmap.model.interfaces import SYSTEM_CLOCK, Clock

NAME = "shop/s{}"
"""The names of its services, by number."""


class CountingWorld(World):
    """Has the services of a fleet, one instance in each that is not empty, and the fleet's quota."""

    calls = throttled = 0

    @classmethod
    def of(cls, fleet: Fleet, *, clock: Clock = SYSTEM_CLOCK) -> Self:
        """Make the world that the fleet asks."""
        world = cls(clock=clock, quotas=Quotas(discover_instances=fleet.quota), seed=1)
        for number in range(fleet.services - fleet.empty):
            world.register(NAME.format(number), "one", {"N": "1"})
        return world

    def call(self, operation: str, members: Mapping[str, Any]) -> dict[str, Any]:
        self.calls += 1
        try:
            return super().call(operation, members)
        except RefusedError as refusal:
            self.throttled += refusal.code == "RequestLimitExceeded"
            raise
