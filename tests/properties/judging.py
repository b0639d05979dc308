"""Compares what a caller, a handle or a listener got with what the model says, and with bounds of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from tests.properties.freshness_model import Model
from tests.properties.freshness_words import NEVER, TIMEOUT, Answer, Caller, Cell
from tests.properties.upstream import Upstream

from aiocloudmap import (
    CachePolicy,
    CloudMapError,
    ConfigurationError,
    Event,
    Explanation,
    NoInstancesError,
    Service,
    UnavailableError,
)

INSTEAD = "instead"


@dataclass(eq=False)
class Ask:
    """A caller of the resolver, beside its double in the model."""

    caller: Caller
    task: asyncio.Task[Any]
    what: str
    step: int

    @classmethod
    def make(cls, loop: asyncio.AbstractEventLoop, handle: Service, what: str, caller: Caller, *, step: int) -> Ask:
        """A task on the loop; it begins when the loop runs."""
        coroutine: Any = {
            "resolve": lambda: handle.resolve(max_age=caller.max_age),
            "pick": handle.pick,
            "attribute": lambda: handle.attribute("CALL"),
            "default": lambda: handle.attribute("CALL", default=INSTEAD),
        }[what]()
        return cls(caller, loop.create_task(coroutine), what, step)


def check_caller(ask: Ask, model: Model, upstream: Upstream) -> None:
    """A caller waits where the model's waits, and got what the model's got."""
    caller, task = ask.caller, ask.task
    if caller.outcome is None:
        assert not task.done(), f"expected to wait: {task!r}"
        assert model.now < caller.asked + TIMEOUT, "kept waiting beyond the deadline"
        return
    assert task.done(), f"expected {caller.outcome}"
    if caller.outcome == "cancelled":
        assert task.cancelled()
        return
    assert not task.cancelled()
    error = task.exception()
    if error is not None:
        _check_error(ask, error)
    elif isinstance(caller.outcome, Answer):
        _check_answer(ask, task.result(), model, upstream)
    else:
        assert (ask.what, task.result()) == ("default", INSTEAD)
        assert caller.outcome is not ConfigurationError


def _check_error(ask: Ask, error: BaseException) -> None:
    caller = ask.caller
    assert isinstance(error, CloudMapError), f"not a named error: {error!r}"
    assert error.service == str(caller.query.service)
    if isinstance(caller.outcome, Answer):
        assert (ask.what, caller.outcome.count, type(error)) in (
            ("pick", 0, NoInstancesError),
            ("attribute", 0, NoInstancesError),
        ), f"{caller.outcome} expected, not {error!r}"
        return
    assert type(error) is caller.outcome
    assert ask.what != "default" or isinstance(error, ConfigurationError)
    if isinstance(error, UnavailableError):
        waits = [wait or 0.0 for wait in caller.waits]
        assert min(waits) <= (error.retry_after or 0.0) <= max(waits)


def _check_answer(ask: Ask, result: Any, model: Model, upstream: Upstream) -> None:
    caller, expected = ask.caller, ask.caller.outcome
    assert isinstance(expected, Answer)
    if ask.what == "resolve":
        assert Answer(result.revision, len(result)) == expected
        assert {instance.attributes["CALL"] for instance in result} <= {str(expected.call)}
        assert result.maybe_truncated is (expected.count >= 1000)
    elif ask.what == "pick":
        assert result.attributes["CALL"] == str(expected.call)
    else:
        assert result == (str(expected.call) if expected.count else INSTEAD)
    call = upstream.calls[expected.call]
    assert call.query == caller.query, "an answer to another question"
    assert call.ended_at is not None
    # Told, not delivered: a loop that stood still delivers late what it was given in time.
    age = caller.told_at - call.ended_at
    if caller.max_age is not None:
        assert call.step >= ask.step or 0 < caller.max_age >= age, "older than the caller takes"
    policy = caller.policy
    bound = policy.ttl + policy.stale_if_error if expected.count else policy.negative_ttl
    assert age < bound or age == 0, "older than it may ever be given"


def check_prefetch(task: asyncio.Task[None], members: list[Caller], *, required: bool) -> None:
    """It ends with the last of its members, and tells their errors where it is to."""
    if any(caller.outcome is None for caller in members):
        assert not task.done()
        return
    assert task.done()
    if any(caller.outcome == "cancelled" for caller in members):
        assert task.cancelled()
        return
    errors = [caller.outcome for caller in members if isinstance(caller.outcome, type)]
    error = task.exception()
    if ConfigurationError in errors:
        assert type(error) is ConfigurationError
    elif required and errors:
        assert isinstance(error, ExceptionGroup)
        assert [type(each) for each in error.exceptions] == errors
    else:
        assert error is None


def check_handle(
    handle: Service, policy: CachePolicy, explanation: Explanation, model: Model, upstream: Upstream, lane: int
) -> None:
    """`peek` and `explain` say the same as each other and as the model."""
    cell = model.cells.get((handle.query, policy)) or Cell(handle.query, policy)
    now, good, peeked = model.now, cell.good(model.now), handle.peek()
    assert (None if peeked is None else Answer(peeked.revision, len(peeked))) == good
    pause = max(cell.quiet, cell.retry_at, model.pace.closed_until) - now
    error = explanation.last_error
    told = {
        "state": explanation.state,
        "instances": explanation.instances,
        "age": explanation.age,
        "expires_in": explanation.expires_in,
        "refresh_in": explanation.refresh_in,
        "failures": explanation.failures,
        "last_error": None if error is None else type(error),
        "held_empty": explanation.held_empty,
        "in_flight": explanation.in_flight,
    }
    assert told == {
        "state": cell.state(now),
        "instances": None if good is None else good.count,
        "age": None if good is None else now - cell.written,
        "expires_in": None if good is None else cell.hard - now,
        "refresh_in": max(0.0, pause),
        "failures": cell.failures,
        "last_error": cell.error,
        "held_empty": cell.doubted > NEVER,
        "in_flight": (lane, handle.query) in model.flights,
    }
    if good is not None:
        ended_at = upstream.calls[good.call].ended_at
        bound = policy.ttl + policy.stale_if_error if good.count else policy.negative_ttl
        assert ended_at is not None
        assert now - ended_at < bound, "kept longer than it may ever be given"


def event_words(event: Event) -> tuple[Any, ...]:
    """An event as the model says it."""
    fields: dict[str, Any] = {name: getattr(event, name) for name in event.__slots__}
    if "error" in fields:
        fields["error"] = type(fields["error"])
    return type(event).__name__, *fields.values()
