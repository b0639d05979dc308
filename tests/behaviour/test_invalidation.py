"""invalidate() and clear(): what expires, what is forgotten, and what happens to calls under way."""

from __future__ import annotations

import asyncio
import threading

import pytest

from aiocloudmap import (
    CachePolicy,
    ConfigurationError,
    Discovery,
    Freshness,
    HealthFilter,
    Instance,
    Query,
    Service,
    ServiceName,
    ServiceNotFoundError,
    Snapshot,
    UnavailableError,
)


async def test_after_invalidate_the_next_caller_asks_again(stage):
    """The next caller waits for the new answer, which then serves every caller."""
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    service.invalidate()
    assert service.explain().state is Freshness.FALLBACK
    assert stage.ids(await service.resolve()) == ["orders-1", "orders-2"]
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1", "orders-2"]
    assert stage.calls == 2


async def test_after_invalidate_the_old_answer_stays_as_fallback(stage):
    """With AWS down, the invalidated answer is returned until its hard end."""
    service = stage.cloud_map(ttl=10, stale_if_error=90).service("shop/orders")
    await service.resolve()
    service.invalidate()
    stage.faults.server_error()
    assert stage.ids(await service.resolve()) == ["orders-1"]
    assert stage.ids(service.peek()) == ["orders-1"]
    stage.clock.tick(100)
    with pytest.raises(UnavailableError):
        await service.resolve()


async def test_after_invalidate_a_slow_refresh_costs_soft_timeout(stage):
    """An invalidated answer is a fallback like any other."""
    service = stage.cloud_map(soft_timeout=1).service("shop/orders")
    await service.resolve()
    service.invalidate()
    fault = stage.faults.hold()
    waiting = await stage.start(service.resolve())
    assert not waiting.done()
    await stage.tick(1)
    assert stage.ids(await waiting) == ["orders-1"]
    fault.clear()
    await stage.settle()


async def test_every_handle_sees_an_invalidation(stage):
    """Handles made before or after it, and handles with another policy, ask again."""
    cloud_map = stage.cloud_map()
    one, two = cloud_map.service("shop/orders"), cloud_map.service(ServiceName("shop", "orders"))
    other = cloud_map.service("shop/orders", cache=CachePolicy(ttl=60, refresh="background"))
    await asyncio.gather(one.resolve(), two.resolve(), other.resolve())
    one.invalidate()
    states = [handle.explain().state for handle in (one, two, other, cloud_map.service("shop/orders"))]
    assert states == [Freshness.FALLBACK] * 4
    await two.resolve()
    assert stage.ids(stage.at_once(one.resolve())) == ["orders-1"]


async def test_a_handle_invalidates_its_own_query_only(stage):
    """Another filter is another query."""
    cloud_map = stage.cloud_map()
    all_of_them, healthy = cloud_map.service("shop/orders"), cloud_map.service("shop/orders", health="HEALTHY")
    await asyncio.gather(all_of_them.resolve(), healthy.resolve())
    healthy.invalidate()
    assert all_of_them.explain().state is Freshness.FRESH
    assert healthy.explain().state is Freshness.FALLBACK


async def test_a_name_invalidates_every_query_for_the_service(stage):
    """CloudMap.invalidate(name) covers every filter and policy, and no other service."""
    cloud_map = stage.cloud_map()
    stage.world.register("shop/carts", "carts-1", {"A": "1"})
    handles = [
        cloud_map.service("shop/orders"),
        cloud_map.service("shop/orders", health=HealthFilter.ALL),
        cloud_map.service("shop/orders", prefer={"ZONE": "a"}),
        cloud_map.service("shop/orders", cache=CachePolicy(ttl=60)),
    ]
    carts = cloud_map.service("shop/carts")
    for handle in [*handles, carts]:
        await handle.resolve()
    assert cloud_map.invalidate("shop/orders") == 4
    assert [handle.explain().state for handle in handles] == [Freshness.FALLBACK] * 4
    assert carts.explain().state is Freshness.FRESH


@pytest.mark.parametrize("name", ["shop/orders", "cloudmap://shop/orders", ServiceName("shop", "orders"), None])
async def test_invalidate_returns_the_number_of_answers(stage, name):
    """Every form of a name, and None for all. Missing and expired answers do not count."""
    cloud_map = stage.cloud_map()
    assert cloud_map.invalidate(name) == 0
    await cloud_map.service("shop/orders").resolve()
    with pytest.raises(ServiceNotFoundError):
        await cloud_map.service("shop/nothing").resolve()
    assert cloud_map.invalidate(name) == 1
    stage.clock.tick(630)
    assert cloud_map.invalidate(name) == 0


async def test_invalidate_refuses_an_invalid_name(stage):
    """A wrong name is an error, not ignored."""
    with pytest.raises(ConfigurationError, match="invalid service name"):
        stage.cloud_map().invalidate("orders")


async def test_invalidate_forgets_a_remembered_not_found(stage):
    """A service that was registered in the meantime is found at once."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/new")
    with pytest.raises(ServiceNotFoundError):
        await service.resolve()
    stage.world.register("shop/new", "new-1", {"A": "1"})
    cloud_map.invalidate("shop/new")
    assert stage.ids(await service.resolve()) == ["new-1"]


class Slow:
    """A backend whose answers contain their call's number, and wait until the test releases them."""

    def __init__(self) -> None:
        self.answers: list[asyncio.Future[None]] = []

    async def discover(self, query: Query) -> Discovery:
        number = len(self.answers)
        self.answers.append(asyncio.get_running_loop().create_future())
        await self.answers[number]
        return Discovery((Instance(f"answer-{number}", query.service),))

    def answer(self, number: int) -> None:
        """Release the answer to this call."""
        self.answers[number].set_result(None)


