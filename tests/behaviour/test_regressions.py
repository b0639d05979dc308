"""Minimal cases of bugs that the state machine in tests/properties found."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import (
    ConfigurationError,
    DeadlineError,
    Discovery,
    Instance,
    Query,
    Service,
    ServiceNotFoundError,
    ThrottledError,
    UnavailableError,
)


class Scripted:
    """A backend that raises the given errors, one a call, and then answers."""

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


async def test_clear_forgets_a_remembered_failure(stage):
    """After clear() the same handle asks at once, whatever its backoff."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    stage.faults.server_error(next=1)
    with pytest.raises(UnavailableError):
        await service.resolve()
    cloud_map.clear()
    assert len(await service.resolve()) == 1


async def test_clear_forgets_a_remembered_not_found(stage):
    """The same for a service that did not exist before."""
    cloud_map = stage.cloud_map(negative_ttl=100)
    service = cloud_map.service("shop/stock")
    with pytest.raises(ServiceNotFoundError):
        await service.resolve()
    stage.world.register("shop/stock", "stock-1", {"A": "1"})
    cloud_map.clear()
    assert len(await service.resolve()) == 1


async def soft_timeout_after_invalidation(stage, **settings) -> tuple[Scripted, Service]:
    """Let a caller reach its soft_timeout after the invalidation of its call, which is still under way."""
    backend = Scripted()
    service = stage.cloud_map(backend=backend, soft_timeout=1, **settings).service("shop/orders")
    await service.resolve()
    stage.clock.tick(60)
    backend.gate.clear()
    before = await stage.start(service.resolve())
    await stage.tick(0.5)
    service.invalidate()
    await stage.tick(0.5)
    assert (await before).revision == 1
    return backend, service


async def test_a_soft_timeout_after_an_invalidation_does_not_stop_later_callers(stage):
    """The earlier caller gets the old answer, later callers wait for a new one."""
    backend, service = await soft_timeout_after_invalidation(stage)
    after = await stage.start(service.resolve())
    assert not after.done()
    backend.gate.set()
    assert (await after).revision == 3


async def test_an_abandoned_inline_call_leaves_no_backoff_after_an_invalidation(stage):
    """A call that began before the invalidation does not affect calls after it."""
    backend, service = await soft_timeout_after_invalidation(stage, refresh="inline")
    assert service.explain().failures == 0
    backend.gate.set()
    assert (await service.resolve()).revision == 3


async def test_max_age_holds_for_an_inline_caller_at_its_deadline(stage):
    """The caller also waited for the call before its own, whose answer is too old for it."""
    backend = Scripted()
    service = stage.cloud_map(backend=backend, refresh="inline").service("shop/orders")
    backend.gate.clear()
    first = await stage.start(service.resolve())
    await stage.tick(1)
    forced = await stage.start(service.resolve(max_age=0))
    await stage.tick(3)
    backend.gate.set()  # releases the current call and blocks the next one
    backend.gate.clear()
    assert (await first).revision == 1
    await stage.settle()
    await stage.tick(2)
    with pytest.raises(DeadlineError):
        await forced
    assert service.peek().revision == 1


async def test_at_the_deadline_max_age_allows_a_young_enough_answer(stage):
    """A call past its deadline is a failure, which leaves the old answer to callers that accept its age."""
    backend = Scripted()
    service = stage.cloud_map(backend=backend).service("shop/orders")
    await service.resolve()
    stage.clock.tick(60)
    backend.gate.clear()
    first = await stage.start(service.resolve(max_age=0))
    second = await stage.start(service.resolve(max_age=1000))
    await stage.tick(5)
    with pytest.raises(DeadlineError):
        await first
    assert (await second).revision == 1
    await stage.tick(5)


async def test_an_invalidated_answer_does_not_hide_a_configuration_error(stage):
    """A caller of a call that an invalidation overtook still gets the ConfigurationError."""
    backend = Scripted(None, ConfigurationError("no region"))
    service = stage.cloud_map(backend=backend).service("shop/orders")
    await service.resolve()
    stage.clock.tick(60)
    backend.gate.clear()
    waiting = await stage.start(service.resolve())
    service.invalidate()
    backend.gate.set()
    with pytest.raises(ConfigurationError, match="no region"):
        await waiting


async def test_a_configuration_error_ends_the_backoff_of_earlier_failures(stage):
    """Once the setting is fixed, the next caller is answered despite the earlier backoff."""
    backend = Scripted(UnavailableError("down"), ConfigurationError("no region"))
    service = stage.cloud_map(backend=backend).service("shop/orders")
    with pytest.raises(UnavailableError):
        await service.resolve()
    with pytest.raises(ConfigurationError):
        await service.resolve(max_age=0)
    assert (await service.resolve()).revision == 3


async def test_a_remembered_not_found_does_not_answer_max_age_zero(stage):
    """While AWS throttles, max_age=0 gets a ThrottledError instead of an old not-found."""
    backend = Scripted(ServiceNotFoundError("not there"), ThrottledError("slow down"))
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


async def test_max_age_is_checked_when_the_call_ends(stage):
    """An answer that was young enough when the caller came may be too old when its call fails."""
    backend = Scripted(None, ConfigurationError("no region"), UnavailableError("down"))
    service = stage.cloud_map(backend=backend, ttl=10).service("shop/orders")
    await service.resolve()
    stage.clock.tick(10)
    await service.resolve()
    await stage.settle()
    backend.gate.clear()
    waiting = await stage.start(service.resolve(max_age=12))
    await stage.tick(3)
    backend.gate.set()
    with pytest.raises(UnavailableError):
        await waiting
