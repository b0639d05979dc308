"""The part of a fault that is waiting: the same over the wire and in process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Never

from aiocloudmap.local.fault import Fault, Kind
from aiocloudmap.local.gate import Gate
from aiocloudmap.ports import Clock, pause

__all__ = ["for_ever", "pass_pauses"]


async def pass_pauses(met: Iterable[Fault], gate: Gate, clock: Clock) -> Fault | None:
    """Wait as the faults that a call meets demand.

    Returns:
        What goes wrong then; None where nothing does. A hang never returns; cancelling it ends it.
    """
    for fault in met:
        if fault.kind is Kind.HOLD:
            await gate.wait()
        elif fault.kind is Kind.DELAY:
            await pause(clock, fault.amount)
        elif fault.kind is Kind.HANG:
            await for_ever()
        else:
            return fault
    return None


async def for_ever() -> Never:
    """Wait until cancelled."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("unreachable: nobody completes that future")