async def overtaken_call(stage, how) -> tuple[Slow, Service, asyncio.Task[Snapshot]]:
    """Start a call, then invalidate or clear while it is under way."""
    backend = Slow()
    cloud_map = stage.cloud_map(backend=backend)
    service = cloud_map.service("shop/orders")
    before = await stage.start(service.resolve())
    getattr(cloud_map, how)()
    return backend, service, before


@pytest.mark.parametrize("how", ["invalidate", "clear"])
async def test_a_call_that_began_before_is_not_written(stage, how):
    """Its waiters get its answer, later callers do not."""
    backend, service, before = await overtaken_call(stage, how)
    backend.answer(0)
    assert stage.ids(await before) == ["answer-0"]
    assert service.peek() is None
    after = await stage.start(service.resolve())
    backend.answer(1)
    assert stage.ids(await after) == ["answer-1"]
    assert stage.ids(service.peek()) == ["answer-1"]


@pytest.mark.parametrize("how", ["invalidate", "clear"])
async def test_a_call_that_began_before_is_not_joined(stage, how):
    """Later callers share a new call while the old one is still under way."""
    backend, service, before = await overtaken_call(stage, how)
    after = [asyncio.create_task(service.resolve()) for _ in range(5)]
    await stage.settle()
    backend.answer(0)
    assert stage.ids(await before) == ["answer-0"]
    await stage.settle()
    assert not any(task.done() for task in after)
    backend.answer(1)
    assert [stage.ids(answer) for answer in await asyncio.gather(*after)] == [["answer-1"]] * 5
    assert len(backend.answers) == 2


async def test_a_background_refresh_that_began_before_is_not_written(stage):
    """The same for a refresh without waiters."""
    backend = Slow()
    service = stage.cloud_map(backend=backend).service("shop/orders")
    first = await stage.start(service.resolve())
    backend.answer(0)
    await first
    stage.clock.tick(30)
    stage.at_once(service.resolve())
    await stage.settle()
    service.invalidate()
    backend.answer(1)
    await stage.settle()
    assert stage.ids(service.peek()) == ["answer-0"]
    assert service.explain().state is Freshness.FALLBACK


async def test_clear_forgets_every_answer(stage):
    """peek() returns None, and a failure is an error."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    assert cloud_map.clear() == 1
    assert service.peek() is None
    assert cloud_map.stats().entries == 0
    stage.faults.server_error()
    with pytest.raises(UnavailableError):
        await service.resolve()


async def test_clear_returns_the_number_of_answers(stage):
    """Each query counts, a not-found does not."""
    cloud_map = stage.cloud_map()
    assert cloud_map.clear() == 0
    await cloud_map.service("shop/orders").resolve()
    await cloud_map.service("shop/orders", health="ALL").resolve()
    with pytest.raises(ServiceNotFoundError):
        await cloud_map.service("shop/nothing").resolve()
    assert cloud_map.clear() == 2


async def test_handles_share_answers_again_after_clear(stage):
    """Handles that were made before clear() share one new call."""
    cloud_map = stage.cloud_map()
    one, two = cloud_map.service("shop/orders"), cloud_map.service(ServiceName("shop", "orders"))
    await asyncio.gather(one.resolve(), two.resolve())
    cloud_map.clear()
    await one.resolve()
    assert stage.ids(two.peek()) == ["orders-1"]
    assert stage.ids(stage.at_once(two.resolve())) == ["orders-1"]
    assert stage.calls == 2


class Overtaken:
    """A backend whose first answer waits until a later one has arrived on another event loop."""

    def __init__(self) -> None:
        self.calls = 0
        self.lock = threading.Lock()
        self.first: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None

    async def discover(self, query: Query) -> Discovery:
        with self.lock:
            self.calls += 1
            number = self.calls
        if number == 1:
            loop = asyncio.get_running_loop()
            self.first = loop, loop.create_future()
            await self.first[1]
        return Discovery((Instance(f"answer-{number}", query.service),), revision=number)


async def test_an_older_result_never_overwrites_a_newer_one(stage):
    """A call that began earlier on one loop ends after a later call on another: the later answer stays."""
    backend = Overtaken()
    service = stage.cloud_map(backend=backend).service("shop/orders")
    slow = await stage.start(service.resolve())
    stage.clock.tick(0.5)
    fast = await asyncio.to_thread(lambda: asyncio.run(service.resolve()))
    assert fast.revision == 2
    backend.first[1].set_result(None)
    assert (await slow).revision == 1
    assert service.peek().revision == 2


async def test_an_older_failure_does_not_undo_a_newer_answer(stage):
    """If the earlier call fails, its waiter gets the newer answer, which stays fresh."""

    class OvertakenAndFailing(Overtaken):
        async def discover(self, query: Query) -> Discovery:
            found = await super().discover(query)
            if found.revision == 1:
                raise UnavailableError("down")
            return found

    backend = OvertakenAndFailing()
    service = stage.cloud_map(backend=backend).service("shop/orders")
    slow = await stage.start(service.resolve())
    stage.clock.tick(0.5)
    await asyncio.to_thread(lambda: asyncio.run(service.resolve()))
    backend.first[1].set_result(None)
    assert (await slow).revision == 2
    assert service.explain().failures == 0
    assert service.explain().state is Freshness.FRESH
