"""Flights: one call a question and loop, futures of the waiters' own, and a slot that only its flight frees."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from aiocloudmap import (
    CachePolicy,
    ConnectError,
    DeadlineError,
    Instance,
    Query,
    ServiceName,
    Snapshot,
    UnavailableError,
)
from aiocloudmap.cache.entry import Cell
from aiocloudmap.cache.singleflight import Flight, Flights, Outcome, Waiter
from aiocloudmap.testing import ManualClock

ORDERS = Query(ServiceName("shop", "orders"))
CARTS = Query(ServiceName("shop", "carts"))


def answer(flight: Flight, name: str = "a") -> Snapshot:
    """What a call brings."""
    service = flight.query.service
    return Snapshot(service, [Instance(name, service)])


class Tower:
    """Sends flights off, keeps what they brought, and tells the waiters."""

    def __init__(self, timeout: float = 5.0) -> None:
        self.clock = ManualClock()
        self.flights = Flights(lambda now: now, self.turn, self.fetch, self.land, clock=self.clock, timeout=timeout)
        self.held: asyncio.Future[None] | None = None
        self.calls: list[asyncio.Future[Snapshot]] = []
        self.landed: list[tuple[Flight, Outcome]] = []
        self.slot_was_taken: list[bool] = []

    async def turn(self, flight: Flight) -> None:
        if self.held is not None:
            await self.held

    async def fetch(self, flight: Flight) -> Snapshot:
        call: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()
        self.calls.append(call)
        return await call

    def land(self, flight: Flight, outcome: Outcome) -> None:
        self.landed.append((flight, outcome))
        self.slot_was_taken.append(flight.is_current)
        for waiter in list(flight.waiters):
            waiter.tell(outcome)

    def ask(self, query: Query = ORDERS, *, keep: bool = True, fresh: bool = False, patience: float | None = None):
        """A caller: aboard, launched, waiting."""
        cell = Cell(query, CachePolicy())
        flight = self.flights.board(cell, keep=keep, fresh=fresh)
        waiter = Waiter(flight, cell, None, patience)
        flight.waiters.add(waiter)
        self.flights.launch(flight)
        return waiter


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def tower() -> Tower:
    """Flights whose calls the test answers."""
    return Tower()


async def test_callers_of_one_question_share_a_flight(tower):
    """Ten callers, one call, ten answers: the same object for all."""
    waiters = [tower.ask() for _ in range(10)]
    await settle()
    assert len(tower.calls) == 1
    assert tower.flights.under_way(ORDERS)
    snapshot = answer(waiters[0].flight)
    tower.calls[0].set_result(snapshot)
    outcomes = await asyncio.gather(*(waiter.outcome(tower.clock) for waiter in waiters))
    assert all(outcome is snapshot for outcome in outcomes)
    assert not tower.flights.under_way(ORDERS)


async def test_another_question_is_another_flight(tower):
    """Two questions, two calls."""
    one, two = tower.ask(ORDERS), tower.ask(CARTS)
    await settle()
    assert one.flight is not two.flight
    for call, waiter in zip(tower.calls, (one, two), strict=True):
        call.set_result(answer(waiter.flight))
    await settle()
    assert len(tower.landed) == 2


async def test_cancelling_a_waiter_touches_nobody_else(tower):
    """Its future is its own."""
    waiters = [tower.ask() for _ in range(3)]
    tasks = [asyncio.ensure_future(waiter.outcome(tower.clock)) for waiter in waiters]
    await settle()
    tasks[1].cancel()
    await settle()
    tower.calls[0].set_result(answer(waiters[0].flight))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Snapshot, asyncio.CancelledError, Snapshot]


async def test_a_flight_that_nobody_needs_is_cancelled_unless_it_is_kept(tower):
    """leave() gives the task of the last waiter's flight back, to be awaited; a kept one goes on."""
    kept, dropped = tower.ask(ORDERS, keep=True), tower.ask(CARTS, keep=False)
    other = tower.ask(CARTS, keep=False)
    await settle()
    assert tower.flights.leave(kept) is None
    assert tower.flights.leave(other) is None
    task = tower.flights.leave(dropped)
    await asyncio.wait({task})
    assert task.cancelled()
    assert not tower.flights.under_way(CARTS)
    assert tower.landed == [(dropped.flight, None)]
    assert tower.flights.under_way(ORDERS)
    tower.calls[0].set_result(answer(kept.flight))
    await settle()


