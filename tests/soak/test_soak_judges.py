"""The soak's own judges: that it would see growth and wrong answers."""

from __future__ import annotations

import time

import pytest
from tests.soak.samples import Sample, growth, sample
from tests.soak.truth import SERVICES, Truth

from aiocloudmap.local import LocalCloudMap, Quotas, World

MEBIBYTE = 2**20


def samples(memory) -> list[Sample]:
    """Two minutes of them, with what is held at each second."""
    return [
        Sample(at=float(at), memory=memory(at), blocks=memory(at) // 100, descriptors=9, tasks=3, threads=1)
        for at in range(120)
    ]


def test_what_wavers_is_flat():
    """Up and down by some MiB is no growth, and neither is a warm-up."""
    wavering = growth(samples(lambda at: 80 * MEBIBYTE - max(0, 30 - at) * MEBIBYTE + at % 7 * MEBIBYTE))
    assert wavering.is_flat


def test_what_leaks_is_not_flat():
    """A hundred kilobytes a second under the same wavering are seen."""
    leaking = growth(samples(lambda at: 80 * MEBIBYTE + at * 100_000 + at % 3 * MEBIBYTE))
    assert not leaking.is_flat
    assert leaking.slope == pytest.approx(100_000, rel=0.1)
    assert not growth(samples(lambda at: 80 * MEBIBYTE + at * 100_000), "blocks").is_flat


async def test_what_was_true_is_right_until_its_end_and_for_its_bound():
    """An answer is wrong from the moment that nobody may have been given it."""
    local = LocalCloudMap(World(quotas=Quotas.unlimited()))
    truth = Truth(local.world)
    name, other = SERVICES[:2]
    snapshot = await local.cloud_map(in_process=True).service(name).resolve()
    assert truth.wrong(name, snapshot, time.monotonic()) is None
    assert "asked for" in (truth.wrong(other, snapshot, 0) or "")
    before = time.monotonic()
    truth.publish(name)
    assert truth.wrong(name, snapshot, before) is None
    assert "was over" in (truth.wrong(name, snapshot, time.monotonic() + 1) or "")


async def test_a_task_of_this_loop_is_counted():
    """At the end every task counts that has not ended, whatever loop it is of."""
    assert sample().tasks >= 1
