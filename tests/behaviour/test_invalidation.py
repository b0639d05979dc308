"""invalidate() and clear(): what counts as expired, what is forgotten, and what is under way meanwhile."""

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
    ServiceName,
    ServiceNotFoundError,
    UnavailableError,
)


async def test_after_invalidate_the_next_caller_asks_again(stage):
    """The answer counts as expired: the caller waits for the new one, and it is everybody's."""
    service = stage.cloud_map().service("shop/orders")
    await service.resolve()
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    service.invalidate()
    assert service.explain().state is Freshness.FALLBACK
    assert stage.ids(await service.resolve()) == ["orders-1", "orders-2"]
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1", "orders-2"]
    assert stage.calls == 2


async def test_after_invalidate_the_old_answer_stays_as_fallback(stage):
    """AWS down: the invalidated answer is given, until its own hard end and no longer."""
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
    """The invalidated answer is a fallback like any other."""
    service = stage.cloud_map(soft_timeout=1).service("shop/orders")
    await service.resolve()
    service.invalidate()
    fault = stage.faults.hold()
    waiting = asyncio.create_task(service.resolve())
    await stage.settle()
    assert not waiting.done()
    await stage.tick(1)
    assert stage.ids(await waiting) == ["orders-1"]
    fault.clear()
    await stage.settle()


async def test_every_handle_sees_an_invalidation(stage):
    """Handles made before, made after, and of another policy: all ask again."""
    cloud_map = stage.cloud_map()
    one, two = cloud_map.service("shop/orders"), cloud_map.service(ServiceName("shop", "orders"))
    other = cloud_map.service("shop/orders", cache=CachePolicy(ttl=60, refresh="background"))
    await asyncio.gather(one.resolve(), two.resolve(), other.resolve())
    one.invalidate()
    states = [handle.explain().state for handle in (one, two, other, cloud_map.service("shop/orders"))]
    assert states == [Freshness.FALLBACK] * 4
    await two.resolve()
    assert stage.ids(stage.at_once(one.resolve())) == ["orders-1"]


async def test_a_handle_invalidates_its_own_question_only(stage):
    """Another filter is another question."""
    cloud_map = stage.cloud_map()
    all_of_them, healthy = cloud_map.service("shop/orders"), cloud_map.service("shop/orders", health="HEALTHY")
    await asyncio.gather(all_of_them.resolve(), healthy.resolve())
    healthy.invalidate()
    assert all_of_them.explain().state is Freshness.FRESH
    assert healthy.explain().state is Freshness.FALLBACK


async def test_a_name_invalidates_every_question_about_it(stage):
    """CloudMap.invalidate(name) reaches each filter and policy of the service, and no other service."""
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
async def test_invalidate_tells_how_many_answers_there_were(stage, name):
    """Names in every form; None for all. What was never asked, or is no more, is not counted."""
    cloud_map = stage.cloud_map()
    assert cloud_map.invalidate(name) == 0
    await cloud_map.service("shop/orders").resolve()
    with pytest.raises(ServiceNotFoundError):
        await cloud_map.service("shop/nothing").resolve()
    assert cloud_map.invalidate(name) == 1
    stage.clock.tick(630)
    assert cloud_map.invalidate(name) == 0


async def test_invalidate_refuses_what_is_no_name(stage):
    """A wrong name is told, not silently ignored."""
    with pytest.raises(ConfigurationError, match="invalid service name"):
        stage.cloud_map().invalidate("orders")


