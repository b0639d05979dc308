"""Round robin from a random start, so that processes do not all begin with the first instance.

The start comes from the operating system's generator: the state of `random` is part of a process snapshot, and all
processes restored from it would start at the same instance.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

__all__ = ["draw", "random_sample", "start_rotation", "system_random"]

_T = TypeVar("_T")
system_random: Final = random.SystemRandom()


def draw() -> float:
    """A random number, at least 0 and less than 1."""
    return system_random.random()


def random_sample(items: Sequence[_T], size: int) -> list[_T]:
    """`size` of the items, in random order."""
    return system_random.sample(items, size)


def start_rotation() -> Iterator[int]:
    """Consecutive numbers from a random start, to be taken modulo the number of items. Threads may share it."""
    return itertools.count(int(draw() * (1 << 16)))
