"""Round robin from a random start."""

from __future__ import annotations

from itertools import islice

from aiocloudmap.balancing.rotation import draw, random_sample, start_rotation


def test_a_rotation_counts_up_from_its_start():
    """So that each instance has its turn."""
    rotation = start_rotation()
    first = next(rotation)
    assert list(islice(rotation, 3)) == [first + 1, first + 2, first + 3]


def test_rotations_start_at_random():
    """Processes do not all begin with the first instance."""
    assert len({next(start_rotation()) % 100 for _ in range(1000)}) > 50


def test_the_state_of_the_random_module_does_not_matter():
    """Processes restored from one snapshot share it."""
    import random

    def numbers() -> tuple[float, int, list[int]]:
        random.seed(1)
        return draw(), next(start_rotation()), random_sample(range(1000), 5)

    assert numbers() != numbers()
    assert 0 <= draw() < 1


def test_a_random_sample_has_no_duplicates():
    """It has as many items as requested."""
    assert sorted(random_sample(range(10), 10)) == list(range(10))
    assert len(random_sample(range(10), 3)) == 3
