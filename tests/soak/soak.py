"""Minutes of load with random faults, and a check of what grows.

    python tests/soak/soak.py [--seconds 600] [--seed 1] [--json build/soak.json]

Two long event loops, and two threads that run one short loop after the other, on asyncio and on uvloop, ask one local
server in this process. The exit status is 1 unless descriptors, tasks and threads return to their first counts, memory
stays flat after a warm-up, no answer was wrong and no error unexpected.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import gc
import json
import os
import platform
import sys
import threading
import time
from pathlib import Path
from typing import Any

import uvloop
from faults import FaultInjector
from load import Load, Outcomes
from samples import Growth, Sample, growth, sample
from versions import CACHE, CONNECTIONS, Versions

from aiocloudmap import CloudMap
from aiocloudmap.local import LocalCloudMap, Quotas, World
from aiocloudmap.local.cloud_map import local_session
from aiocloudmap.testing import reset

_MAX_WAIT = 10.0


def soak(seconds: float, seed: int, every: float = 1.0) -> tuple[Outcomes, FaultInjector, list[Sample]]:
    """Run the load for that many seconds. Everything is closed when it returns."""
    outcomes, samples, stop = Outcomes(), list[Sample](), threading.Event()
    with LocalCloudMap(World(quotas=Quotas.unlimited())) as local:
        versions = Versions(local.world)

        def make(**settings: Any) -> CloudMap:
            fixed = {"region": local.world.region, "endpoint_url": local.endpoint_url, "session_factory": local_session}
            return CloudMap(cache=CACHE, connections=CONNECTIONS, **fixed, **settings)

        loads = [Load(make, versions, outcomes, seed + number, stop) for number in range(4)]
        threads = [
            threading.Thread(target=loads[0].one_loop, args=[asyncio.run], name="one loop, asyncio"),
            threading.Thread(target=loads[1].one_loop, args=[uvloop.run], name="one loop, uvloop"),
            threading.Thread(target=loads[2].many_loops, args=[asyncio.run], name="many loops, asyncio"),
            threading.Thread(target=loads[3].many_loops, args=[uvloop.run], name="many loops, uvloop"),
        ]
        with FaultInjector(local.faults, versions, seed) as injector:
            for thread in threads:
                thread.start()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(every)
                samples.append(sample(outcomes.loops))
            stop.set()
            for thread in threads:
                thread.join()
    return outcomes, injector, samples


def sample_at_end(before: Sample) -> Sample:
    """Sample when the load has ended. Threads of libraries take a moment to end."""
    reset()
    deadline = time.monotonic() + _MAX_WAIT
    while (last := sample()) and time.monotonic() < deadline:
        if (last.descriptors, last.tasks, last.threads) == (before.descriptors, before.tasks, before.threads):
            break
        time.sleep(0.1)
    return last


def find_problems(before: Sample, after: Sample, memory: Growth, blocks: Growth, outcomes: Outcomes) -> list[str]:
    """Return what went wrong."""
    problems = [
        f"{name} went from {getattr(before, name)} to {getattr(after, name)}"
        for name in ("descriptors", "tasks", "threads")
        if getattr(before, name) != getattr(after, name)
    ]
    if not memory.is_flat:
        problems.append(f"memory grew by {memory.drift / 1024:.0f} KiB, noise is {memory.noise / 1024:.0f} KiB")
    if not blocks.is_flat:
        problems.append(f"blocks grew by {blocks.drift:.0f}, noise is {blocks.noise:.0f}")
    problems += [f"wrong answer: {what}" for what in outcomes.wrong]
    problems += [f"unexpected error: {what}" for what in outcomes.unexpected]
    return problems


def show(
    samples: list[Sample],
    before: Sample,
    after: Sample,
    memory: Growth,
    blocks: Growth,
    outcomes: Outcomes,
    injector: FaultInjector,
) -> None:
    """Print the tables."""
    print(f"{'second':>8} {'memory MiB':>11} {'blocks':>8} {'descriptors':>12} {'tasks':>6} {'threads':>8}")
    step = max(1, len(samples) // 12)
    for each in [before, *samples[::step], after]:
        at, mebibytes = each.at - before.at, each.memory / 2**20
        print(f"{at:8.0f} {mebibytes:11.1f} {each.blocks:8} {each.descriptors:12} {each.tasks:6} {each.threads:8}")
    print(f"\nmemory after warm-up: {memory.slope / 1024:+.2f} KiB/s, ", end="")
    print(f"{memory.drift / 1024:+.0f} KiB in all, noise {memory.noise / 1024:.0f} KiB")
    print(f"blocks after warm-up: {blocks.slope:+.2f} a second, ", end="")
    print(f"{blocks.drift:+.0f} in all, noise {blocks.noise:.0f}")
    for title, counts in (("outcomes of calls", outcomes.counts), ("calls that met a fault", injector.met)):
        print(f"\n{title}: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    print(f"\nwrong answers: {outcomes.wrong_count}, unexpected errors: {outcomes.unexpected_count}")


def main() -> int:
    """Run the soak test and print the result."""
    parser = argparse.ArgumentParser(description="Run load with random faults.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("build/soak.json"))
    arguments = parser.parse_args()
    for variable in [name for name in os.environ if name.startswith(("AWS_", "AIOCLOUDMAP_"))]:
        del os.environ[variable]

    # A short run first, so that what a process opens or imports once is not counted.
    soak(2, arguments.seed, every=0.5)
    reset()
    gc.collect()
    before = sample()
    outcomes, injector, samples = soak(arguments.seconds, arguments.seed)
    after, memory, blocks = sample_at_end(before), growth(samples), growth(samples, "blocks")
    show(samples, before, after, memory, blocks, outcomes, injector)
    problems = find_problems(before, after, memory, blocks, outcomes)
    report = {
        "python": platform.python_version(),
        "seed": arguments.seed,
        "seconds": arguments.seconds,
        "growth": dataclasses.asdict(memory),
        "growth_of_blocks": dataclasses.asdict(blocks),
        "outcomes": outcomes.counts,
        "faults": injector.met,
        "wrong_answers": outcomes.wrong_count,
        "unexpected_errors": outcomes.unexpected_count,
        "problems": problems,
        "samples": [dataclasses.asdict(each) for each in (before, *samples, after)],
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print("\n".join(["", *problems, "Failed." if problems else "Passed."]))
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
