"""A whole fleet in one event loop, in virtual time: the library itself, asking a local world with AWS's quotas.

    python tests/simulation/simulation.py --processes 200 --services 10 --ttl 30 [--renewals 10] [--seed 1]

Each process is a CloudMap with its own engine. Each of its services has a task that asks all the time, or at random.
The calls of the fleet are compared with `aiocloudmap plan`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from counting_world import NAME, CountingWorld

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy, NotFoundError, Service, UnavailableError
from aiocloudmap.cli.plan.fleet import Fleet
from aiocloudmap.cli.plan.plan import plan_for
from aiocloudmap.cli.plan.virtual_time import VirtualClock, run_in_virtual_time
from aiocloudmap.local import Faults, LocalBackend

_MOMENT = 0.001


@dataclass(frozen=True)
class Outcome:
    """The calls of a simulated fleet.

    Args:
        calls: Calls of the cold start, until the last answer was there, with throttled ones.
        throttled: How many of them were throttled.
        all_after: Seconds until the last answer was there.
        calls_per_second: Calls a second afterwards.
        throttled_later: Calls that were throttled afterwards.
    """

    calls: int
    throttled: int
    all_after: float
    calls_per_second: float
    throttled_later: int


async def simulate(clock: VirtualClock, fleet: Fleet, renewals: int) -> Outcome:
    """Start the fleet, and go on until its answers have been renewed about `renewals` times."""
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
    # Processes that started together renew in waves. Counting starts between two waves, so that whole waves count.
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
    """Ask whenever a question leads to a call, or at random, `gap` seconds apart on average."""
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


def simulated(fleet: Fleet, *, renewals: int = 0, seed: int = 1) -> Outcome:
    """Run the fleet in virtual time."""
    random.seed(seed)
    clock = VirtualClock()
    (outcome,) = run_in_virtual_time(clock, simulate(clock, fleet, renewals), seed=seed)
    return outcome


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
        # A local backend has no botocore around it.
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
