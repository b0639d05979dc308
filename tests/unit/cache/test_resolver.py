"""The resolver, with a backend whose calls the test answers: what a call's life looks like from outside."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from dataclasses import replace

import pytest

from aiocloudmap import (
    AnswerTruncated,
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
from aiocloudmap.cache.entry import NEVER
from aiocloudmap.cache.resolver import Rate, Resolver
from aiocloudmap.local import LocalBackend, World
from aiocloudmap.testing import ManualClock

ORDERS = Query(ServiceName("shop", "orders"))
CARTS = Query(ServiceName("shop", "carts"))
BACKGROUND, INLINE = CachePolicy(refresh="background"), CachePolicy(refresh="inline")
UNLIMITED = Rate(1000.0, 1000.0)


def resolver_of(make_backend, clock, emit=lambda event: None, **options):
    """A resolver on the backend that is made."""
    return Resolver(
        make_backend, clock=clock, timeout=5.0, data_plane=UNLIMITED, control_plane=UNLIMITED, emit=emit, **options
    )


def found(name: str = "a", **fields) -> Discovery:
    """What a call brings."""
    return Discovery((Instance(name, ORDERS.service),), **fields)


class Desk:
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
def desk() -> Desk:
    """A desk without calls."""
    return Desk()


async def test_callers_of_one_question_get_the_same_answer(desk):
    """Ten callers, one call, the same object for all."""
    callers = [desk.ask() for _ in range(10)]
    await settle()
    assert len(desk.calls) == 1
    assert desk.in_flight()
    desk.calls[0].set_result(found())
    answers = await asyncio.gather(*callers)
    assert all(answer is answers[0] for answer in answers)
    assert not desk.in_flight()


async def test_another_question_is_another_call(desk):
    """Two questions, two calls."""
    callers = [desk.ask(ORDERS), desk.ask(CARTS)]
    await settle()
    assert len(desk.calls) == 2
    for call in desk.calls:
        call.set_result(found())
    await asyncio.gather(*callers)


async def test_cancelling_a_caller_disturbs_no_other(desk):
    """Its future is its own."""
    callers = [desk.ask() for _ in range(3)]
    await settle()
    callers[1].cancel()
    await settle()
    desk.calls[0].set_result(found())
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Snapshot, asyncio.CancelledError, Snapshot]


async def test_an_inline_call_ends_with_its_last_caller(desk):
    """It is cancelled and awaited before the caller's cancellation is raised. A background call goes on."""
    background, inline = desk.ask(ORDERS), desk.ask(CARTS, policy=INLINE)
    await settle()
    background.cancel(), inline.cancel()
    await asyncio.wait({background, inline})
    assert [call.cancelled() for call in desk.calls] == [False, True]
    assert desk.in_flight(ORDERS)
    assert not desk.in_flight(CARTS)
    desk.calls[0].set_result(found())
    await settle()


async def test_a_background_caller_keeps_an_inline_call_going(desk):
    """An inline caller may leave a call that a background caller has joined."""
    inline, background = desk.ask(policy=INLINE), desk.ask()
    await settle()
    inline.cancel(), background.cancel()
    await asyncio.wait({inline, background})
    assert desk.in_flight()
    desk.calls[0].set_result(found())
    await settle()


async def test_a_fresh_answer_comes_from_a_successor_that_starts_after_the_first_call(desk):
    """Two calls for one question never run at once. Callers with a max_age share the next one."""
    early = desk.ask()
    await settle()
    late = [desk.ask(max_age=0) for _ in range(5)]
    await settle()
    assert len(desk.calls) == 1
    desk.calls[0].set_result(found("a"))
    await settle()
    assert len(desk.calls) == 2
    desk.calls[1].set_result(found("b"))
    assert (await early)[0].id == "a"
    assert [(await caller)[0].id for caller in late] == ["b"] * 5


async def test_a_call_that_has_not_begun_is_fresh_enough(desk):
    """Callers of the same moment share one call, with and without a max_age."""
    callers = [desk.ask(), desk.ask(max_age=0)]
    await settle()
    desk.calls[0].set_result(found())
    await asyncio.gather(*callers)
    assert len(desk.calls) == 1


async def test_after_an_invalidation_callers_get_the_successor(desk):
    """The invalidated call still answers its own callers."""
    early = desk.ask()
    await settle()
    desk.resolver.invalidate(lambda query: query == ORDERS)
    late = desk.ask()
    await settle()
    desk.calls[0].set_result(found("a"))
    await settle()
    desk.calls[1].set_result(found("b"))
    assert [(await early)[0].id, (await late)[0].id] == ["a", "b"]


