"""Fresh, stale, fallback, absent: what a caller gets at every age, and which setting ends each state."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import (
    CachePolicy,
    ConnectionPolicy,
    DeadlineError,
    Freshness,
    UnavailableError,
)
from aiocloudmap.testing import ManualClock

EPSILON = 0.001


async def test_a_fresh_answer_costs_no_call_and_no_wait(stage):
    """Until just before its ttl, the answer in memory is returned."""
    service = await stage.known(ttl=30)
    stage.faults.hold()
    stage.clock.tick(30 - EPSILON)
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1"]
    await stage.settle()
    assert stage.calls == 1


async def test_at_its_ttl_an_answer_is_refreshed_in_the_background(stage):
    """The first caller past the ttl does not wait and starts one refresh."""
    service = await stage.known(ttl=30)
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    stage.clock.tick(30)
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1"]
    await stage.settle()
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1", "orders-2"]
    assert stage.calls == 2


@pytest.mark.parametrize(
    ("ttl", "revalidate", "if_error", "end"),
    [(30, 30, 600, 60), (30, 10, 600, 40), (10, 100, 20, 30), (10, 20, 20, 30), (0, 5, 600, 5)],
)
async def test_the_stale_period_ends_at_its_limit_or_the_hard_end(stage, ttl, revalidate, if_error, end):
    """Just before the end a caller is answered at once. At the end it waits for the new answer."""
    policy = {"ttl": ttl, "stale_while_revalidate": revalidate, "stale_if_error": if_error}
    early, late = await stage.known(**policy), await stage.known(**policy)
    fault = stage.faults.hold()
    stage.clock.tick(end - EPSILON)
    assert stage.ids(stage.at_once(early.resolve())) == ["orders-1"]
    stage.clock.tick(EPSILON)
    waiting = await stage.start(late.resolve())
    assert not waiting.done()
    fault.clear()
    assert stage.ids(await waiting) == ["orders-1"]


async def test_without_revalidation_an_expired_answer_is_fetched_again(stage):
    """With stale_while_revalidate=0, a caller past the ttl gets the new answer."""
    service = await stage.known(ttl=30, stale_while_revalidate=0)
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    stage.clock.tick(30 - EPSILON)
    assert stage.ids(await service.resolve()) == ["orders-1"]
    stage.clock.tick(EPSILON)
    assert stage.ids(await service.resolve()) == ["orders-1", "orders-2"]
    assert stage.calls == 2


async def test_a_ttl_of_zero_fetches_for_every_caller(stage):
    """The old answer is returned only if AWS fails."""
    service = await stage.known(ttl=0, stale_while_revalidate=0, stale_if_error=600)
    await service.resolve()
    assert stage.calls == 2
    stage.faults.server_error()
    assert stage.ids(await service.resolve()) == ["orders-1"]


async def test_a_policy_of_zeros_keeps_no_answer(stage):
    """Without ttl, stale and fallback periods, every failure is an error."""
    service = await stage.known(ttl=0, stale_while_revalidate=0, stale_if_error=0)
    assert service.peek() is None
    stage.faults.server_error()
    with pytest.raises(UnavailableError):
        await service.resolve()


async def test_in_fallback_a_caller_gets_the_new_answer(stage):
    """Past the stale period, the caller waits for AWS."""
    service = await stage.known()
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    stage.clock.tick(60)
    assert stage.ids(await service.resolve()) == ["orders-1", "orders-2"]


@pytest.mark.parametrize("if_error", [0, 1, 600])
async def test_an_answer_ends_at_its_hard_end(stage, if_error):
    """Just before ttl + stale_if_error a failure returns the old answer, then it is an error."""
    service = await stage.known(ttl=10, stale_while_revalidate=0, stale_if_error=if_error)
    stage.faults.server_error()
    stage.clock.tick(10 + if_error - EPSILON)
    assert stage.ids(await service.resolve()) == ["orders-1"]
    assert service.peek() is not None
    stage.clock.tick(EPSILON)
    assert service.peek() is None
    with pytest.raises(UnavailableError):
        await service.resolve()


async def test_reading_an_answer_never_moves_its_hard_end(stage):
    """An answer that is read every second of an outage still ends at its hard end."""
    service = await stage.known(ttl=10, stale_while_revalidate=10, stale_if_error=90)
    stage.faults.server_error()
    for _ in range(99):
        await stage.tick(1)
        assert stage.ids(await service.resolve()) == ["orders-1"]
    await stage.tick(1)
    with pytest.raises(UnavailableError):
        await service.resolve()


async def test_a_new_answer_moves_the_hard_end(stage):
    """A refresh at 20 s starts a whole new lifetime."""
    service = await stage.known(ttl=10, stale_while_revalidate=0, stale_if_error=90)
    stage.clock.tick(20)
    await service.resolve()
    assert service.explain().expires_in == 100


async def test_in_fallback_a_caller_waits_at_most_soft_timeout(stage):
    """After soft_timeout the old answer is returned, and the refresh goes on."""
    service = await stage.known(soft_timeout=1.0)
    fault = stage.faults.hold()
    stage.clock.tick(60)
    waiting = await stage.start(service.resolve())
    await stage.tick(1.0 - EPSILON)
    assert not waiting.done()
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    await stage.tick(EPSILON)
    assert stage.ids(await waiting) == ["orders-1"]
    fault.clear()
    await stage.settle()
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1", "orders-2"]
    assert stage.calls == 2


async def test_soft_timeout_counts_from_the_start_of_the_refresh(stage):
    """A caller 0.6 s after the start waits 0.4 s. A caller after soft_timeout does not wait."""
    service = await stage.known(soft_timeout=1.0)
    fault = stage.faults.hold()
    stage.clock.tick(60)
    first = await stage.start(service.resolve())
    await stage.tick(0.6)
    second = await stage.start(service.resolve())
    await stage.tick(0.4)
    assert first.done()
    assert second.done()
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1"]
    assert stage.calls == 2
    fault.clear()
    await stage.settle()


async def test_a_soft_timeout_of_zero_never_waits_for_a_refresh(stage):
    """In fallback the old answer is returned at once and refreshed in the background."""
    service = await stage.known(soft_timeout=0)
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    stage.clock.tick(60)
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1"]
    await stage.settle()
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1", "orders-2"]


async def test_a_background_refresh_ends_at_the_deadline(stage):
    """A refresh without callers is a failure after discovery_timeout."""
    service = await stage.known(connections=ConnectionPolicy(discovery_timeout=5))
    stage.faults.hang()
    stage.clock.tick(30)
    await service.resolve()
    await stage.settle()
    await stage.tick(5 - EPSILON)
    assert service.explain().in_flight
    await stage.tick(EPSILON)
    assert not service.explain().in_flight
    assert isinstance(service.explain().last_error, DeadlineError)
    assert stage.ids(await service.resolve()) == ["orders-1"]


async def test_a_caller_without_an_answer_waits_until_the_deadline(stage):
    """Without an answer in memory, soft_timeout does not apply."""
    service = stage.cloud_map(connections=ConnectionPolicy(discovery_timeout=5)).service("shop/orders")
    stage.faults.hang()
    waiting = await stage.start(service.resolve())
    await stage.tick(5 - EPSILON)
    assert not waiting.done()
    await stage.tick(EPSILON)
    with pytest.raises(DeadlineError, match=r"^shop/orders: no answer within 5 s") as caught:
        await waiting
    assert isinstance(caught.value, TimeoutError)


async def test_jitter_shortens_the_ttl_but_not_the_hard_end(stage):
    """With jitter=0.1 and ttl=30, a hundred answers end between 27 and 30 s. All last 630 s."""
    cloud_map = stage.cloud_map(jitter=0.1)
    ends = []
    for number in range(100):
        stage.world.register(f"shop/s{number}", "one", {"A": "1"})
        service = cloud_map.service(f"shop/s{number}")
        await service.resolve()
        ends.append(service.explain().refresh_in)
        assert service.explain().expires_in == 630
    assert min(ends) >= 27
    assert max(ends) <= 30
    assert max(ends) - min(ends) > 1


async def test_without_jitter_an_answer_lives_its_whole_ttl(stage):
    """jitter=0 takes nothing off."""
    assert (await stage.known(ttl=30, jitter=0)).explain().refresh_in == 30


async def test_a_jitter_of_one_may_take_off_the_whole_ttl(stage):
    """With jitter=1, answers end anywhere between 0 and the ttl."""
    ends = [(await stage.known(ttl=30, jitter=1)).explain().refresh_in for _ in range(50)]
    assert 0 <= min(ends) < 10
    assert 20 < max(ends) <= 30


async def test_each_state_starts_and_ends_at_its_boundary(stage):
    """The four states, each at its first moment and just before the next."""
    service = await stage.known()
    seen = [service.explain().state]
    for moment, before in [(30, 0), (60, 30), (630, 60)]:
        stage.clock.tick(moment - before - EPSILON)
        seen.append(service.explain().state)
        stage.clock.tick(EPSILON)
        seen.append(service.explain().state)
    fresh, stale, fallback, absent = Freshness
    assert seen == [fresh, fresh, stale, stale, fallback, fallback, absent]


async def test_auto_refreshes_in_the_background_outside_lambda(stage):
    """refresh="auto" means background unless AWS_LAMBDA_RUNTIME_API is set."""
    service = await stage.known(refresh="auto")
    stage.clock.tick(30)
    assert service.explain().state is Freshness.STALE


async def test_auto_refreshes_inline_in_lambda(stage, monkeypatch):
    """With AWS_LAMBDA_RUNTIME_API set, a caller past the ttl waits for the new answer."""
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    service = await stage.known(refresh="auto")
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    stage.clock.tick(30)
    assert service.explain().state is Freshness.FALLBACK
    assert stage.ids(await service.resolve()) == ["orders-1", "orders-2"]


async def test_policies_share_calls_but_not_answers(stage):
    """Two handles with different ttls share one call, and then each follows its own ttl."""
    cloud_map = stage.cloud_map(ttl=30)
    long = cloud_map.service("shop/orders")
    short = cloud_map.service(
        "shop/orders", cache=CachePolicy(ttl=5, stale_while_revalidate=0, jitter=0, refresh="background")
    )
    await asyncio.gather(long.resolve(), short.resolve())
    assert stage.calls == 1
    stage.clock.tick(5)
    stage.at_once(long.resolve())
    assert stage.calls == 1
    await short.resolve()
    assert stage.calls == 2


class CountingClock(ManualClock):
    """Counts its readings."""

    readings = 0

    def monotonic(self) -> float:
        self.readings += 1
        return super().monotonic()

    def time(self) -> float:
        self.readings += 1
        return super().time()


@pytest.mark.parametrize("state", ["fresh", "refreshing", "backing off"])
async def test_a_hit_reads_the_clock_once(stage, state):
    """This holds in every state in which an answer in memory is returned."""
    clock = CountingClock()
    service = stage.cloud_map(clock=clock).service("shop/orders")
    await service.resolve()
    if state != "fresh":
        fault = stage.faults.hold() if state == "refreshing" else stage.faults.server_error()
        clock.tick(30)
        await service.resolve()
        await stage.settle()
    for call in (service.resolve, service.pick, lambda: service.attribute("QUEUE_URL")):
        before = clock.readings
        stage.at_once(call())
        assert clock.readings == before + 1
    before = clock.readings
    service.peek()
    assert clock.readings == before + 1
    if state != "fresh":
        fault.clear()
        await stage.settle()