async def test_one_who_wants_it_kept_is_enough(tower):
    """An inline caller may leave a flight that a background caller has joined."""
    inline = tower.ask(keep=False)
    background = tower.ask(keep=True)
    await settle()
    assert tower.flights.leave(inline) is None
    assert tower.flights.leave(background) is None
    assert tower.flights.under_way(ORDERS)
    tower.calls[0].set_result(answer(inline.flight))
    await settle()


async def test_who_wants_it_fresh_gets_a_successor_that_begins_when_the_first_has_ended(tower):
    """Never two calls of one question under way; all who want it fresh meanwhile share the next one."""
    early = tower.ask()
    await settle()
    late = [tower.ask(fresh=True) for _ in range(5)]
    await settle()
    assert len(tower.calls) == 1
    assert {waiter.flight for waiter in late} == {early.flight.successor}
    tower.calls[0].set_result(answer(early.flight))
    await settle()
    assert len(tower.calls) == 2
    assert late[0].flight.is_current
    tower.calls[1].set_result(answer(late[0].flight, "b"))
    assert [(await waiter.outcome(tower.clock))[0].id for waiter in late] == ["b"] * 5


async def test_a_flight_that_has_not_begun_is_fresh_enough(tower):
    """Until the task's first step, whoever comes still counts as having come before."""
    early, late = tower.ask(), tower.ask(fresh=True)
    assert early.flight is late.flight
    await settle()
    tower.calls[0].set_result(answer(early.flight))
    await settle()


async def test_a_barred_flight_is_joined_by_nobody(tower):
    """After an invalidation callers get the successor, and the barred one still answers its own."""
    early = tower.ask()
    await settle()
    tower.flights.bar(lambda query: query == ORDERS)
    late = tower.ask()
    assert early.flight.barred
    assert late.flight is early.flight.successor
    assert not late.flight.barred
    tower.calls[0].set_result(answer(early.flight))
    await settle()
    tower.calls[1].set_result(answer(late.flight, "b"))
    assert (await early.outcome(tower.clock))[0].id == "a"
    assert (await late.outcome(tower.clock))[0].id == "b"


async def test_a_successor_that_everybody_left_never_begins(tower):
    """No call for nobody; the first flight is not disturbed."""
    early = tower.ask()
    await settle()
    late = tower.ask(keep=False, fresh=True)
    assert tower.flights.leave(late) is None
    tower.calls[0].set_result(answer(early.flight))
    await settle()
    assert len(tower.calls) == 1
    assert not tower.flights.under_way(ORDERS)


async def test_the_outcome_is_landed_before_the_slot_is_free(tower):
    """Or else somebody would ask again between the two."""
    waiter = tower.ask()
    await settle()
    tower.calls[0].set_result(answer(waiter.flight))
    await settle()
    assert tower.slot_was_taken == [True]


async def test_an_error_is_an_outcome_and_not_an_exception_of_a_task(tower):
    """Nothing can be "never retrieved", even where nobody waits."""
    waiter = tower.ask()
    await settle()
    tower.flights.leave(waiter)
    error = ConnectError("refused")
    tower.calls[0].set_exception(error)
    await settle()
    assert tower.landed == [(waiter.flight, error)]


async def test_an_error_that_is_remembered_keeps_no_flight_alive(tower):
    """A traceback holds frames, and the frame of a flight all who waited for it."""
    waiter = tower.ask()
    await settle()
    error = ConnectError("refused")
    tower.calls[0].set_exception(error)
    assert await waiter.outcome(tower.clock) is error
    assert error.__traceback__ is None


async def test_an_unknown_error_becomes_a_named_one(tower):
    """With the unknown one as its cause, and the service."""
    waiter = tower.ask()
    await settle()
    bug = KeyError("x")
    tower.calls[0].set_exception(bug)
    outcome = await waiter.outcome(tower.clock)
    assert type(outcome) is UnavailableError
    assert outcome.__cause__ is bug
    assert outcome.service == str(ORDERS.service)


