"""What the process holds, second by second, and whether it grows."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Growth", "Sample", "growth", "sample"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_WARM_UP = 1 / 3
_LEAST_NOISE = 0.02


@dataclass(frozen=True, slots=True)
class Sample:
    """One look.

    Args:
        at: When, on the monotonic clock.
        memory: Resident bytes.
        blocks: Pieces of memory that Python's objects take; what the heap keeps without an object is not among them.
        descriptors: Open ones.
        tasks: Of all event loops that run.
        threads: Of Python.
    """

    at: float
    memory: int
    blocks: int
    descriptors: int
    tasks: int
    threads: int


def sample(loops: Iterable[asyncio.AbstractEventLoop] | None = None) -> Sample:
    """A look; where no loops are given, every task that exists and has not ended counts, whatever its loop."""
    tasks = 0
    if loops is None:
        gc.collect()
        tasks = sum(isinstance(each, asyncio.Task) and not each.done() for each in gc.get_objects())
    for loop in list(loops or ()):
        tasks += len(asyncio.all_tasks(loop))
    return Sample(
        at=time.monotonic(),
        memory=int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE,
        blocks=sys.getallocatedblocks(),
        descriptors=len(os.listdir("/proc/self/fd")),
        tasks=tasks,
        threads=threading.active_count(),
    )


@dataclass(frozen=True, slots=True)
class Growth:
    """How memory, or the number of blocks, went after the warm-up.

    Args:
        slope: Bytes or blocks in a second, as a straight line through the samples has it.
        drift: Bytes or blocks, over all of that time.
        noise: What of them cannot be told from none: three times what the samples stray from the line, and at least
            two per cent of what is held.
    """

    slope: float
    drift: float
    noise: float

    @property
    def is_flat(self) -> bool:
        """Whether it did not grow."""
        return self.drift <= self.noise


def growth(samples: list[Sample], of: Literal["memory", "blocks"] = "memory") -> Growth:
    """The straight line through all samples but the first third."""
    begun, ended = samples[0].at, samples[-1].at
    warm = [each for each in samples if each.at >= begun + (ended - begun) * _WARM_UP]
    times, memory = [each.at for each in warm], [float(getattr(each, of)) for each in warm]
    line = statistics.linear_regression(times, memory)
    strays = [held - (line.intercept + line.slope * at) for at, held in zip(times, memory, strict=True)]
    noise = max(3 * statistics.pstdev(strays), _LEAST_NOISE * statistics.fmean(memory))
    return Growth(line.slope, line.slope * (times[-1] - times[0]), noise)
