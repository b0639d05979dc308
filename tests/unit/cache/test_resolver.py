"""The resolver, with a backend whose calls the test answers: the life of a call, seen from outside."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from dataclasses import replace

import pytest

from aiocloudmap import (
    AnswerTruncated,
    AttributesQuery,
    CachePolicy,
    ClockJumped,
    ConnectError,
    DeadlineError,
    Discovery,
    Instance,
    Query,
    Refreshed,
    RefreshFailed,
    ServiceName,
    Snapshot,
    UnavailableError,
)
from aiocloudmap.cache.entry import LONG_AGO
from aiocloudmap.cache.rate_limiter import Rate
from aiocloudmap.cache.resolver import Resolver
from aiocloudmap.local import LocalBackend, World
from aiocloudmap.testing import ManualClock

ORDERS = Query(ServiceName("shop", "orders"))
CARTS = Query(ServiceName("shop", "carts"))
BACKGROUND, INLINE = CachePolicy(refresh="background"), CachePolicy(refresh="inline")
UNLIMITED = Rate(1000.0, 1000.0)


def resolver_of(make_backend, clock, emit=lambda event: None, **options):
    """A resolver with the backend that `make_backend` returns."""

    async def make():
        return make_backend()

    return Resolver(make, clock=clock, timeout=5.0, data_plane=UNLIMITED, control_plane=UNLIMITED, emit=emit, **options)


def found(name: str = "a", **fields) -> Discovery:
    """An answer of the backend, with one instance."""
    return Discovery((Instance(name, ORDERS.service),), **fields)


class Bench:
    """A resolver on a backend whose calls wait until the test answers them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.calls: list[asyncio.Future[Discovery]] = []
        self.resolver = resolver_of(lambda: self, self.clock)

    async def discover(self, query: Query) -> Discovery:
        call: asyncio.Future[Discovery] = asyncio.get_running_loop().create_future()
        self.calls.append(call)
        return await call

    def ask(self, query: Query = ORDERS, max_age: float | None = None, policy: CachePolicy = BACKGROUND):
        """A caller, in a task of its own."""
        entry = self.resolver.list_entry(self.resolver.find(query, policy))
        return asyncio.ensure_future(self.resolver.resolve(entry, max_age))

    def in_flight(self, query: Query = ORDERS) -> bool:
        """Whether a call is in flight, as handles report it."""
        return self.resolver.explain(self.resolver.find(query, BACKGROUND)).in_flight


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def bench() -> Bench:
    """A resolver without calls."""
    return Bench()


async def test_callers_of_one_question_get_the_same_answer(bench):
    """Ten callers share one call, and get the same object."""
    callers = [bench.ask() for _ in range(10)]
    await settle()
    assert len(bench.calls) == 1
    assert bench.in_flight()
    bench.calls[0].set_result(found())
    answers = await asyncio.gather(*callers)
    assert all(answer is answers[0] for answer in answers)
    assert not bench.in_flight()


async def test_another_question_is_another_call(bench):
    """Calls are shared only by callers of the same question."""
    callers = [bench.ask(ORDERS), bench.ask(CARTS)]
    await settle()
    assert len(bench.calls) == 2
    for call in bench.calls:
        call.set_result(found())
    await asyncio.gather(*callers)


async def test_cancelling_a_caller_disturbs_no_other(bench):
    """Each caller waits on a future of its own."""
    callers = [bench.ask() for _ in range(3)]
    await settle()
    callers[1].cancel()
    await settle()
    bench.calls[0].set_result(found())
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Snapshot, asyncio.CancelledError, Snapshot]


async def test_an_inline_call_ends_with_its_last_caller(bench):
    """It is cancelled and awaited before the caller's cancellation is raised. A background call goes on."""
    background, inline = bench.ask(ORDERS), bench.ask(CARTS, policy=INLINE)
    await settle()
    background.cancel(), inline.cancel()
    await asyncio.wait({background, inline})
    assert [call.cancelled() for call in bench.calls] == [False, True]
    assert bench.in_flight(ORDERS)
    assert not bench.in_flight(CARTS)
    bench.calls[0].set_result(found())
    await settle()