async def test_invalidate_ends_a_remembered_not_found(stage):
    """Who invalidates after registering a service finds it at once."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/new")
    with pytest.raises(ServiceNotFoundError):
        await service.resolve()
    stage.world.register("shop/new", "new-1", {"A": "1"})
    cloud_map.invalidate("shop/new")
    assert stage.ids(await service.resolve()) == ["new-1"]


class Slow:
    """A backend whose every answer names its number, and comes when the test lets it."""

    def __init__(self) -> None:
        self.answers: list[asyncio.Future[None]] = []

    async def discover(self, query: Query) -> Discovery:
        number = len(self.answers)
        self.answers.append(asyncio.get_running_loop().create_future())
        await self.answers[number]
        return Discovery((Instance(f"answer-{number}", query.service),))

    def answer(self, number: int) -> None:
        """Let the call of this number answer."""
        self.answers[number].set_result(None)


@pytest.mark.parametrize("how", ["invalidate", "clear"])
async def test_a_call_that_began_before_answers_its_waiters_and_is_not_written(stage, how):
    """Who waited gets what AWS said; nobody after the invalidation does."""
    backend = Slow()
    cloud_map = stage.cloud_map(backend=backend)
    service = cloud_map.service("shop/orders")
    before = asyncio.create_task(service.resolve())
    await stage.settle()
    getattr(cloud_map, how)()
    backend.answer(0)
    assert stage.ids(await before) == ["answer-0"]
    assert service.peek() is None
    after = asyncio.create_task(service.resolve())
    await stage.settle()
    backend.answer(1)
    assert stage.ids(await after) == ["answer-1"]
    assert stage.ids(service.peek()) == ["answer-1"]


@pytest.mark.parametrize("how", ["invalidate", "clear"])
async def test_a_call_that_began_before_is_not_joined(stage, how):
    """Callers after the invalidation share a call of their own, although the old one is still under way."""
    backend = Slow()
    cloud_map = stage.cloud_map(backend=backend)
    service = cloud_map.service("shop/orders")
    before = asyncio.create_task(service.resolve())
    await stage.settle()
    getattr(cloud_map, how)()
    after = [asyncio.create_task(service.resolve()) for _ in range(5)]
    await stage.settle()
    backend.answer(0)
    assert stage.ids(await before) == ["answer-0"]
    await stage.settle()
    assert not any(task.done() for task in after)
    backend.answer(1)
    assert [stage.ids(answer) for answer in await asyncio.gather(*after)] == [["answer-1"]] * 5
    assert len(backend.answers) == 2


async def test_a_refresh_behind_that_began_before_is_not_written(stage):
    """The same for a refresh that nobody waits for."""
    backend = Slow()
    service = stage.cloud_map(backend=backend).service("shop/orders")
    first = asyncio.create_task(service.resolve())
    await stage.settle()
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


async def test_clear_forgets(stage):
    """Nothing is known any more: peek gives None, and AWS down is an error."""
    cloud_map = stage.cloud_map()
    service = cloud_map.service("shop/orders")
    await service.resolve()
    assert cloud_map.clear() == 1
    assert service.peek() is None
    assert cloud_map.stats().entries == 0
    stage.faults.server_error()
    with pytest.raises(UnavailableError):
        await service.resolve()


async def test_clear_tells_how_many_answers_there_were(stage):
    """Each question counts; what was not found does not."""
    cloud_map = stage.cloud_map()
    assert cloud_map.clear() == 0
    await cloud_map.service("shop/orders").resolve()
    await cloud_map.service("shop/orders", health="ALL").resolve()
    with pytest.raises(ServiceNotFoundError):
        await cloud_map.service("shop/nothing").resolve()
    assert cloud_map.clear() == 2


async def test_handles_from_before_a_clear_share_again_after_it(stage):
    """Handles that were made before go on as if they were new: one call serves them all."""
    cloud_map = stage.cloud_map()
    one, two = cloud_map.service("shop/orders"), cloud_map.service(ServiceName("shop", "orders"))
    await asyncio.gather(one.resolve(), two.resolve())
    cloud_map.clear()
    await one.resolve()
    assert stage.ids(two.peek()) == ["orders-1"]
    assert stage.ids(stage.at_once(two.resolve())) == ["orders-1"]
    assert stage.calls == 2


class Overtaken:
    """A backend whose first answer waits until a later one has come, on another event loop."""

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
    """A call that began earlier on one event loop lands after a later one on another: the later answer stays."""
    backend = Overtaken()
    service = stage.cloud_map(backend=backend).service("shop/orders")
    slow = asyncio.create_task(service.resolve())
    await stage.settle()
    stage.clock.tick(0.5)
    fast = await asyncio.to_thread(lambda: asyncio.run(service.resolve()))
    assert fast.revision == 2
    backend.first[1].set_result(None)
    assert (await slow).revision == 1
    assert service.peek().revision == 2


async def test_an_older_failure_does_not_undo_a_newer_answer(stage):
    """The call that is overtaken fails: its own waiter gets the newer answer, which stays fresh."""

    class OvertakenAndFailing(Overtaken):
        async def discover(self, query: Query) -> Discovery:
            found = await super().discover(query)
            if found.revision == 1:
                raise UnavailableError("too late anyway")
            return found

    backend = OvertakenAndFailing()
    service = stage.cloud_map(backend=backend).service("shop/orders")
    slow = asyncio.create_task(service.resolve())
    await stage.settle()
    stage.clock.tick(0.5)
    await asyncio.to_thread(lambda: asyncio.run(service.resolve()))
    backend.first[1].set_result(None)
    assert (await slow).revision == 2
    assert service.explain().failures == 0
    assert service.explain().state is Freshness.FRESH
