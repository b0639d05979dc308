"""The checks of the soak test notice growth and wrong answers."""

from __future__ import annotations

import time

import pytest
from tests.soak.samples import Sample, growth, sample
from tests.soak.versions import SERVICES, Versions

from aiocloudmap.local import LocalCloudMap, Quotas, World

MEBIBYTE = 2**20


def samples(memory) -> list[Sample]:
    """Two minutes of samples with the given memory at each second."""
    return [
        Sample(at=float(at), memory=memory(at), blocks=memory(at) // 100, descriptors=9, tasks=3, threads=1)
        for at in range(120)
    ]


def test_fluctuating_memory_is_flat():
    """Neither a fluctuation of some MiB nor the warm-up is growth."""
    fluctuating = growth(samples(lambda at: 80 * MEBIBYTE - max(0, 30 - at) * MEBIBYTE + at % 7 * MEBIBYTE))
    assert fluctuating.is_flat


def test_leaking_memory_is_not_flat():
    """A leak of a hundred kilobytes a second is found under a fluctuation."""
    leaking = growth(samples(lambda at: 80 * MEBIBYTE + at * 100_000 + at % 3 * MEBIBYTE))
    assert not leaking.is_flat
    assert leaking.slope == pytest.approx(100_000, rel=0.1)
    assert not growth(samples(lambda at: 80 * MEBIBYTE + at * 100_000), "blocks").is_flat


async def test_an_answer_is_right_until_its_version_has_expired():
    """An answer is wrong once its version ended before the oldest allowed time."""
    local = LocalCloudMap(World(quotas=Quotas.unlimited()))
    versions = Versions(local.world)
    name, other = SERVICES[:2]
    snapshot = await local.cloud_map(in_process=True).service(name).resolve()
    assert versions.find_error(name, snapshot, time.monotonic()) is None
    assert "asked for" in (versions.find_error(other, snapshot, 0) or "")
    before = time.monotonic()
    versions.publish(name)
    assert versions.find_error(name, snapshot, before) is None
    assert "ended" in (versions.find_error(name, snapshot, time.monotonic() + 1) or "")


async def test_an_unfinished_task_is_counted():
    """At the end every unfinished task counts, whatever its loop."""
    assert sample().tasks >= 1