async def test_a_background_caller_keeps_an_inline_call_going(bench):
    """An inline caller may leave a call that a background caller has joined."""
    inline, background = bench.ask(policy=INLINE), bench.ask()
    await settle()
    inline.cancel(), background.cancel()
    await asyncio.wait({inline, background})
    assert bench.in_flight()
    bench.calls[0].set_result(found())
    await settle()


async def test_a_forced_call_starts_after_the_call_in_flight(bench):
    """Two calls for one question never run at the same time. Callers with a max_age share the next one."""
    early = bench.ask()
    await settle()
    late = [bench.ask(max_age=0) for _ in range(5)]
    await settle()
    assert len(bench.calls) == 1
    bench.calls[0].set_result(found("a"))
    await settle()
    assert len(bench.calls) == 2
    bench.calls[1].set_result(found("b"))
    assert (await early)[0].id == "a"
    assert [(await caller)[0].id for caller in late] == ["b"] * 5


async def test_a_call_that_has_not_begun_is_fresh_enough(bench):
    """Callers that come at the same time share one call, with or without a max_age."""
    callers = [bench.ask(), bench.ask(max_age=0)]
    await settle()
    bench.calls[0].set_result(found())
    await asyncio.gather(*callers)
    assert len(bench.calls) == 1


async def test_after_an_invalidation_callers_get_the_successor(bench):
    """The invalidated call still answers its own callers."""
    early = bench.ask()
    await settle()
    bench.resolver.invalidate(lambda query: query == ORDERS)
    late = bench.ask()
    await settle()
    bench.calls[0].set_result(found("a"))
    await settle()
    bench.calls[1].set_result(found("b"))
    assert [(await early)[0].id, (await late)[0].id] == ["a", "b"]


async def test_a_successor_that_all_callers_left_never_starts(bench):
    """The call in flight is not disturbed."""
    early = bench.ask(policy=INLINE)
    await settle()
    late = bench.ask(max_age=0, policy=INLINE)
    await settle()
    late.cancel()
    await settle()
    bench.calls[0].set_result(found())
    await early
    await settle()
    assert len(bench.calls) == 1


async def test_an_answer_is_written_before_its_call_is_removed(bench):
    """Otherwise a caller in between would make another call."""
    early = bench.ask()
    await settle()
    seen = []
    bench.resolver._emit = seen.append
    complete = bench.resolver._calls.complete
    entry = bench.resolver.find(ORDERS, BACKGROUND)

    def look(call, outcomes):
        seen.append((entry.answer is not None, call.is_current))
        return complete(call, outcomes)

    bench.resolver._calls.complete = look
    bench.calls[0].set_result(found())
    await early
    assert seen == [(True, True)]


async def test_asyncio_never_reports_an_error_without_a_caller(bench, caplog):
    """Outcomes are values, so no exception can be "never retrieved"."""
    caller = bench.ask()
    await settle()
    caller.cancel()
    await settle()
    bench.calls.pop().set_exception(ConnectError("refused"))
    await settle()
    gc.collect()
    assert caplog.records == []
    assert bench.resolver.explain(bench.resolver.find(ORDERS, BACKGROUND)).failures == 1


async def test_a_remembered_error_keeps_no_call_alive(bench):
    """A traceback keeps frames alive, and the frame of a call keeps its waiters alive."""
    caller = bench.ask()
    await settle()
    error = ConnectError("refused")
    bench.calls[0].set_exception(error)
    with pytest.raises(ConnectError):
        await caller
    remembered = bench.resolver.explain(bench.resolver.find(ORDERS, BACKGROUND)).last_error
    assert remembered is not None
    assert remembered.__traceback__ is None


async def test_an_unknown_error_of_a_backend_becomes_unavailable(bench):
    """With the unknown error as its cause, and with the service."""
    caller = bench.ask()
    await settle()
    unknown = KeyError("x")
    bench.calls[0].set_exception(unknown)
    with pytest.raises(UnavailableError, match="the backend failed with KeyError") as caught:
        await caller
    assert caught.value.__cause__ is unknown
    assert caught.value.service == "shop/orders"


async def test_the_deadline_ends_the_wait_and_cancels_the_call(bench):
    """Not before its time."""
    caller = bench.ask()
    await settle()
    bench.clock.tick(4.999)
    await settle()
    assert not caller.done()
    bench.clock.tick(0.001)
    with pytest.raises(DeadlineError, match="no answer within 5 s"):
        await caller
    await settle()
    assert bench.calls[0].cancelled()
    assert bench.clock.timers == 0
    assert bench.resolver.counts.failures == 1


