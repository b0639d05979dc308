"""Fixtures for behaviour tests: a local world, faults, and a clock that moves only when a test moves it."""

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
    """Everything a behaviour test acts on, in this process and on one manual clock."""

    def __init__(self, world: World, clock: ManualClock) -> None:
        self.world = world
        self.clock = clock
        self.faults = Faults()
        self.backend = LocalBackend(world, self.faults)

    @property
    def calls(self) -> int:
        """The number of DiscoverInstances calls so far."""
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
        """The ids of the instances in a snapshot."""
        return [instance.id for instance in snapshot]

    async def settle(self) -> None:
        """Run every task until it ends or waits for the clock or a fault."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def start(self, call: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Start a call in a task, and run it until it ends or waits."""
        task = asyncio.create_task(call)
        await self.settle()
        return task

    @staticmethod
    def at_once(call: Coroutine[Any, Any, _T]) -> _T:
        """Return the result of a call that never suspends. A call that waits fails the test."""
        try:
            call.send(None)
        except StopIteration as done:
            return done.value
        call.close()
        pytest.fail("the call waited")

    async def tick(self, seconds: float) -> None:
        """Move the clock, then run the tasks that it woke."""
        self.clock.tick(seconds)
        await self.settle()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that moves when the test ticks it."""
    return ManualClock()


@pytest.fixture
def world(clock: ManualClock) -> World:
    """A world with one instance of shop/orders, orders-1, and no rate limit."""
    world = World(clock=clock, quotas=Quotas.unlimited(), seed=1)
    world.register("shop/orders", "orders-1", {"QUEUE_URL": QUEUE_URL})
    return world


@pytest.fixture
def stage(world: World, clock: ManualClock) -> Iterator[Stage]:
    """A world, faults, a clock, and CloudMaps that use them."""
    stage = Stage(world, clock)
    yield stage
    stage.faults.clear()
