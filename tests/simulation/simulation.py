"""A whole fleet in one event loop, in virtual time: the library itself, asking a local world with AWS's quotas.

    python tests/simulation/simulation.py --processes 200 --services 10 --ttl 30 [--renewals 10] [--seed 1]

Each process is a CloudMap with an engine of its own, and each of its questions a task that asks all the time, or at
random. What the fleet asked is compared with what `aiocloudmap plan` says.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from counting_world import NAME, CountingWorld
from virtual_time import VirtualClock, run

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy, NotFoundError, Service, UnavailableError
from aiocloudmap.cli.plan.fleet import Fleet
from aiocloudmap.cli.plan.plan import plan_for
from aiocloudmap.local import Faults, LocalBackend

_MOMENT = 0.001


@dataclass(frozen=True)
class Outcome:
    """What a simulated fleet did.

    Args:
        calls: During the cold start, until the last answer was there; throttled ones included.
        throttled: Those of them that were throttled.
        all_after: Seconds until the last answer was there.
        calls_per_second: Afterwards.
        throttled_later: Calls that were throttled afterwards.
    """

    calls: int
    throttled: int
    all_after: float
    calls_per_second: float
    throttled_later: int


async def simulate(clock: VirtualClock, fleet: Fleet, renewals: int) -> Outcome:
    """Let the fleet start, and then go on until answers have been renewed about so many times."""
    world = CountingWorld.of(fleet, clock=clock)
    faults = Faults()
    faults.delay(fleet.call_duration)
    backend = LocalBackend(world, faults)
    begun = clock.monotonic()
    starts = [
        (fleet.start_over * number / fleet.processes, service)
        for number in range(1, fleet.processes + 1)
        for service in _process(fleet, backend, clock)
    ]
    random.shuffle(starts)
    await asyncio.gather(*(_first_answer(service, after) for after, service in starts))
    start = Outcome(world.calls, world.throttled, clock.monotonic() - begun, 0.0, 0)
    later = [asyncio.create_task(_ask_on(service, fleet.gap, fleet.call_duration)) for _, service in starts]
    interval = fleet.interval
    # Processes that started together renew in waves, which are counted whole: from the middle between two.
    await asyncio.sleep(1.5 * interval)
    before = world.calls
    await asyncio.sleep(renewals * interval)
    counted = world.calls - before
    for task in later:
        task.cancel()
    await asyncio.wait(later)
    return Outcome(
        *(start.calls, start.throttled, start.all_after),
        calls_per_second=counted / (renewals * interval) if renewals else 0.0,
        throttled_later=world.throttled - start.throttled,
    )


def _process(fleet: Fleet, backend: LocalBackend, clock: VirtualClock) -> Iterator[Service]:
    cloud_map = CloudMap(backend=backend, clock=clock, cache=fleet.cache, connections=fleet.connections)
    for number in range(fleet.services):
        yield cloud_map.service(NAME.format(number))


async def _first_answer(service: Service, after: float) -> None:
    await asyncio.sleep(after)
    while True:
        try:
            await service.resolve()
        except NotFoundError:
            return
        except UnavailableError as error:
            await asyncio.sleep(max(_MOMENT, error.retry_after or 0))
        else:
            return


async def _ask_on(service: Service, gap: float, call_duration: float) -> None:
    """Ask all the time, which is at every moment that something comes of it; or at random, `gap` seconds apart."""
    while True:
        if gap:
            await asyncio.sleep(random.expovariate(1 / gap))
        else:
            while (explained := service.explain()).in_flight:
                await asyncio.sleep(max(_MOMENT, call_duration / 2))
            await asyncio.sleep(max(_MOMENT, explained.refresh_in))
        try:
            await service.resolve()
        except (NotFoundError, UnavailableError):
            continue


@contextmanager
def dice(seed: int) -> Iterator[None]:
    """The library's own draws, and those of this file, from one seed."""
    system = random.SystemRandom.random
    seeded = random.Random(seed)
    random.seed(seed)
    random.SystemRandom.random = lambda _: seeded.random()  # type: ignore[method-assign]
    try:
        yield
    finally:
        random.SystemRandom.random = system  # type: ignore[method-assign]


def simulated(fleet: Fleet, *, renewals: int = 0, seed: int = 1) -> Outcome:
    """What the fleet does, on an event loop of its own."""
    logger = logging.getLogger("aiocloudmap")
    with dice(seed):
        # Writing every throttled call down would take most of the time.
        logger.setLevel(logging.CRITICAL)
        try:
            return run(lambda clock: simulate(clock, fleet, renewals))
        finally:
            logger.setLevel(logging.NOTSET)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=200)
    parser.add_argument("--services", type=int, default=10)
    parser.add_argument("--ttl", type=float, default=30.0)
    parser.add_argument("--jitter", type=float, default=0.1)
    parser.add_argument("--requests-per-second", type=float)
    parser.add_argument("--renewals", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    fleet = Fleet(
        processes=options.processes,
        services=options.services,
        requests_per_second=options.requests_per_second,
        cache=CachePolicy(ttl=options.ttl, jitter=options.jitter, refresh="background"),
        # A backend in the process has no botocore around it, which would try again.
        connections=ConnectionPolicy(max_attempts=1),
    )
    plan, outcome = plan_for(fleet), simulated(fleet, renewals=options.renewals, seed=options.seed)
    print(f"{'':28} {'plan':>12} {'simulation':>12}")
    for name, planned, counted in (
        ("calls of the cold start", plan.cold_start.calls, outcome.calls),
        ("throttled of them", plan.cold_start.throttled, outcome.throttled),
        ("seconds to the last answer", plan.cold_start.all_after, outcome.all_after),
        ("calls a second afterwards", plan.steady.calls_per_second, outcome.calls_per_second),
        ("throttled afterwards", None, outcome.throttled_later),
    ):
        print(f"{name:28} {'' if planned is None else f'{planned:.1f}':>12} {counted:12.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
