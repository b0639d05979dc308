"""Answers that are old when they arrive: a backend that caches, or a process that was frozen during the call."""

from __future__ import annotations

import asyncio

import pytest

from aiocloudmap import CachePolicy, CloudMap, Discovery, Instance, ServiceName, UnavailableError
from aiocloudmap.testing import ManualClock

NAME = ServiceName("shop", "orders")


class OldAnswers:
    """A backend whose answers have this age, and whose calls wait until the test lets them go on."""

    def __init__(self, age: float) -> None:
        self.age, self.calls = age, 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def discover(self, query):
        self.calls += 1
        await self.go_on.wait()
        return Discovery((Instance("a", NAME),), age=self.age)


def service_of(backend: OldAnswers, clock: ManualClock):
    """A handle whose clock stands still."""
    return CloudMap(backend=backend, clock=clock, cache=CachePolicy(jitter=0)).service(NAME)


@pytest.mark.parametrize("max_age", [0, 5, 19.9])
async def test_an_answer_older_than_max_age_is_not_returned(max_age):
    """The caller gets an error that says why. Other callers get the answer, from memory."""
    backend = OldAnswers(20.0)
    service = service_of(backend, ManualClock())
    with pytest.raises(UnavailableError, match=r"was 20\.0 s old when it arrived") as caught:
        await service.resolve(max_age=max_age)
    assert "raise max_age" in str(caught.value)
    assert (await service.resolve()).age == 20
    assert backend.calls == 1


@pytest.mark.parametrize("max_age", [20, 60])
async def test_an_answer_as_old_as_max_age_is_returned(max_age):
    """Its age counts from the moment that the backend names."""
    service = service_of(OldAnswers(20.0), ManualClock())
    assert (await service.resolve(max_age=max_age)).age == 20


async def test_callers_of_one_call_are_judged_one_by_one():
    """By their own max_age."""
    service = service_of(OldAnswers(20.0), ManualClock())
    results = await asyncio.gather(*(service.resolve(max_age=age) for age in (5, 60)), return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["UnavailableError", "Snapshot"]


async def test_a_freeze_during_the_call_makes_its_answer_old():
    """AWS may have sent it before the freeze."""
    backend, clock = OldAnswers(0.0), ManualClock()
    backend.go_on.clear()
    asking = asyncio.ensure_future(service_of(backend, clock).resolve(max_age=5))
    while not backend.calls:
        await asyncio.sleep(0)
    clock.freeze(45)
    backend.go_on.set()
    with pytest.raises(UnavailableError, match=r"was 45\.0 s old"):
        await asking