async def test_a_successor_that_all_callers_left_never_starts(desk):
    """No call without a caller, and the first one is not disturbed."""
    early = desk.ask(policy=INLINE)
    await settle()
    late = desk.ask(max_age=0, policy=INLINE)
    await settle()
    late.cancel()
    await settle()
    desk.calls[0].set_result(found())
    await early
    await settle()
    assert len(desk.calls) == 1


async def test_an_answer_is_written_before_its_call_is_free(desk):
    """Otherwise a caller in between would make another call."""
    early = desk.ask()
    await settle()
    seen = []
    desk.resolver._emit = seen.append
    complete = desk.resolver._calls.complete
    entry = desk.resolver.find(ORDERS, BACKGROUND)

    def look(call, outcomes):
        seen.append((entry.answer is not None, call.is_current))
        return complete(call, outcomes)

    desk.resolver._calls.complete = look
    desk.calls[0].set_result(found())
    await early
    assert seen == [(True, True)]


async def test_an_error_without_a_caller_is_never_reported_by_asyncio(desk, caplog):
    """Outcomes are values, so no exception can be "never retrieved"."""
    caller = desk.ask()
    await settle()
    caller.cancel()
    await settle()
    desk.calls.pop().set_exception(ConnectError("refused"))
    await settle()
    gc.collect()
    assert caplog.records == []
    assert desk.resolver.explain(desk.resolver.find(ORDERS, BACKGROUND)).failures == 1


async def test_a_remembered_error_keeps_no_call_alive(desk):
    """A traceback holds frames, and the frame of a call its waiters."""
    caller = desk.ask()
    await settle()
    error = ConnectError("refused")
    desk.calls[0].set_exception(error)
    with pytest.raises(ConnectError):
        await caller
    remembered = desk.resolver.explain(desk.resolver.find(ORDERS, BACKGROUND)).last_error
    assert remembered is not None
    assert remembered.__traceback__ is None


async def test_an_unknown_error_becomes_a_named_one(desk):
    """With the unknown one as its cause, and the service."""
    caller = desk.ask()
    await settle()
    bug = KeyError("x")
    desk.calls[0].set_exception(bug)
    with pytest.raises(UnavailableError, match="the backend failed with KeyError") as caught:
        await caller
    assert caught.value.__cause__ is bug
    assert caught.value.service == "shop/orders"


async def test_the_deadline_ends_the_wait_and_cancels_the_call(desk):
    """At its time and not before."""
    caller = desk.ask()
    await settle()
    desk.clock.tick(4.999)
    await settle()
    assert not caller.done()
    desk.clock.tick(0.001)
    with pytest.raises(DeadlineError, match="no answer within 5 s"):
        await caller
    await settle()
    assert desk.calls[0].cancelled()
    assert desk.clock.timers == 0
    assert desk.resolver.counts.failures == 1


async def test_a_call_cancelled_from_outside_says_nothing_about_the_question(desk):
    """The loop cancels its tasks: callers get an error, no failure is remembered, and no successor starts."""
    early = desk.ask()
    await settle()
    late = desk.ask(max_age=0)
    await settle()
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == "aiocloudmap shop/orders"]
    task.cancel()
    for caller in (early, late):
        with pytest.raises(UnavailableError, match="cancelled with its event loop"):
            await caller
    assert len(desk.calls) == 1
    assert desk.resolver.explain(desk.resolver.find(ORDERS, BACKGROUND)).failures == 0


def test_the_call_of_a_closed_loop_is_never_completed():
    """A loop was closed during a call: the next one makes a call of its own, and the old task does nothing more."""
    desk = Desk()

    async def begin():
        desk.ask()
        await settle()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    [pending] = [task for task in asyncio.all_tasks(loop) if task.get_name() == "aiocloudmap shop/orders"]
    [caller] = asyncio.all_tasks(loop) - {pending}
    loop.close()

    async def ask_again():
        answered = desk.ask()
        await settle()
        desk.calls[1].set_result(found("b"))
        return await answered

    assert asyncio.run(ask_again())[0].id == "b"
    assert desk.resolver._calls.calls() == []
    refreshes = desk.resolver.counts.refreshes
    desk.calls.clear()
    desk.clock._timers.clear()
    known, pending = weakref.ref(pending), None
    gc.collect()
    assert known() is not None
    assert desk.resolver.counts.refreshes == refreshes
    # End both tasks, whose loop cannot.
    for task in (known(), caller):
        task._log_destroy_pending = False
        task.get_coro().close()


async def test_time_that_passed_unseen_makes_a_call_in_flight_older(desk):
    """The process was frozen during the call: its answer may be that much older."""
    caller = desk.ask()
    await settle()
    desk.clock.freeze(45)
    desk.calls[0].set_result(found())
    assert (await caller).age == 45


