"""Compares results of callers, handles and listeners with the model and with independent limits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, fields
from typing import Any

from tests.properties.controlled_backend import ControlledBackend
from tests.properties.freshness_model import Model
from tests.properties.model_values import LONG_AGO, TIMEOUT, Answer, Caller, Entry

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

DEFAULT = "default"


@dataclass(eq=False)
class CallerTask:
    """A caller of the resolver, with its counterpart in the model."""

    caller: Caller
    task: asyncio.Task[Any]
    what: str
    step: int

    @classmethod
    def start(
        cls, loop: asyncio.AbstractEventLoop, handle: Service, what: str, caller: Caller, *, step: int
    ) -> CallerTask:
        """Create a task, which begins when the loop runs."""
        coroutine: Any = {
            "resolve": lambda: handle.resolve(max_age=caller.max_age),
            "pick": handle.pick,
            "attribute": lambda: handle.attribute("CALL"),
            "default": lambda: handle.attribute("CALL", default=DEFAULT),
        }[what]()
        return cls(caller, loop.create_task(coroutine), what, step)


def check_caller(running: CallerTask, model: Model, backend: ControlledBackend) -> None:
    """Check that a caller waits as in the model, or got the same result."""
    caller, task = running.caller, running.task
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
        _check_error(running, error)
    elif isinstance(caller.outcome, Answer):
        _check_answer(running, task.result(), model, backend)
    else:
        assert (running.what, task.result()) == ("default", DEFAULT)
        assert caller.outcome is not ConfigurationError


def _check_error(running: CallerTask, error: BaseException) -> None:
    caller = running.caller
    assert isinstance(error, CloudMapError), f"not a named error: {error!r}"
    assert error.service == str(caller.query.service)
    if isinstance(caller.outcome, Answer):
        assert (running.what, caller.outcome.count, type(error)) in (
            ("pick", 0, NoInstancesError),
            ("attribute", 0, NoInstancesError),
        ), f"{caller.outcome} expected, not {error!r}"
        return
    assert type(error) is caller.outcome
    assert running.what != "default" or isinstance(error, ConfigurationError)
    if isinstance(error, UnavailableError):
        waits = [wait or 0.0 for wait in caller.waits]
        assert min(waits) <= (error.retry_after or 0.0) <= max(waits)


def _check_answer(running: CallerTask, result: Any, model: Model, backend: ControlledBackend) -> None:
    caller, expected = running.caller, running.caller.outcome
    assert isinstance(expected, Answer)
    if running.what == "resolve":
        assert Answer(result.revision, len(result)) == expected
        assert {instance.attributes["CALL"] for instance in result} <= {str(expected.call)}
        assert result.maybe_truncated is (expected.count >= 1000)
    elif running.what == "pick":
        assert result.attributes["CALL"] == str(expected.call)
    else:
        assert result == (str(expected.call) if expected.count else DEFAULT)
    call = backend.calls[expected.call]
    assert call.query == caller.query, "an answer to another query"
    assert call.ended_at is not None
    # When the caller was resolved, not when its task ran, as the loop may have been blocked in between.
    age = caller.resolved_at - call.ended_at
    if caller.max_age is not None:
        assert call.step >= running.step or 0 < caller.max_age >= age, "older than max_age"
    policy = caller.policy
    bound = policy.ttl + policy.stale_if_error if expected.count else policy.negative_ttl
    assert age < bound or age == 0, "older than the hard end"


def check_prefetch(task: asyncio.Task[None], members: list[Caller], *, required: bool) -> None:
    """Check that prefetch() ends with its last service and raises its errors if required."""
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
    handle: Service, policy: CachePolicy, explanation: Explanation, model: Model, backend: ControlledBackend, loop: int
) -> None:
    """Check that `peek` and `explain` agree with the model."""
    entry = model.entries.get((handle.query, policy)) or Entry(handle.query, policy)
    now, usable, peeked = model.now, entry.usable(model.now), handle.peek()
    assert (None if peeked is None else Answer(peeked.revision, len(peeked))) == usable
    refresh_at = max(entry.serve_until, entry.retry_at, model.rate_limiter.closed_until)
    expected = {
        "state": entry.state(now),
        "instances": None if usable is None else usable.count,
        "age": None if usable is None else now - entry.written,
        "expires_in": None if usable is None else entry.hard - now,
        "refresh_in": max(0.0, refresh_at - now),
        "failures": entry.failures,
        "last_error": entry.error,
        "held_empty": entry.empty_since > LONG_AGO,
        "in_flight": (loop, handle.query) in model.flights,
    }
    found = {name: getattr(explanation, name) for name in expected}
    if explanation.last_error is not None:
        found["last_error"] = type(explanation.last_error)
    assert found == expected
    if usable is not None:
        ended_at = backend.calls[usable.call].ended_at
        bound = policy.ttl + policy.stale_if_error if usable.count else policy.negative_ttl
        assert ended_at is not None
        assert now - ended_at < bound, "kept beyond the hard end"


def event_tuple(event: Event) -> tuple[Any, ...]:
    """Return an event in the form that the model uses."""
    values: dict[str, Any] = {field.name: getattr(event, field.name) for field in fields(event)}
    if "error" in values:
        values["error"] = type(values["error"])
    return type(event).__name__, *values.values()