async def test_a_call_cancelled_from_outside_is_not_a_failure(bench):
    """The loop cancels its tasks. Callers get an error, and no successor starts."""
    early = bench.ask()
    await settle()
    late = bench.ask(max_age=0)
    await settle()
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == "aiocloudmap shop/orders"]
    task.cancel()
    for caller in (early, late):
        with pytest.raises(UnavailableError, match="cancelled before it was answered"):
            await caller
    assert len(bench.calls) == 1
    assert bench.resolver.explain(bench.resolver.find(ORDERS, BACKGROUND)).failures == 0


def test_the_call_of_a_closed_loop_ends_without_a_trace(caplog):
    """A loop was closed during a call: the next one makes a call of its own, and ends the old one's task."""
    bench = Bench()

    async def begin():
        bench.ask()
        await settle()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    [pending] = [task for task in asyncio.all_tasks(loop) if task.get_name() == "aiocloudmap shop/orders"]
    [caller] = asyncio.all_tasks(loop) - {pending}
    loop.close()

    async def ask_again():
        answered = bench.ask()
        await settle()
        bench.calls[1].set_result(found("b"))
        return await answered

    assert asyncio.run(ask_again())[0].id == "b"
    assert bench.resolver._calls.calls() == []
    assert bench.resolver.counts.failures == 0
    bench.calls.clear()
    bench.clock._timers.clear()
    known, pending = weakref.ref(pending), None
    # The caller's own task is the program's: it cannot end either.
    caller._log_destroy_pending = False
    caller.get_coro().close()
    caller = None
    gc.collect()
    assert known() is None
    assert caplog.records == []


async def test_an_answer_is_older_after_a_freeze_during_its_call(bench):
    """It may have been given before the freeze."""
    caller = bench.ask()
    await settle()
    bench.clock.freeze(45)
    bench.calls[0].set_result(found())
    assert (await caller).age == 45


async def test_the_age_that_a_backend_reports_counts(bench):
    """An answer with a Discovery.age of 20 s has 10 s of its ttl left."""
    policy = replace(BACKGROUND, jitter=0.0)
    caller = bench.ask(policy=policy)
    await settle()
    bench.calls[0].set_result(found(age=20.0))
    assert (await caller).age == 20
    entry = bench.resolver.find(ORDERS, policy)
    assert (entry.serve_until, entry.hard) == (bench.clock.monotonic() + 10, bench.clock.monotonic() + 610)


async def test_making_the_backend_does_not_count_as_waiting():
    """In a small sandbox, importing the AWS libraries may take longer than the deadline allows."""
    clock = ManualClock()
    world = World(clock=clock)
    world.register("shop/orders", "orders-1", {})

    def make_slowly():
        clock.tick(60)
        return LocalBackend(world)

    resolver = resolver_of(make_slowly, clock)
    assert len(await resolver.resolve(resolver.list_entry(resolver.find(ORDERS, CachePolicy())))) == 1


@pytest.mark.parametrize("has_listener", [True, False])
@pytest.mark.parametrize("instances", [1, 1000])
async def test_a_success_makes_an_event_only_for_listeners(has_listener, instances):
    """A warning is made without listeners, too."""
    clock, events = ManualClock(), []
    world = World(clock=clock)
    for number in range(instances):
        world.register("shop/orders", f"orders-{number}", {})
    resolver = resolver_of(lambda: LocalBackend(world), clock, events.append, listeners=["one"] * has_listener)
    await resolver.resolve(resolver.list_entry(resolver.find(ORDERS, CachePolicy())))
    expected = [Refreshed] * has_listener + [AnswerTruncated] * (instances == 1000)
    assert [type(event) for event in events] == expected


async def test_a_call_cancelled_before_its_first_step_ends_at_once(bench):
    """Its task never runs, so nothing but the task's end can wake the caller."""
    caller = bench.ask()
    await asyncio.sleep(0)
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == "aiocloudmap shop/orders"]
    task.cancel()
    await settle()
    assert caller.done()
    with pytest.raises(UnavailableError, match="cancelled before it was answered"):
        await caller
    assert not bench.in_flight()
    assert bench.clock.timers == 0


