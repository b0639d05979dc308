"""A miss runs through few files, and seldom changes from one to another.

Counted by the interpreter's profiler during one `await service.resolve()` of an unknown service. A change is a call or
a return that enters another file of the package. `local` and `testing` do not count. The numbers are the same on every
machine. The limits below leave a little room for growth over the goals: 12 files and 38 changes in process, 22 files
and 80 changes over the wire.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import aiocloudmap
from aiocloudmap import CloudMap
from aiocloudmap.local import LocalBackend, LocalCloudMap, World

SOURCES = Path(aiocloudmap.__file__).parent
NOT_COUNTED = ("local", "testing")


class Trace(NamedTuple):
    """The files that a call ran through, and how often it changed between them."""

    files: list[str]
    changes: int


async def trace_of(call: Callable[[], Awaitable[object]]) -> Trace:
    """What one call ran through."""
    visited: list[str] = []

    def profile(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event not in ("call", "return") or not path.is_relative_to(SOURCES):
            return
        file = path.relative_to(SOURCES)
        if file.parts[0] not in NOT_COUNTED and visited[-1:] != [str(file)]:
            visited.append(str(file))

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        await call()
    finally:
        sys.setprofile(before)
    return Trace(sorted(set(visited)), len(visited))


async def test_a_miss_in_process_runs_through_few_files():
    """From the handle to a backend in the same process, and back."""
    world = World()
    world.register("shop/orders", "orders-1", {})
    service = CloudMap(backend=LocalBackend(world)).service("shop/orders")
    trace = await trace_of(service.resolve)
    assert len(trace.files) <= 13, trace.files
    assert trace.changes <= 42, trace


async def test_a_miss_over_the_wire_runs_through_few_files():
    """From the handle over an open connection to the server, and back."""
    async with LocalCloudMap() as local:
        for name in ("shop/first", "shop/orders"):
            local.world.register(name, "orders-1", {})
        async with local.cloud_map() as cloud_map:
            await cloud_map.service("shop/first").resolve()
            trace = await trace_of(cloud_map.service("shop/orders").resolve)
    assert len(trace.files) <= 24, trace.files
    assert trace.changes <= 88, trace


async def test_a_hit_stays_in_one_file():
    """A hit is one function."""
    world = World()
    world.register("shop/orders", "orders-1", {})
    service = CloudMap(backend=LocalBackend(world)).service("shop/orders")
    await service.resolve()
    assert await trace_of(service.resolve) == Trace(["client/service.py"], 1)
