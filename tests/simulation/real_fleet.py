"""Compares fifty real processes on the local server with `aiocloudmap plan`.

    python tests/simulation/real_fleet.py [--processes 50] [--services 4] [--seconds 20] [--starts 2]

First they renew short-lived answers for some seconds. Then they forget all answers and ask at once, with a quota that
two processors can serve. The exit code is 1 if a figure of the server differs from the plan by more than a tenth.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import sys
import time
from multiprocessing.connection import Connection
from statistics import fmean
from typing import Any

from counting_world import NAME, CountingWorld
from fleet_member import member

from aiocloudmap import CachePolicy, ConnectionPolicy
from aiocloudmap.cli.plan.fleet import Fleet
from aiocloudmap.cli.plan.plan import plan_for
from aiocloudmap.local import LocalCloudMap
from aiocloudmap.local.quotas import Rate

_TOLERANCE = 0.1


class Members:
    """The processes and their server."""

    def __init__(self, fleet: Fleet) -> None:
        # The fork server imports everything once, so that each process starts quickly and stays small.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["fleet_member", "aiocloudmap.aws.backend", "aiocloudmap.aws.session"])
        self._local = LocalCloudMap(CountingWorld.of(fleet))
        self._local.__enter__()
        self._go = context.Barrier(fleet.processes + 1)
        self._pipes: list[Connection] = []
        self._processes = []
        names = [NAME.format(number) for number in range(fleet.services)]
        for _ in range(fleet.processes):
            ours, theirs = context.Pipe()
            arguments = (self._local.endpoint_url, names, fleet.connections, theirs, self._go)
            process = context.Process(target=member, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def order(self, act: str, cache: CachePolicy, seconds: float = 0.0) -> None:
        """Send a command to all processes."""
        for pipe in self._pipes:
            pipe.send((act, cache, seconds))

    def heard(self) -> list[Any]:
        """The results of all processes."""
        return [pipe.recv() for pipe in self._pipes]

    def steady(self, fleet: Fleet, seconds: float) -> float:
        """Calls a second that the server counted."""
        settling = 2 * fleet.cache.ttl
        # Make all clients and open all connections before counting.
        self.order("steady", CachePolicy(ttl=600))
        self.heard()
        self.order("steady", fleet.cache, seconds + 2 * settling)
        world = self._serve(fleet)
        time.sleep(settling)
        before, begun = world.calls, time.monotonic()
        time.sleep(seconds)
        counted = (world.calls - before) / (time.monotonic() - begun)
        errors = sum(self.heard())
        assert not errors, f"{errors} questions failed"
        return counted

    def cold_start(self, fleet: Fleet) -> tuple[int, int, list[float]]:
        """Calls and throttled calls that the server counted, and the seconds until each answer was there."""
        self.order("cold", dataclasses.replace(fleet.cache, ttl=600.0))
        while self._go.n_waiting < fleet.processes:
            time.sleep(0.01)
        world = self._serve(fleet)
        begun = time.monotonic()
        self._go.wait(60)
        answered = sorted(moment - begun for moments in self.heard() for moment in moments)
        return world.calls, world.throttled, answered

    def _serve(self, fleet: Fleet) -> CountingWorld:
        self._local.server.world = world = CountingWorld.of(fleet)
        return world

    def end(self) -> None:
        """Stop all processes and the server."""
        self.order("end", CachePolicy())
        for process in self._processes:
            process.join(30)
        self._local.__exit__(None, None, None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=50)
    parser.add_argument("--services", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--starts", type=int, default=2)
    options = parser.parse_args()
    fleet = Fleet(
        processes=options.processes,
        services=options.services,
        cache=CachePolicy(ttl=2, jitter=0.5, refresh="background"),
        connections=ConnectionPolicy(),
    )
    burst = max(1, round(0.3 * fleet.answers))
    pressed = dataclasses.replace(fleet, quota=Rate(burst, 0.1 * fleet.answers))
    members = Members(fleet)
    try:
        counted = members.steady(fleet, options.seconds)
        starts = [members.cold_start(pressed) for _ in range(options.starts)]
    finally:
        members.end()
    # The plan cannot know how long calls take on this machine while all processes ask at once.
    duration = fmean(moment for *_, times in starts for moment in times[:burst])
    steady = plan_for(fleet).steady
    start = plan_for(dataclasses.replace(pressed, call_duration=duration)).cold_start
    rows = [
        ("calls a second", steady.calls_per_second, counted),
        ("calls of a cold start", start.calls, fmean(calls for calls, _, _ in starts)),
        ("throttled of them", start.throttled, fmean(throttled for _, throttled, _ in starts)),
        ("seconds to 19 of 20", start.most_after, fmean(times[(len(times) - 1) * 19 // 20] for *_, times in starts)),
    ]
    print(
        f"{options.processes} processes x {options.services} services, load {os.getloadavg()[0]:.1f}; "
        f"at a start a call took {duration:.3f} s"
    )
    print(f"{'':24} {'plan':>10} {'server':>10} {'off by':>8}")
    off = []
    for name, planned, seen in rows:
        assert planned is not None
        off.append(abs(seen / planned - 1))
        print(f"{name:24} {planned:10.1f} {seen:10.1f} {seen / planned - 1:+8.1%}")
    print(f"{'seconds to the last':24} {start.all_after:10.1f} {fmean(times[-1] for *_, times in starts):10.1f}")
    return int(max(off) > _TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