async def test_events_are_reported_without_holding_the_lock(bench):
    """A listener may wait for another thread that reads the cache, even if a freeze is noticed at a time-out."""
    caller = bench.ask(policy=INLINE)
    await settle()
    bench.calls.pop().set_result(found())
    await caller
    bench.clock.tick(100)
    caller = bench.ask(policy=INLINE)
    await settle()
    blocked, events = [], []

    def listen(event):
        events.append(type(event))
        reader = threading.Thread(target=lambda: bench.resolver.usable_entries)
        reader.start()
        reader.join(1)
        blocked.append(reader.is_alive())

    bench.resolver._emit = listen
    bench.clock.freeze(45)
    bench.clock.tick(1)
    await settle()
    assert len(await caller) == 1
    assert events == [ClockJumped, RefreshFailed]
    assert blocked == [False, False]


async def test_a_resolver_that_was_shut_down_keeps_no_answer(bench):
    """A caller on another thread may come too late. A handle must not go on serving its answer."""
    entry = bench.resolver.find(ORDERS, BACKGROUND)
    bench.resolver.shut_down()
    caller = asyncio.ensure_future(bench.resolver.resolve(bench.resolver.list_entry(entry)))
    await settle()
    bench.calls[0].set_result(found())
    assert len(await caller) == 1
    assert entry.serve_until == LONG_AGO
    assert bench.resolver.usable_entries == 0


async def test_shutting_down_cancels_the_calls_in_flight(bench):
    """Their callers get an error at once."""
    callers = [bench.ask(ORDERS), bench.ask(CARTS)]
    await settle()
    bench.resolver.shut_down()
    await settle()
    assert all(call.cancelled() for call in bench.calls)
    for caller in callers:
        with pytest.raises(UnavailableError, match="cancelled before it was answered"):
            await caller


async def test_a_call_may_end_on_its_thread_while_another_shuts_down(bench):
    """The task of a call may become None between two reads."""
    caller = bench.ask()
    await settle()
    [call] = bench.resolver._calls.calls()
    reads = [call.task]

    class Ending:
        """A call whose task is None at the second read."""

        loop = call.loop
        task = property(lambda self: reads.pop() if reads else None)

    bench.resolver._calls.calls = lambda: [Ending()]
    bench.resolver._calls.invalidate = lambda matches: None
    bench.resolver.shut_down()
    with pytest.raises(UnavailableError):
        await caller


@pytest.mark.parametrize(
    "answer", [None, [], (), "x", found(age=-5.0), found(age=float("nan")), found(age=float("inf"))], ids=repr
)
async def test_what_is_not_a_discovery_is_named(bench, answer):
    """A backend of the program's own may return anything."""
    caller = bench.ask()
    await settle()
    bench.calls[0].set_result(answer)
    with pytest.raises(UnavailableError, match="invalid answer of the backend: expected a Discovery, not"):
        await caller


@pytest.mark.parametrize("raised", [pytest.fail.Exception, BaseException])
async def test_whatever_a_backend_raises_reaches_the_callers(bench, raised, caplog):
    """As the cause of a named error, also if it is not an Exception."""
    caller = bench.ask()
    await settle()
    bench.calls[0].set_exception(bug := raised("must not be asked"))
    with pytest.raises(UnavailableError, match="the backend failed with") as caught:
        await caller
    assert caught.value.__cause__ is bug
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def test_the_advice_for_a_full_queue_names_the_right_setting(bench):
    """The rate of the control plane is not a setting."""
    resolver = Resolver(
        None,
        backend=bench,
        clock=bench.clock,
        timeout=5.0,
        data_plane=Rate(1, 1),
        control_plane=Rate(1, 1, "advice of the control plane"),
        emit=lambda event: None,
    )
    bench.service_attributes = bench.discover
    advices = {Query: "max_calls_per_second", AttributesQuery: "of the control plane"}
    for number, (kind, advice) in enumerate(advices.items()):
        tasks = []
        for each in range(6):
            entry = resolver.list_entry(resolver.find(kind(ServiceName("shop", f"s-{number}-{each}")), BACKGROUND))
            tasks.append(asyncio.ensure_future(resolver.resolve(entry)))
        await settle()
        refused = [task.exception() for task in tasks if task.done()]
        assert refused
        assert all(advice in str(error) for error in refused)
        for task in tasks:
            task.cancel()
    resolver.shut_down()
    await settle()
