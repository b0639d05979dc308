"""Random numbers that spread load: backoff, jitter, the start of a rotation.

They come from the system. The generator of `random` has a state, and processes that were restored from one snapshot
would all go on from the same one, in step.
"""

from __future__ import annotations

import random

__all__ = ["draw", "first_turn"]

_system = random.SystemRandom()


def draw() -> float:
    """A number from 0 up to 1, 1 left out."""
    return _system.random()


def first_turn() -> int:
    """Where a rotation begins, so that processes do not all begin with the first instance."""
    return int(draw() * (1 << 16))
