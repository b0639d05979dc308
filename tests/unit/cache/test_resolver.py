"""The cold path, where it is not seen from outside."""

import pytest

from aiocloudmap import AnswerTruncated, CachePolicy, Query, Refreshed, ServiceName
from aiocloudmap.cache.resolver import Resolver
from aiocloudmap.local import LocalBackend, World
from aiocloudmap.testing import ManualClock


def resolver_of(make, clock, emit=lambda event: None, *, is_heard=True):
    """A resolver on the backend that is made."""
    return Resolver(
        make, clock=clock, timeout=5, rate=1, burst=1, emit=emit, is_heard=lambda: is_heard, observe=lambda: None
    )


async def test_the_deadline_of_the_first_question_begins_when_the_backend_is_made():
    """Importing AWS's libraries may take longer in a small sandbox than one question may."""
    clock = ManualClock()
    world = World(clock=clock)
    world.register("shop/orders", "orders-1", {})
    made = []

    def make():
        if not made:
            clock.tick(60)
            made.append(LocalBackend(world))
        return made[0]

    resolver = resolver_of(make, clock)
    cell = resolver.adopt(resolver.cell(Query(ServiceName("shop", "orders")), CachePolicy()))
    assert len(await resolver.resolve(cell)) == 1


@pytest.mark.parametrize("is_heard", [True, False])
@pytest.mark.parametrize("instances", [1, 1000])
async def test_what_nobody_hears_is_not_told_but_warnings_are(is_heard, instances):
    """An event costs as much as a tenth of all else that is done about an answer."""
    clock, told = ManualClock(), []
    world = World(clock=clock)
    for number in range(instances):
        world.register("shop/orders", f"orders-{number}", {})
    resolver = resolver_of(lambda: LocalBackend(world), clock, told.append, is_heard=is_heard)
    await resolver.resolve(resolver.adopt(resolver.cell(Query(ServiceName("shop", "orders")), CachePolicy())))
    expected = ([Refreshed] if is_heard or instances == 1000 else []) + ([AnswerTruncated] if instances == 1000 else [])
    assert [type(event) for event in told] == expected
