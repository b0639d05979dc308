"""A reference model of freshness: what each caller gets, and which calls are made, said as plainly as possible.

| the answer is | the caller gets | what else happens |
|---|---|---|
| fresh | it, at once | nothing |
| stale | it, at once | one refresh in the background |
| fallback | the new one, or the old one if that fails or takes over soft_timeout | the refresh goes on |
| absent | the new one, or the error | the error stands for negative_ttl, or for the backoff |

Nothing is asked before the backoff, nor faster than the pace (`pace_model`). It has no tasks,
no locks and no clock of its own: time, dice and the order of steps are told. A lane stands for an event loop, its queue
for what the loop has to do next.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from typing import Any

from tests.properties.freshness_words import (
    NEVER,
    TIMEOUT,
    Answer,
    Caller,
    Cell,
    Error,
    Flight,
    Timer,
    Truth,
    Turn,
    grained,
)
from tests.properties.pace_model import Pace, backoff

from aiocloudmap import (
    CachePolicy,
    ConfigurationError,
    DeadlineError,
    Freshness,
    NotFoundError,
    Query,
    ThrottledError,
    UnavailableError,
)


def is_error(truth: Truth, *kinds: Error) -> bool:
    """Whether a call ended in one of these errors."""
    return isinstance(truth, type) and issubclass(truth, kinds)


class Model:
    """All cells, flights and callers of one engine."""

    def __init__(self, now: float, ceiling: float) -> None:
        self.now = now
        self.pace = Pace(ceiling)
        self.dice = 0.0
        self.skew = self.seen_skew = 0.0
        """By how much the wall clock ran ahead, and how much of it has been noticed."""
        self.cells: dict[tuple[Query, CachePolicy], Cell] = {}
        self.flights: dict[tuple[int, Query], Flight] = {}
        self.queues: defaultdict[int, deque[tuple[Any, ...]]] = defaultdict(deque)
        self.timers: list[Timer] = []
        self.events: list[tuple[Any, ...]] = []
        self.misses = self.coalesced = self.failures = self.throttled = 0
        self._order = itertools.count()

    # -- what is done to it ----------------------------------------------------------------------------------------

    def ask(self, caller: Caller) -> None:
        """A caller comes."""
        self.queues[caller.lane].append((self._come, caller))

    def cancel(self, caller: Caller) -> None:
        """A caller is cancelled: at once deaf, gone when its lane runs."""
        caller.cancelled = True
        if caller.outcome is not None:  # told, and its task has not run yet
            caller.outcome = "cancelled"
        elif not caller.told and caller.asked > NEVER:
            self.queues[caller.lane].append((self._go, caller))
        caller.told = True

    def answer(self, flight: Flight, truth: Truth) -> None:
        """The upstream answers a call."""
        self.queues[flight.lane].append((self._land, flight, truth))

    def run(self, lane: int) -> None:
        """The lane does everything that it has to do."""
        while queue := self.queues.pop(lane, None):  # a turn of the loop; what it orders is for the next one
            for step, *arguments in queue:
                step(*arguments)

    def pass_time(self, seconds: float) -> None:
        """Time passes; what falls due happens in order, each at its own time."""
        end = self.now + seconds
        while due := sorted((t for t in self.timers if t.live and t.due <= end), key=lambda t: (t.due, t.order)):
            timer = due[0]
            self.timers = [t for t in self.timers if t.live and t is not timer]
            self.now = max(self.now, timer.due)
            if isinstance(timer.of, Flight):
                self._land(timer.of, DeadlineError)
            elif isinstance(timer.of, Turn):
                self.queues[timer.of.lane].append((self._take_turn, timer.of.flight))
            else:
                timer.of.told = True
                self.queues[timer.of.lane].append((self._run_out, timer.of))
        self.now = end

    def invalidate(self, *, query: Query | None = None, service: object = None) -> int:
        """Answers count as expired, and calls under way write nothing."""

        def meant(other: Query) -> bool:
            return (query is None or other == query) and (service is None or other.service == service)

        cells = [cell for cell in self.cells.values() if meant(cell.query)]
        known = sum(cell.good(self.now) is not None for cell in cells)
        for cell in cells:
            cell.expire()
        for flight in self.flights.values():
            flight.barred |= meant(flight.query)
        return known

    def clear(self) -> int:
        """Everything is forgotten."""
        known = self.entries
        for cell in self.cells.values():
            cell.expire()
            cell.listed, cell.hard, cell.written = False, NEVER, NEVER
        self.cells.clear()
        for flight in self.flights.values():
            flight.barred = True
        return known

    def lose_lane(self, lane: int) -> None:
        """Its loop is closed in the middle of everything: nobody there is told, no call there counts."""
        self.queues.pop(lane, None)
        self.flights = {key: flight for key, flight in self.flights.items() if key[0] != lane}
        self.timers = [timer for timer in self.timers if timer.of.lane != lane]

    def end_lane(self, lane: int, callers: list[Caller], *, callers_first: bool) -> None:
        """All its tasks are cancelled, and its loop is closed."""
        flights = [flight for key, flight in self.flights.items() if key[0] == lane]
        for caller in callers:
            caller.told = caller.cancelled = True
        steps: list[tuple[Any, ...]] = [(self._go, caller) for caller in callers]
        downs: list[tuple[Any, ...]] = [(self._go_down, flight) for flight in flights]
        self.queues[lane].extend(steps + downs if callers_first else downs + steps)
        self.run(lane)
        for flight in [flight for key, flight in self.flights.items() if key[0] == lane]:
            self._go_down(flight)

    # -- what a caller gets ----------------------------------------------------------------------------------------

    def _come(self, caller: Caller) -> None:
        if caller.cancelled:
            caller.outcome = "cancelled"
            return
        caller.asked = self.now
        key = (caller.query, caller.policy)
        listed = self.cells.get(key)
        if caller.max_age is None and listed is not None and self.now < listed.quiet:
            self._tell(caller, listed.answer)
            return
        cell = caller.cell = self.cells.setdefault(key, caller.held or Cell(*key))
        cell.listed = True
        self._notice_jump()
        self._decide(caller, cell, cell.good(self.now))

    def _decide(self, caller: Caller, cell: Cell, good: Answer | None) -> None:
        now, state = self.now, cell.state(self.now)
        barrier = max(cell.retry_at, self.pace.closed_until)
        at_once = state in (Freshness.FRESH, Freshness.STALE)
        picky = caller.max_age is not None and not (at_once and cell.young(caller.max_age, now))
        if picky or good is None:
            if now < (self.pace.closed_until if picky else barrier):
                self._decline(caller, cell)
            else:
                self._join(caller, cell)
        elif state is Freshness.FRESH and cell.doubted == NEVER:
            cell.quiet = cell.soft
            self._tell(caller, good)
        elif now < barrier:
            cell.quiet = min(max(cell.retry_at, self.pace.again(self.now, self.dice)), cell.hard)
            self._tell(caller, good)
        elif cell.error is ConfigurationError or (cell.policy.inline and caller.max_age is not None):
            self._join(caller, cell)
        elif state is Freshness.FALLBACK or cell.policy.inline:
            self._join_for_a_while(caller, cell, good)
        else:
            flight = self._flight(caller.lane, cell, keep=True)
            cell.quiet = min(now + TIMEOUT, max(cell.stale, cell.soft))
            self._tell(caller, good)
            self._launch(flight)

    def _decline(self, caller: Caller, cell: Cell) -> None:
        """Nobody asks now."""
        if caller.max_age is not None and cell.young(caller.max_age, self.now):
            self._tell(caller, cell.good(self.now))
            return
        error = cell.error if self.now < cell.retry_at else None
        if caller.max_age is not None and is_error(error, NotFoundError):
            error = None  # that it was not there is older than what is asked for
        self._tell(caller, error or ThrottledError)

    def _join(self, caller: Caller, cell: Cell) -> None:
        flight = self._flight(caller.lane, cell, keep=not cell.policy.inline, fresh=caller.max_age is not None)
        flight.truthful |= caller.max_age == 0
        self._wait(caller, flight, None if self._is_current(flight) else TIMEOUT)

    def _join_for_a_while(self, caller: Caller, cell: Cell, good: Answer) -> None:
        if cell.policy.inline and cell.policy.soft_timeout == 0:
            cell.quiet = cell.hard
            self._tell(caller, good)
            return
        flight = self._flight(caller.lane, cell, keep=not cell.policy.inline)
        begun = flight.started if flight.launched else self.now
        patience = min(begun + cell.policy.soft_timeout - self.now, TIMEOUT)
        if patience > 0:
            self._wait(caller, flight, patience)
        else:
            cell.quiet = min(begun + TIMEOUT, cell.hard)
            self._tell(caller, good)
            self._launch(flight)

    def _wait(self, caller: Caller, flight: Flight, patience: float | None) -> None:
        self.misses += 1
        self.coalesced += flight.launched or bool(flight.callers)
        flight.callers.append(caller)
        caller.flight = flight
        self._launch(flight)
        if patience is not None:
            self.timers.append(Timer(self.now + patience, next(self._order), caller))

    def _run_out(self, caller: Caller) -> None:
        """It has waited long enough."""
        if caller.cancelled:
            self._go(caller)
            return
        flight, cell = caller.flight, caller.cell
        assert flight is not None
        assert cell is not None
        abandoned = self._leave(caller)
        good = cell.good(self.now) if cell.young(caller.max_age, self.now) else None
        if abandoned:
            self.failures += 1
            if flight.may_write(cell):
                self._fail(cell, DeadlineError)
        elif good is not None and caller.max_age is None and flight.may_write(cell) and not flight.landed:
            begun = flight.started if flight.launched else self.now
            cell.quiet = min(begun + TIMEOUT, cell.hard)
        self._tell(caller, DeadlineError if good is None else good)

    def _go(self, caller: Caller) -> None:
        if caller.flight is not None:
            self._leave(caller)
        caller.outcome = "cancelled"

    def _tell(self, caller: Caller, outcome: Answer | Error | None) -> None:
        assert outcome is not None
        caller.told, caller.outcome, caller.told_at = True, outcome, self.now
        caller.waits = frozenset({self.retry_after(caller)})

    def retry_after(self, caller: Caller) -> float | None:
        """What the caller's error has to say, if it says it now."""
        wait = max(caller.cell.retry_at if caller.cell else NEVER, self.pace.closed_until) - self.now
        return wait if wait > 0 else None

    # -- when calls may be made ------------------------------------------------------------------------------------

    def _begin(self, flight: Flight) -> None:
        if flight.landed:
            return
        if (wait := flight.turn - self.now) > 0:
            self.timers.append(Timer(self.now + grained(wait), next(self._order), Turn(flight)))
        else:
            self._call(flight)

    def _take_turn(self, flight: Flight) -> None:
        if not flight.landed:
            flight.started = self.now
            self._call(flight)

    def _call(self, flight: Flight) -> None:
        if self.now < self.pace.floor:
            self._land(flight, ThrottledError)
        else:
            flight.begun = True

    # -- which calls are made --------------------------------------------------------------------------------------

    def _is_current(self, flight: Flight) -> bool:
        return self.flights.get((flight.lane, flight.query)) is flight

    def _flight(self, lane: int, cell: Cell, *, keep: bool, fresh: bool = False) -> Flight:
        key = (lane, cell.query)
        flight = self.flights.get(key)
        if flight is None:
            flight = self.flights[key] = Flight(*key)
        elif flight.barred or (fresh and flight.begun):
            flight.successor = flight = flight.successor or Flight(*key)
        if cell not in flight.cells:
            flight.cells.append(cell)
        flight.keep |= keep
        return flight

    def _launch(self, flight: Flight) -> None:
        if not flight.launched and not flight.landed and self._is_current(flight):
            flight.launched, flight.started = True, self.now
            flight.turn = self.now + (0.0 if self.now < self.pace.floor else self.pace.take(self.now))
            self.timers.append(Timer(self.now + TIMEOUT, next(self._order), flight))
            self.queues[flight.lane].append((self._begin, flight))

    def _leave(self, caller: Caller) -> bool:
        """Tells whether the call is given up with its last caller."""
        flight = caller.flight
        assert flight is not None
        flight.callers.remove(caller)
        if flight.callers or flight.keep or flight.landed:
            return False
        if not flight.launched:
            current = self.flights[flight.lane, flight.query]
            current.successor = None
            return False
        self._land(flight, None)
        return True

    def _go_down(self, flight: Flight) -> None:
        self._land(flight, None, going_down=True)

    def _free(self, flight: Flight, *, going_down: bool) -> None:
        key = (flight.lane, flight.query)
        if self.flights.get(key) is not flight:
            return
        del self.flights[key]
        successor = flight.successor
        if successor is not None and going_down:
            self._land(successor, None)
        elif successor is not None:
            self.flights[key] = successor
            self._launch(successor)

    # -- what a call brings ----------------------------------------------------------------------------------------

    def _land(self, flight: Flight, truth: Truth, *, going_down: bool = False) -> None:
        if flight.landed:
            return
        flight.landed = True
        self._notice_jump()
        if truth is None or (is_error(truth, ThrottledError) and not flight.begun):  # nothing was asked
            truth = truth or UnavailableError
            verdicts = {cell: cell.good(self.now) or truth for cell in flight.cells}
            for cell in flight.cells:
                cell.quiet = cell.soft
        else:
            self._count(flight, truth)
            verdicts = {cell: self._settle(cell, flight, truth) for cell in flight.cells}
        for caller in [caller for caller in flight.callers if not caller.told]:
            cell = caller.cell
            assert cell is not None
            if caller.max_age is None:
                self._tell(caller, verdicts[cell])
            elif not isinstance(truth, Answer) and not is_error(truth, NotFoundError, ConfigurationError):
                self._tell(caller, cell.answer if cell.young(caller.max_age, self.now) else truth)
            else:
                self._tell(caller, truth)
        self._free(flight, going_down=going_down)

    def _count(self, flight: Flight, truth: Answer | Error) -> None:
        if isinstance(truth, Answer):
            self.events.append(("Refreshed", flight.query, truth.count, self.now - flight.started))
            if truth.count >= 1000:
                self.events.append(("AnswerTruncated", flight.query, truth.count))
        if isinstance(truth, Answer) or is_error(truth, NotFoundError):
            self.pace.succeed(flight.started, self.now)
            return
        self.failures += 1
        if is_error(truth, ThrottledError):
            self.throttled += 1
            if (wait := self.pace.throttle(self.now, self.dice)) is not None:
                self.events.append(("Throttled", wait))

    def _settle(self, cell: Cell, flight: Flight, truth: Answer | Error) -> Answer | Error:
        """What is written, and what those get who wait for this cell."""
        nothing = is_error(truth, NotFoundError) or (isinstance(truth, Answer) and truth.count == 0)
        if not flight.may_write(cell):
            final = isinstance(truth, Answer) or is_error(truth, NotFoundError, ConfigurationError)
            return truth if final else cell.good(self.now) or truth
        if nothing and not flight.truthful and cell.good(self.now) and self.now < cell.doubt_ends(self.now):
            return self._doubt(cell)
        if isinstance(truth, Answer):
            cell.write(truth, self.now - flight.aged, flight.started, self.dice)
        elif is_error(truth, NotFoundError):
            cell.expire()
            cell.hard = NEVER
            cell.error, cell.retry_at, cell.began = truth, self.now + cell.policy.negative_ttl, flight.started
        elif is_error(truth, ConfigurationError):
            cell.error, cell.retry_at, cell.quiet = truth, NEVER, cell.soft
        else:
            self._fail(cell, truth)
            return cell.good(self.now) or truth
        return truth

    def _doubt(self, cell: Cell) -> Answer:
        good, end = cell.good(self.now), cell.doubt_ends(self.now)
        assert good is not None
        if cell.doubted == NEVER:
            cell.doubted = self.now
        cell.error, cell.failures, cell.retry_at = None, 0, NEVER
        cell.quiet = min(end, self.now + cell.policy.negative_ttl)
        self.events.append(("EmptyAnswerHeld", cell.query, good.count, end - self.now))
        return good

    def _fail(self, cell: Cell, error: Error) -> None:
        cell.failures += 1
        wait = max(backoff(cell.failures, self.dice), self.pace.floor - self.now)
        cell.error, cell.retry_at = error, self.now + wait
        cell.quiet = min(max(cell.retry_at, cell.soft), cell.hard)
        age = self.now - cell.written if cell.good(self.now) else None
        self.events.append(("RefreshFailed", cell.query, error, cell.failures, age, wait))

    # -- clocks ----------------------------------------------------------------------------------------------------

    def _notice_jump(self) -> None:
        unseen, self.seen_skew = self.skew - self.seen_skew, self.skew
        if unseen <= 1:
            return
        for cell in self.cells.values():
            cell.shift(unseen)
        self.pace.shift(unseen)
        for flight in self.flights.values():
            flight.aged += unseen
        self.events.append(("ClockJumped", unseen))

    # -- what shows ------------------------------------------------------------------------------------------------

    @property
    def entries(self) -> int:
        """How many answers could be given now."""
        return sum(cell.good(self.now) is not None for cell in self.cells.values())

    def boundaries(self) -> list[float]:
        """The moments ahead at which something changes."""
        moments = {timer.due for timer in self.timers if timer.live}
        moments |= {self.pace.floor, self.pace.closed_until, self.pace.next}
        for cell in self.cells.values():
            moments |= {cell.soft, cell.stale, cell.hard, cell.retry_at, cell.quiet}
            moments.add(cell.doubted + cell.policy.empty_hold_time)
        return sorted(moment for moment in moments if moment > self.now)