async def test_the_deadline_lands_the_flight_and_cancels_the_call(tower):
    """At its time and not before; what the call brings later is not landed again."""
    waiter = tower.ask()
    await settle()
    tower.clock.tick(4.999)
    assert tower.landed == []
    tower.clock.tick(0.001)
    [(_, outcome)] = tower.landed
    assert isinstance(outcome, DeadlineError)
    assert await waiter.outcome(tower.clock) is outcome
    await settle()
    assert tower.calls[0].cancelled()
    assert len(tower.landed) == 1
    assert tower.clock.timers == 0


async def test_a_waiter_without_patience_is_told_nothing(tower):
    """None after its time; the flight goes on."""
    waiter = tower.ask(patience=1.0)
    waiting = asyncio.ensure_future(waiter.outcome(tower.clock))
    await settle()
    tower.clock.tick(1.0)
    assert await waiting is None
    assert tower.flights.under_way(ORDERS)
    tower.calls[0].set_result(answer(waiter.flight))
    await settle()
    assert tower.clock.timers == 0


async def test_a_call_that_is_cancelled_from_outside_tells_nothing_about_the_question(tower):
    """Its loop cancels its tasks: waiters are told None, and the successor is not begun."""
    early = tower.ask()
    await settle()
    late = tower.ask(fresh=True)
    early.flight.task.cancel()
    await settle()
    assert [(flight, outcome) for flight, outcome in tower.landed] == [(early.flight, None), (late.flight, None)]
    assert len(tower.calls) == 1
    assert not tower.flights.under_way(ORDERS)


def test_a_flight_whose_loop_was_closed_counts_as_none():
    """A loop died in the middle of a call: the next one asks anew, and the dead one's flight is swept away."""
    tower = Tower()

    async def begin():
        tower.ask()
        await settle()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    [pending] = asyncio.all_tasks(loop)
    loop.close()

    async def again():
        waiter = tower.ask()
        await settle()
        tower.calls[1].set_result(answer(waiter.flight))
        return await waiter.outcome(tower.clock)

    assert asyncio.run(again())[0].id == "a"
    assert len(tower.flights._current) == 0
    # What it was about to do is not done now, in the middle of somebody else's call.
    flights = [flight for flight, _ in tower.landed]
    tower.calls.clear()
    tower.clock._timers.clear()
    known, pending = weakref.ref(pending), None
    gc.collect()
    assert known() is not None
    assert [flight for flight, _ in tower.landed] == flights
    assert len(flights) == 1
    # Ends the task, whose loop cannot any more.
    pending = known()
    pending._log_destroy_pending = False
    pending.get_coro().close()


async def test_loops_have_flights_of_their_own(tower):
    """What runs on one event loop is not joined from another."""
    waiter = tower.ask()
    await settle()

    async def elsewhere():
        assert not tower.flights.under_way(ORDERS)
        other = tower.ask()
        await settle()
        tower.calls[1].set_result(answer(other.flight, "elsewhere"))
        return await other.outcome(tower.clock)

    assert (await asyncio.to_thread(lambda: asyncio.run(elsewhere())))[0].id == "elsewhere"
    tower.calls[0].set_result(answer(waiter.flight))
    assert (await waiter.outcome(tower.clock))[0].id == "a"


def test_without_a_loop_nothing_is_under_way(tower):
    """Asking is no error."""
    assert tower.flights.under_way(ORDERS) is False


async def test_time_that_passed_unseen_is_noted_by_what_is_under_way(tower):
    """What it brings may be that much older."""
    waiter = tower.ask()
    await settle()
    tower.flights.age(45)
    assert waiter.flight.aged == 45
    tower.calls[0].set_result(answer(waiter.flight))
    await settle()
    assert tower.ask().flight.aged == 0
    await settle()
    tower.calls[1].set_result(answer(waiter.flight))
    await settle()


async def test_the_repr_shows_where_a_flight_is(tower):
    """Waiting, launched, landed, and for how many."""
    early = tower.ask()
    await settle()
    late = tower.ask(fresh=True)
    assert repr(early.flight) == "<Flight shop/orders launched, 1 waiting>"
    assert repr(late.flight) == "<Flight shop/orders waiting, 1 waiting>"
    tower.calls[0].set_result(answer(early.flight))
    await settle()
    assert repr(early.flight) == "<Flight shop/orders landed, 0 waiting>"
    tower.calls[1].set_result(answer(late.flight))
    await settle()
