"""A stage for behaviour: a local world, faults to order, and a clock that moves only when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import fields
from typing import Any, TypeVar

import pytest

from aiocloudmap import CachePolicy, CloudMap, Service, Snapshot
from aiocloudmap.local import Faults, LocalBackend, Quotas, World
from aiocloudmap.testing import ManualClock

QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
_T = TypeVar("_T")
_POLICY = frozenset(field.name for field in fields(CachePolicy))


class Stage:
    """What a test of behaviour acts on; all of it in this process, on one manual clock."""

    def __init__(self, world: World, clock: ManualClock) -> None:
        self.world = world
        self.clock = clock
        self.faults = Faults()
        self.backend = LocalBackend(world, self.faults)

    @property
    def calls(self) -> int:
        """How many DiscoverInstances there have been."""
        return self.backend.calls["DiscoverInstances"]

    def cloud_map(self, **settings: Any) -> CloudMap:
        """A CloudMap with an engine of its own, without jitter, refreshing in the background.

        Args:
            settings: Arguments of `CloudMap`, or fields of its `CachePolicy`.
        """
        fields_given = {name: settings.pop(name) for name in _POLICY & settings.keys()}
        policy = CachePolicy(**{"jitter": 0.0, "refresh": "background", **fields_given})
        return CloudMap(**{"cache": policy, "backend": self.backend, "clock": self.clock, **settings})

    async def known(self, filters: dict[str, Any] | None = None, **settings: Any) -> Service:
        """A handle of shop/orders whose answer, of one instance, has just been fetched.

        Args:
            filters: Arguments of `CloudMap.service`.
            settings: As for `cloud_map`.
        """
        service = self.cloud_map(**settings).service("shop/orders", **(filters or {}))
        assert len(await service.resolve()) == 1
        return service

    @staticmethod
    def ids(snapshot: Snapshot) -> list[str]:
        """Whom an answer names."""
        return [instance.id for instance in snapshot]

    async def settle(self) -> None:
        """Let every task run until it waits for the clock, for the faults or for nothing any more."""
        for _ in range(20):
            await asyncio.sleep(0)

    @staticmethod
    def at_once(call: Coroutine[Any, Any, _T]) -> _T:
        """What the call returns without ever having suspended; one that waits fails the test."""
        try:
            call.send(None)
        except StopIteration as done:
            return done.value
        call.close()
        pytest.fail("the call waited")

    async def tick(self, seconds: float) -> None:
        """Let time pass, and then the tasks that it woke."""
        self.clock.tick(seconds)
        await self.settle()


@pytest.fixture
def clock() -> ManualClock:
    """Moves when the test ticks it."""
    return ManualClock()


@pytest.fixture
def world(clock: ManualClock) -> World:
    """Has shop/orders with one instance, orders-1; knows no rate limit, so that tests may ask as often as they like."""
    world = World(clock=clock, quotas=Quotas.unlimited(), seed=1)
    world.register("shop/orders", "orders-1", {"QUEUE_URL": QUEUE_URL})
    return world


@pytest.fixture
def stage(world: World, clock: ManualClock) -> Iterator[Stage]:
    """World, faults, clock, and CloudMaps on them."""
    stage = Stage(world, clock)
    yield stage
    stage.faults.clear()
