"""The cold path, where it is not seen from outside."""

from aiocloudmap import CachePolicy, Query, ServiceName
from aiocloudmap.local import LocalBackend, World
from aiocloudmap.resolver import Resolver
from aiocloudmap.testing import ManualClock


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

    resolver = Resolver(make, clock=clock, timeout=5, rate=1, burst=1, emit=lambda event: None, observe=lambda: None)
    cell = resolver.adopt(resolver.cell(Query(ServiceName("shop", "orders")), CachePolicy()))
    assert len(await resolver.resolve(cell)) == 1
