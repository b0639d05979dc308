"""A signal handler may call anything at any moment of a miss, on the thread that is in the middle of it.

The handler is called at each bytecode of the cache in turn, which is where Python runs signal handlers.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import aiocloudmap
from aiocloudmap import CloudMap, Service

CACHE = str(Path(aiocloudmap.__file__).parent / "cache")
EVERY = 7


class Handler:
    """Calls back once, at the bytecode of this number."""

    def __init__(self, position: int, callback: Callable[[], object]) -> None:
        self.position = position
        self.callback = callback
        self.seen = 0

    @property
    def was_called(self) -> bool:
        return self.seen > self.position

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(CACHE):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self.seen += 1
            if self.seen == self.position + 1:
                sys.settrace(None)
                self.callback()
        return self.trace


async def resolve_under(service: Service, handler: Handler) -> None:
    """One resolve, with the handler called in the middle."""
    before = sys.gettrace()
    # Python 3.12 switches the events on when a frame that wants them exists at the time of settrace.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(handler.trace)
    try:
        await service.resolve()
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("action", ["clear", "invalidate", "stats", "explain"])
async def test_whatever_a_handler_does_answers_are_cached_afterwards(stage, action):
    """After the handler, a question costs one call at most, and then none."""
    position = 0
    while True:
        cloud_map: CloudMap = stage.cloud_map(ttl=3600)
        service = cloud_map.service("shop/orders")
        act = service.explain if action == "explain" else getattr(cloud_map, action)
        handler = Handler(position, act)
        await asyncio.create_task(resolve_under(service, handler))
        if not handler.was_called:
            break
        await service.resolve()
        calls = stage.calls
        for each in (service, cloud_map.service("shop/orders"), cloud_map.service("shop/orders", health="ALL")):
            for _ in range(3):
                await each.resolve()
        # Only the handle with another filter asks another question.
        assert stage.calls - calls == 1, f"after {action}() at bytecode {position}"
        assert cloud_map.stats().entries == 2
        position += EVERY
    assert position > 200
