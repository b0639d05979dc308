"""Round robin that starts at a random place, so that processes do not all begin with the first instance.

The start comes from the operating system's generator. The state of `random` is copied with a process snapshot, and
restored processes would all start at the same instance.
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
    """A random number from 0 up to, not including, 1."""
    return system_random.random()


def random_sample(items: Sequence[_T], size: int) -> list[_T]:
    """So many of the items, in random order."""
    return system_random.sample(items, size)


def start_rotation() -> Iterator[int]:
    """Numbers that start at random and go up by one. Take each modulo the number of items. Safe to share by threads."""
    return itertools.count(int(draw() * (1 << 16)))
