"""Samples of what the process holds, second by second, and whether it grows."""

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
    """One sample.

    Args:
        at: Its time, on the monotonic clock.
        memory: Resident bytes.
        blocks: Allocated blocks of Python objects, without what the heap keeps for reuse.
        descriptors: Open descriptors.
        tasks: Tasks of all running event loops.
        threads: Python threads.
    """

    at: float
    memory: int
    blocks: int
    descriptors: int
    tasks: int
    threads: int


def sample(loops: Iterable[asyncio.AbstractEventLoop] | None = None) -> Sample:
    """Take a sample. Without loops, every unfinished task counts, whatever its loop."""
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
    """How memory or the number of blocks changed after the warm-up.

    Args:
        slope: Bytes or blocks a second, by linear regression.
        drift: Bytes or blocks over the whole time.
        noise: The change that does not count: three standard deviations, and at least two per cent.
    """

    slope: float
    drift: float
    noise: float

    @property
    def is_flat(self) -> bool:
        """Whether it did not grow."""
        return self.drift <= self.noise


def growth(samples: list[Sample], of: Literal["memory", "blocks"] = "memory") -> Growth:
    """Fit a line through all samples but the first third."""
    start, end = samples[0].at, samples[-1].at
    warm = [each for each in samples if each.at >= start + (end - start) * _WARM_UP]
    times, memory = [each.at for each in warm], [float(getattr(each, of)) for each in warm]
    line = statistics.linear_regression(times, memory)
    residuals = [held - (line.intercept + line.slope * at) for at, held in zip(times, memory, strict=True)]
    noise = max(3 * statistics.pstdev(residuals), _LEAST_NOISE * statistics.fmean(memory))
    return Growth(line.slope, line.slope * (times[-1] - times[0]), noise)