async def test_an_answer_that_was_old_already_is_that_much_older(desk):
    """Discovery.age counts: a backend that answers after 20 s from a store of its own leaves 10 s of the ttl."""
    policy = replace(BACKGROUND, jitter=0.0)
    caller = desk.ask(policy=policy)
    await settle()
    desk.calls[0].set_result(found(age=20.0))
    assert (await caller).age == 20
    entry = desk.resolver.find(ORDERS, policy)
    assert (entry.serve_until, entry.hard) == (desk.clock.monotonic() + 10, desk.clock.monotonic() + 610)


async def test_the_deadline_of_the_first_question_begins_when_the_backend_is_made():
    """Importing AWS's libraries may take longer in a small sandbox than one question may."""
    clock = ManualClock()
    world = World(clock=clock)
    world.register("shop/orders", "orders-1", {})

    def make_slowly():
        clock.tick(60)
        return LocalBackend(world)

    resolver = resolver_of(make_slowly, clock)
    assert len(await resolver.resolve(resolver.list_entry(resolver.find(ORDERS, CachePolicy())))) == 1


@pytest.mark.parametrize("is_heard", [True, False])
@pytest.mark.parametrize("instances", [1, 1000])
async def test_a_success_makes_no_event_unless_it_is_heard_but_warnings_do(is_heard, instances):
    """An event costs a tenth of all else that is done about an answer."""
    clock, events = ManualClock(), []
    world = World(clock=clock)
    for number in range(instances):
        world.register("shop/orders", f"orders-{number}", {})
    resolver = resolver_of(lambda: LocalBackend(world), clock, events.append, listeners=["one"] * is_heard)
    await resolver.resolve(resolver.list_entry(resolver.find(ORDERS, CachePolicy())))
    expected = [Refreshed] * is_heard + [AnswerTruncated] * (instances == 1000)
    assert [type(event) for event in events] == expected


async def test_a_call_cancelled_before_its_first_step_ends_at_once(desk):
    """Its task never runs, so nothing but the task's end can wake the caller."""
    caller = desk.ask()
    await asyncio.sleep(0)
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == "aiocloudmap shop/orders"]
    task.cancel()
    await settle()
    assert caller.done()
    with pytest.raises(UnavailableError, match="cancelled with its event loop"):
        await caller
    assert not desk.in_flight()
    assert desk.clock.timers == 0


async def test_events_are_reported_without_holding_the_lock(desk):
    """A listener may wait for another thread that reads the cache, even if a freeze is noticed at a time-out."""
    caller = desk.ask(policy=INLINE)
    await settle()
    desk.calls.pop().set_result(found())
    await caller
    desk.clock.tick(100)
    caller = desk.ask(policy=INLINE)
    await settle()
    blocked, events = [], []

    def listen(event):
        events.append(type(event))
        reader = threading.Thread(target=lambda: desk.resolver.usable_entries)
        reader.start()
        reader.join(1)
        blocked.append(reader.is_alive())

    desk.resolver._emit = listen
    desk.clock.freeze(45)
    desk.clock.tick(1)
    await settle()
    assert len(await caller) == 1
    assert events == [ClockJumped, RefreshFailed]
    assert blocked == [False, False]


async def test_a_resolver_that_was_shut_down_keeps_no_answer(desk):
    """A caller on another thread may come too late. A handle must not go on serving its answer."""
    entry = desk.resolver.find(ORDERS, BACKGROUND)
    desk.resolver.shut_down()
    caller = asyncio.ensure_future(desk.resolver.resolve(desk.resolver.list_entry(entry)))
    await settle()
    desk.calls[0].set_result(found())
    assert len(await caller) == 1
    assert entry.serve_until == NEVER
    assert desk.resolver.usable_entries == 0


async def test_shutting_down_cancels_the_calls_in_flight(desk):
    """Their callers get an error at once."""
    callers = [desk.ask(ORDERS), desk.ask(CARTS)]
    await settle()
    desk.resolver.shut_down()
    await settle()
    assert all(call.cancelled() for call in desk.calls)
    for caller in callers:
        with pytest.raises(UnavailableError, match="cancelled with its event loop"):
            await caller


async def test_a_call_may_end_on_its_thread_while_another_shuts_down(desk):
    """Its task is gone from one look to the next."""
    caller = desk.ask()
    await settle()
    [call] = desk.resolver._calls.calls()
    looks = [call.task]

    class Ending:
        """The call, whose task is gone after one look."""

        loop = call.loop
        task = property(lambda self: looks.pop() if looks else None)

    desk.resolver._calls.calls = lambda: [Ending()]
    desk.resolver._calls.invalidate = lambda matches: None
    desk.resolver.shut_down()
    with pytest.raises(UnavailableError):
        await caller
