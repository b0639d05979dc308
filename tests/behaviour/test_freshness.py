"""Fresh, stale, fallback, absent: what a caller gets at every age, and which setting decides where one ends."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from aiocloudmap import (
    CachePolicy,
    CloudMap,
    ConnectionPolicy,
    DeadlineError,
    Discovery,
    Freshness,
    Instance,
    Query,
    UnavailableError,
)
from aiocloudmap.testing import ManualClock

EPSILON = 0.001


async def test_a_fresh_answer_costs_no_call_and_no_wait(stage):
    """Until just before ttl, the answer in memory is the answer."""
    service = await stage.known(ttl=30)
    stage.faults.hold()
    stage.clock.tick(30 - EPSILON)
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1"]
    await stage.settle()
    assert stage.calls == 1


async def test_at_its_ttl_an_answer_is_given_at_once_and_renewed_behind(stage):
    """The first caller past ttl waits for nothing and has one refresh begun."""
    service = await stage.known(ttl=30)
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    stage.clock.tick(30)
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1"]
    await stage.settle()
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1", "orders-2"]
    assert stage.calls == 2


async def test_many_callers_at_the_moment_of_expiry_cause_one_refresh(stage):
    """A hundred callers past ttl: nobody waits, and AWS is asked once."""
    service = await stage.known(ttl=30)
    fault = stage.faults.hold()
    stage.clock.tick(30)
    for _ in range(100):
        assert stage.ids(stage.at_once(service.resolve())) == ["orders-1"]
    await stage.settle()
    assert stage.calls == 2
    fault.clear()
    await stage.settle()


@pytest.mark.parametrize(
    ("ttl", "revalidate", "if_error", "end"),
    [(30, 30, 600, 60), (30, 10, 600, 40), (10, 100, 20, 30), (10, 20, 20, 30), (0, 5, 600, 5)],
)
async def test_stale_ends_where_revalidate_or_hard_says(stage, ttl, revalidate, if_error, end):
    """Just before the end of stale a caller is answered at once; at the end it waits for the new answer."""
    policy = {"ttl": ttl, "stale_while_revalidate": revalidate, "stale_if_error": if_error}
    early, late = await stage.known(**policy), await stage.known(**policy)
    fault = stage.faults.hold()
    stage.clock.tick(end - EPSILON)
    assert stage.ids(stage.at_once(early.resolve())) == ["orders-1"]
    stage.clock.tick(EPSILON)
    waiting = asyncio.create_task(late.resolve())
    await stage.settle()
    assert not waiting.done()
    fault.clear()
    assert stage.ids(await waiting) == ["orders-1"]


async def test_without_revalidation_an_expired_answer_is_fetched_anew(stage):
    """stale_while_revalidate=0: past ttl, the caller gets the new answer."""
    service = await stage.known(ttl=30, stale_while_revalidate=0)
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    stage.clock.tick(30 - EPSILON)
    assert stage.ids(await service.resolve()) == ["orders-1"]
    stage.clock.tick(EPSILON)
    assert stage.ids(await service.resolve()) == ["orders-1", "orders-2"]
    assert stage.calls == 2


async def test_a_ttl_of_zero_keeps_nothing_fresh(stage):
    """ttl=0 without stale: every caller gets a new answer, and the old one only where AWS fails."""
    service = await stage.known(ttl=0, stale_while_revalidate=0, stale_if_error=600)
    await service.resolve()
    assert stage.calls == 2
    stage.faults.server_error()
    assert stage.ids(await service.resolve()) == ["orders-1"]


async def test_all_zero_keeps_nothing_at_all(stage):
    """No ttl, no stale, no fallback: a failure is an error, whatever was known a moment before."""
    service = await stage.known(ttl=0, stale_while_revalidate=0, stale_if_error=0)
    assert service.peek() is None
    stage.faults.server_error()
    with pytest.raises(UnavailableError):
        await service.resolve()


async def test_in_fallback_a_caller_gets_the_new_answer(stage):
    """Past stale, the caller waits for AWS and gets what it says now."""
    service = await stage.known()
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    stage.clock.tick(60)
    assert stage.ids(await service.resolve()) == ["orders-1", "orders-2"]


async def test_in_fallback_a_failure_leaves_the_old_answer(stage):
    """Past stale, with AWS down, the caller gets the old answer."""
    service = await stage.known()
    stage.faults.server_error()
    stage.clock.tick(60)
    assert stage.ids(await service.resolve()) == ["orders-1"]


@pytest.mark.parametrize("if_error", [0, 1, 600])
async def test_at_its_hard_end_an_answer_is_given_no_more(stage, if_error):
    """Just before ttl + stale_if_error a failure leaves the old answer, at it the error."""
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
    """An outage that is read through every second ends at hard all the same: only a new answer moves it."""
    service = await stage.known(ttl=10, stale_while_revalidate=10, stale_if_error=90)
    stage.faults.server_error()
    for _ in range(99):
        await stage.tick(1)
        assert stage.ids(await service.resolve()) == ["orders-1"]
    await stage.tick(1)
    with pytest.raises(UnavailableError):
        await service.resolve()


async def test_only_a_new_answer_moves_the_hard_end(stage):
    """A refresh at 20 s gives the answer a whole new life."""
    service = await stage.known(ttl=10, stale_while_revalidate=0, stale_if_error=90)
    stage.clock.tick(20)
    await service.resolve()
    assert service.explain().expires_in == 100


async def test_in_fallback_a_caller_waits_no_longer_than_soft_timeout(stage):
    """A slow refresh costs the caller soft_timeout; then the old answer is given, and the refresh goes on."""
    service = await stage.known(soft_timeout=1.0)
    fault = stage.faults.hold()
    stage.clock.tick(60)
    waiting = asyncio.create_task(service.resolve())
    await stage.settle()
    await stage.tick(1.0 - EPSILON)
    assert not waiting.done()
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    await stage.tick(EPSILON)
    assert stage.ids(await waiting) == ["orders-1"]
    fault.clear()
    await stage.settle()
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1", "orders-2"]
    assert stage.calls == 2


async def test_soft_timeout_counts_from_the_begin_of_the_refresh(stage):
    """Who comes 0.6 s after the refresh began waits 0.4 s; who comes after soft_timeout waits for nothing."""
    service = await stage.known(soft_timeout=1.0)
    fault = stage.faults.hold()
    stage.clock.tick(60)
    first = asyncio.create_task(service.resolve())
    await stage.settle()
    await stage.tick(0.6)
    second = asyncio.create_task(service.resolve())
    await stage.settle()
    await stage.tick(0.4)
    assert first.done()
    assert second.done()
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1"]
    assert stage.calls == 2
    fault.clear()
    await stage.settle()


async def test_a_soft_timeout_of_zero_never_waits_while_something_old_is_there(stage):
    """soft_timeout=0: in fallback the old answer is given at once, and renewed behind."""
    service = await stage.known(soft_timeout=0)
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    stage.clock.tick(60)
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1"]
    await stage.settle()
    assert stage.ids(stage.at_once(service.resolve())) == ["orders-1", "orders-2"]


async def test_a_refresh_that_nobody_waits_for_ends_at_the_deadline(stage):
    """Flights outlive their waiters, up to discovery_timeout and no longer: then it is a failure."""
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


async def test_an_absent_answer_is_waited_for_until_the_deadline(stage):
    """With nothing in memory a caller waits past soft_timeout, and gets DeadlineError at discovery_timeout."""
    service = stage.cloud_map(connections=ConnectionPolicy(discovery_timeout=5)).service("shop/orders")
    stage.faults.hang()
    waiting = asyncio.create_task(service.resolve())
    await stage.settle()
    await stage.tick(5 - EPSILON)
    assert not waiting.done()
    await stage.tick(EPSILON)
    with pytest.raises(DeadlineError, match=r"^shop/orders: no answer within 5 s") as caught:
        await waiting
    assert isinstance(caught.value, TimeoutError)


async def test_jitter_takes_up_to_its_part_off_ttl_and_nothing_off_hard(stage):
    """With jitter=0.1, a hundred answers of ttl=30 end between 27 and 30 s, spread; all are good for 630 s."""
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


async def test_without_jitter_every_answer_lives_its_whole_ttl(stage):
    """jitter=0 takes nothing off."""
    assert (await stage.known(ttl=30, jitter=0)).explain().refresh_in == 30


async def test_a_jitter_of_one_may_take_all_of_ttl_off(stage):
    """jitter=1: answers end anywhere between 0 and ttl, so that some of fifty end in the first third."""
    ends = [(await stage.known(ttl=30, jitter=1)).explain().refresh_in for _ in range(50)]
    assert 0 <= min(ends) < 10
    assert 20 < max(ends) <= 30


async def test_states_follow_each_other_at_soft_stale_and_hard(stage):
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


async def test_auto_has_a_stale_state_outside_of_lambda(stage):
    """refresh="auto" is background where AWS_LAMBDA_RUNTIME_API is not set."""
    service = await stage.known(refresh="auto")
    stage.clock.tick(30)
    assert service.explain().state is Freshness.STALE


async def test_auto_has_no_stale_state_in_lambda(stage, monkeypatch):
    """refresh="auto" is inline where AWS_LAMBDA_RUNTIME_API is set: past ttl the caller gets the new answer."""
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    service = await stage.known(refresh="auto")
    stage.world.register("shop/orders", "orders-2", {"A": "1"})
    stage.clock.tick(30)
    assert service.explain().state is Freshness.FALLBACK
    assert stage.ids(await service.resolve()) == ["orders-1", "orders-2"]


async def test_each_policy_has_its_own_answer_of_one_question_and_shares_its_calls(stage):
    """Two handles with different ttl ask together once, and then each lives by its own ttl."""
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


class Remembering:
    """A backend that notes the context it is called in."""

    def __init__(self, variable: contextvars.ContextVar[str]) -> None:
        self.variable = variable
        self.seen: list[str] = []

    async def discover(self, query: Query) -> Discovery:
        self.seen.append(self.variable.get("nothing"))
        return Discovery((Instance("a", query.service),))


async def test_a_fetch_inherits_no_context_of_its_caller(clock):
    """A refresh must not carry the request, the trace or the tenant of whoever happened to cause it."""
    variable = contextvars.ContextVar[str]("request")
    backend = Remembering(variable)
    token = variable.set("of some request")
    await CloudMap(backend=backend, clock=clock).service("shop/orders").resolve()
    variable.reset(token)
    assert backend.seen == ["nothing"]


class CountingClock(ManualClock):
    """Counts how often it is looked at."""

    looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        return super().monotonic()

    def time(self) -> float:
        self.looks += 1
        return super().time()


@pytest.mark.parametrize("state", ["fresh", "refreshing", "backing off"])
async def test_a_hit_looks_at_the_clock_once(stage, state):
    """Whatever the state, once it is decided: an answer in memory costs one clock reading, and nothing else of time."""
    clock = CountingClock()
    service = stage.cloud_map(clock=clock).service("shop/orders")
    await service.resolve()
    if state != "fresh":
        fault = stage.faults.hold() if state == "refreshing" else stage.faults.server_error()
        clock.tick(30)
        await service.resolve()
        await stage.settle()
    for call in (service.resolve, service.pick, lambda: service.attribute("QUEUE_URL")):
        before = clock.looks
        stage.at_once(call())
        assert clock.looks == before + 1
    before = clock.looks
    service.peek()
    assert clock.looks == before + 1
    if state != "fresh":
        fault.clear()
        await stage.settle()
