"""A hit stays cheap: how many steps the interpreter takes, compared with awaiting the smallest coroutine.

Steps are the same on every machine, so a failure means that a hit has become more expensive. `nox -s bench` measures
its time.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

import pytest

from aiocloudmap import CloudMap
from aiocloudmap.local import LocalBackend, World

_STORE = {"key": "value"}


class Steps(NamedTuple):
    """What the interpreter executed.

    Args:
        instructions: Bytecode instructions, in every function that was called.
        calls: Calls of functions, including those written in C.
    """

    instructions: int
    calls: int


def traced(hit: Callable[[], object]) -> Steps:
    """Count one hit with the tracer and the profiler of Python 3.11."""
    instructions = calls = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal instructions
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        instructions += event == "opcode"
        return trace

    def profile(_: FrameType, event: str, function: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call") and function is not sys.setprofile

    tracer, profiler = sys.gettrace(), sys.getprofile()
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        hit()
    finally:
        sys.setprofile(profiler)
        sys.settrace(tracer)
    return Steps(instructions, calls)


def monitored(hit: Callable[[], object]) -> Steps:
    """Count one hit with the monitoring of Python 3.12 and later."""
    monitoring = sys.monitoring
    events = monitoring.events
    counted = {events.INSTRUCTION: 0, events.CALL: 0}

    def count(event: int) -> Callable[..., None]:
        def add(*_: object) -> None:
            counted[event] += 1

        return add

    tool = next(number for number in range(6) if monitoring.get_tool(number) is None)
    monitoring.use_tool_id(tool, "steps of a hit")
    try:
        for event in counted:
            monitoring.register_callback(tool, event, count(event))
        monitoring.set_events(tool, events.INSTRUCTION | events.CALL)
        hit()
        monitoring.set_events(tool, 0)
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)
    return Steps(counted[events.INSTRUCTION], counted[events.CALL])


def steps(function: Callable[[], Any]) -> Steps:
    """One call, and the first step of the coroutine that it may return, less the steps of an empty function."""

    def nothing() -> None:
        pass

    def hit() -> None:
        found = function()
        if found is not None and hasattr(found, "send"):
            with contextlib.suppress(StopIteration):
                found.send(None)

    count = monitored if sys.version_info >= (3, 12) else traced
    return Steps(*(most - least for most, least in zip(count(hit), count(nothing), strict=True)))


async def floor() -> str:
    """The smallest coroutine: the floor of the comparison."""
    return _STORE["key"]


@pytest.fixture
def cloud_map():
    """A CloudMap with a fresh answer for `shop/orders`."""
    world = World()
    world.register("shop/orders", "orders-1", {"QUEUE_URL": "https://queue"})
    known = CloudMap(backend=LocalBackend(world))
    asyncio.run(known.service("shop/orders").pick())
    return known


# The highest values of all supported Pythons. A tenth more is allowed, which is less than a counter of hits would cost.
HITS = {
    "resolve": (1.41, 1, lambda cloud_map: cloud_map.service("shop/orders").resolve),
    "peek": (0.93, 0, lambda cloud_map: cloud_map.service("shop/orders").peek),
    "resolve by name": (2.43, 3, lambda cloud_map: lambda: cloud_map.service("shop/orders").resolve()),
    "attribute by name": (3.11, 3, lambda cloud_map: lambda: cloud_map.service("shop/orders").attribute("QUEUE_URL")),
    "pick by name": (3.49, 8, lambda cloud_map: lambda: cloud_map.service("shop/orders").pick()),
}


@pytest.mark.parametrize("kind", HITS)
def test_a_hit_takes_no_more_steps_than_before(kind: str, cloud_map: CloudMap):
    """Instructions relative to the floor, and calls in addition to those of the floor."""
    instructions, calls, made = HITS[kind]
    hit, least = steps(made(cloud_map)), steps(floor)
    assert hit.instructions <= 1.1 * instructions * least.instructions, f"{hit}, the floor {least}"
    assert hit.calls <= calls + least.calls, f"{hit}, the floor {least}"


def test_the_count_notices_a_hit_that_works_twice(cloud_map: CloudMap):
    """Twice the work is far over the limit."""
    service = cloud_map.service("shop/orders")

    async def twice():
        service.peek()
        return await service.resolve()

    once = steps(service.resolve)
    assert steps(twice).instructions > 1.3 * once.instructions
    assert steps(twice).calls > once.calls
