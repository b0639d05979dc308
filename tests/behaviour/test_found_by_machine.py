"""What the state machine of tests/properties found, each in the fewest steps, told without the machine."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import (
    ConfigurationError,
    DeadlineError,
    Discovery,
    Instance,
    Query,
    ServiceNotFoundError,
    ThrottledError,
    UnavailableError,
)


class Told:
    """A backend that raises what it is told to, one error a call, and answers when there is none left."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def discover(self, query: Query) -> Discovery:
        self.calls += 1
        error = self.errors.pop(0) if self.errors else None
        await self.gate.wait()
        if error is not None:
            raise error
        return Discovery((Instance("a", query.service),), revision=self.calls)


async def test_clear_forgets_a_remembered_failure_too(stage):
    """After clear() the same handle asks at once, whatever failed before and however long its backoff is."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    stage.faults.server_error(next=1)
    with pytest.raises(UnavailableError):
        await service.resolve()
    cloud_map.clear()
    assert len(await service.resolve()) == 1


async def test_clear_forgets_a_remembered_not_found_too(stage):
    """The same for a service that was not there, and is now."""
    cloud_map = stage.cloud_map(negative_ttl=100)
    service = cloud_map.service("shop/stock")
    with pytest.raises(ServiceNotFoundError):
        await service.resolve()
    stage.world.register("shop/stock", "stock-1", {"A": "1"})
    cloud_map.clear()
    assert len(await service.resolve()) == 1


async def test_whoever_runs_out_of_patience_after_an_invalidation_keeps_nobody_else_from_asking(stage):
    """He asked before and gets the old answer; the next one came after it, and waits for a new one."""
    backend = Told()
    service = stage.cloud_map(backend=backend, soft_timeout=1).service("shop/orders")
    await service.resolve()
    stage.clock.tick(60)
    backend.gate.clear()
    before = asyncio.create_task(service.resolve())
    await stage.settle()
    await stage.tick(0.5)
    service.invalidate()
    await stage.tick(0.5)
    assert (await before).revision == 1
    after = asyncio.create_task(service.resolve())
    await stage.settle()
    assert not after.done()
    backend.gate.set()
    assert (await after).revision == 3


async def test_an_inline_call_that_is_given_up_after_an_invalidation_is_no_failure_of_what_comes_next(stage):
    """No backoff is left behind by a call that began before the invalidation."""
    backend = Told()
    service = stage.cloud_map(backend=backend, soft_timeout=1, refresh="inline").service("shop/orders")
    await service.resolve()
    stage.clock.tick(60)
    backend.gate.clear()
    before = asyncio.create_task(service.resolve())
    await stage.settle()
    await stage.tick(0.5)
    service.invalidate()
    await stage.tick(0.5)
    assert (await before).revision == 1
    assert service.explain().failures == 0
    backend.gate.set()
    assert (await service.resolve()).revision == 3


async def test_an_inline_caller_with_a_max_age_gets_nothing_older_when_his_time_is_over(stage):
    """He waited for the call before his own as well, and its answer is older than he takes."""
    backend = Told()
    service = stage.cloud_map(backend=backend, refresh="inline").service("shop/orders")
    backend.gate.clear()
    first = asyncio.create_task(service.resolve())
    await stage.settle()
    await stage.tick(1)
    forced = asyncio.create_task(service.resolve(max_age=0))
    await stage.settle()
    await stage.tick(3)
    backend.gate.set()  # lets go who waits now, and holds who comes next
    backend.gate.clear()
    assert (await first).revision == 1
    await stage.settle()
    await stage.tick(2)
    with pytest.raises(DeadlineError):
        await forced
    assert service.peek().revision == 1


async def test_a_caller_with_a_max_age_whose_time_is_over_gets_what_is_young_enough(stage):
    """A call that takes too long is a failure, and leaves the old answer to those who take one of its age."""
    backend = Told()
    service = stage.cloud_map(backend=backend).service("shop/orders")
    await service.resolve()
    stage.clock.tick(60)
    backend.gate.clear()
    first = asyncio.create_task(service.resolve(max_age=0))
    await stage.settle()
    second = asyncio.create_task(service.resolve(max_age=1000))
    await stage.settle()
    await stage.tick(5)
    with pytest.raises(DeadlineError):
        await first
    assert (await second).revision == 1
    await stage.tick(5)


async def test_a_wrong_setting_is_not_hidden_behind_an_invalidated_answer(stage):
    """Who waits for a call that an invalidation overtook is told of the ConfigurationError all the same."""
    backend = Told(None, ConfigurationError("no region"))
    service = stage.cloud_map(backend=backend).service("shop/orders")
    await service.resolve()
    stage.clock.tick(60)
    backend.gate.clear()
    waiting = asyncio.create_task(service.resolve())
    await stage.settle()
    service.invalidate()
    backend.gate.set()
    with pytest.raises(ConfigurationError, match="no region"):
        await waiting


async def test_a_wrong_setting_is_not_remembered_for_the_backoff_of_a_failure_before_it(stage):
    """Once it is set right, the next caller is answered, though a backoff from before is not over."""
    backend = Told(UnavailableError("down"), ConfigurationError("no region"))
    service = stage.cloud_map(backend=backend).service("shop/orders")
    with pytest.raises(UnavailableError):
        await service.resolve()
    with pytest.raises(ConfigurationError):
        await service.resolve(max_age=0)
    assert (await service.resolve()).revision == 3


async def test_a_remembered_not_found_is_no_truth_for_who_wants_a_fresh_one(stage):
    """While AWS throttles, max_age=0 is told so, and not that a service was not there some time ago."""
    backend = Told(ServiceNotFoundError("not there"), ThrottledError("slow down"))
    cloud_map = stage.cloud_map(backend=backend, negative_ttl=100)
    orders, stock = cloud_map.service("shop/orders"), cloud_map.service("shop/stock")
    with pytest.raises(ServiceNotFoundError):
        await orders.resolve()
    with pytest.raises(ThrottledError):
        await stock.resolve()
    with pytest.raises(ThrottledError):
        await orders.resolve(max_age=0)
    with pytest.raises(ServiceNotFoundError):
        await orders.resolve()


async def test_what_is_young_enough_now_is_not_given_when_it_is_too_old(stage):
    """After a wrong setting everybody waits for the next call; where that fails, max_age holds at its end."""
    backend = Told(None, ConfigurationError("no region"), UnavailableError("down"))
    service = stage.cloud_map(backend=backend, ttl=10).service("shop/orders")
    await service.resolve()
    stage.clock.tick(10)
    await service.resolve()
    await stage.settle()
    backend.gate.clear()
    waiting = asyncio.create_task(service.resolve(max_age=12))
    await stage.settle()
    await stage.tick(3)
    backend.gate.set()
    with pytest.raises(UnavailableError):
        await waiting
