"""Coalescing: callers of one query share one call, whatever their policies."""

import asyncio
import contextvars

from aiocloudmap import CachePolicy, CloudMap, Discovery, Query

POLICY = CachePolicy(jitter=0, refresh="background")


async def test_ten_thousand_callers_without_an_answer_share_one_call(stage):
    """A stampede costs one DiscoverInstances call."""
    orders = stage.cloud_map().service("shop/orders")
    answers = await asyncio.gather(*(orders.resolve() for _ in range(10_000)))
    assert stage.calls == 1
    assert all(answer is answers[0] for answer in answers)


async def test_ten_thousand_callers_at_expiry_share_one_call_without_waiting(stage):
    """Every caller is answered from memory while one refresh is held at the backend."""
    orders = stage.cloud_map().service("shop/orders")
    old = await orders.resolve()
    stage.clock.tick(30)
    stage.faults.hold()
    answers = [stage.at_once(orders.resolve()) for _ in range(10_000)]
    assert all(answer is old for answer in answers)
    await asyncio.wait_for(stage.faults.until_held(), 5)
    assert stage.calls == 2
    stage.faults.release()


async def test_the_background_refresh_reaches_later_callers(stage):
    """Callers after the refresh get its answer."""
    orders = stage.cloud_map().service("shop/orders")
    await orders.resolve()
    stage.world.register("shop/orders", "orders-2", {"QUEUE_URL": "https://two"})
    stage.clock.tick(30)
    assert len(await orders.resolve()) == 1
    await stage.settle()
    assert len(await orders.resolve()) == 2


async def test_different_services_do_not_wait_for_each_other(stage):
    """A held call for one service does not delay another."""
    cloud_map = stage.cloud_map()
    stage.world.register("shop/payments", "payments-1", {"QUEUE_URL": "https://payments"})
    stage.faults.hold(service="shop/orders")
    held = asyncio.create_task(cloud_map.service("shop/orders").resolve())
    await asyncio.wait_for(stage.faults.until_held(), 5)
    assert await cloud_map.service("shop/payments").attribute("QUEUE_URL") == "https://payments"
    stage.faults.release()
    assert len(await held) == 1


async def test_handles_with_different_policies_share_the_call(stage):
    """A policy makes another answer in memory, not another call to AWS."""
    cloud_map = stage.cloud_map()
    handles = [
        cloud_map.service("shop/orders", cache=CachePolicy(ttl=ttl, refresh="background")) for ttl in range(1, 9)
    ]
    stage.faults.hold()
    waiting = [asyncio.create_task(handle.resolve()) for handle in handles]
    await asyncio.wait_for(stage.faults.until_held(), 5)
    stage.faults.release()
    assert len({id(answer) for answer in await asyncio.gather(*waiting)}) == 1
    assert stage.calls == 1
    assert all(handle.peek() is not None for handle in handles)


async def test_the_call_runs_in_an_empty_context(stage):
    """A shared call must not carry context of the caller that started it, such as a trace id."""
    request = contextvars.ContextVar("request", default="unset")
    seen = []

    class Spy:
        async def discover(self, query: Query) -> Discovery:
            seen.append(request.get())
            return await stage.backend.discover(query)

    request.set("request 1")
    await CloudMap(backend=Spy(), clock=stage.clock, cache=POLICY).service("shop/orders").resolve()
    assert seen == ["unset"]


async def test_an_eager_loop_works_with_a_backend_that_answers_at_once(stage):
    """With eager tasks a call may end before its task is returned."""
    loop = asyncio.get_running_loop()
    eager = getattr(asyncio, "eager_task_factory", None)
    loop.set_task_factory(eager)
    try:
        answers = await asyncio.gather(*(stage.cloud_map().service("shop/orders").resolve() for _ in range(3)))
    finally:
        loop.set_task_factory(None)
    assert [len(answer) for answer in answers] == [1, 1, 1]


async def test_a_backend_that_returns_none_is_a_named_error(stage):
    """A bug in a backend must not leave callers waiting."""

    class Broken:
        async def discover(self, query: Query) -> Discovery:
            return None  # type: ignore[return-value]

    orders = CloudMap(backend=Broken(), clock=stage.clock, cache=POLICY).service("shop/orders")
    errors = await asyncio.gather(*(orders.resolve() for _ in range(3)), return_exceptions=True)
    assert [type(error).__name__ for error in errors] == ["UnavailableError"] * 3
    assert len({id(error) for error in errors}) == 3
    assert "expected a Discovery, not None" in str(errors[0])
