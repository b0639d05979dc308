"""Minutes of load with random faults, and a look at what grows.

    python tests/soak/soak.py [--seconds 600] [--seed 1] [--json build/soak.json]

Two event loops that last and two threads of loops that come and go, on asyncio and on uvloop, ask one local server in
this process. Ends with 1 unless descriptors, tasks and threads are exactly as many as before, memory does not grow
after a warm-up, no answer was wrong and no error unnamed.
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
from load import Load, Tally
from samples import Growth, Sample, growth, sample
from trouble import Trouble
from truth import CACHE, CONNECTIONS, Truth

from aiocloudmap import CloudMap
from aiocloudmap.local import LocalCloudMap, Quotas, World
from aiocloudmap.local.cloud_map import local_session
from aiocloudmap.testing import reset

_PATIENCE = 10.0


def soak(seconds: float, seed: int, every: float = 1.0) -> tuple[Tally, Trouble, list[Sample]]:
    """Load for so many seconds; everything is closed again when it returns."""
    tally, samples, stop = Tally(), list[Sample](), threading.Event()
    with LocalCloudMap(World(quotas=Quotas.unlimited())) as local:
        truth = Truth(local.world)

        def make(**settings: Any) -> CloudMap:
            fixed = {"region": local.world.region, "endpoint_url": local.endpoint_url, "session_factory": local_session}
            return CloudMap(cache=CACHE, connections=CONNECTIONS, **fixed, **settings)

        loads = [Load(make, truth, tally, seed + number, stop) for number in range(4)]
        threads = [
            threading.Thread(target=loads[0].lasting, args=[asyncio.run], name="lasting, asyncio"),
            threading.Thread(target=loads[1].lasting, args=[uvloop.run], name="lasting, uvloop"),
            threading.Thread(target=loads[2].cycling, args=[asyncio.run], name="cycling, asyncio"),
            threading.Thread(target=loads[3].cycling, args=[uvloop.run], name="cycling, uvloop"),
        ]
        with Trouble(local.faults, truth, seed) as trouble:
            for thread in threads:
                thread.start()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(every)
                samples.append(sample(tally.loops))
            stop.set()
            for thread in threads:
                thread.join()
    return tally, trouble, samples


def held_at_last(before: Sample) -> Sample:
    """What is held when all is over; threads of libraries take a moment to end."""
    reset()
    deadline = time.monotonic() + _PATIENCE
    while (last := sample()) and time.monotonic() < deadline:
        if (last.descriptors, last.tasks, last.threads) == (before.descriptors, before.tasks, before.threads):
            break
        time.sleep(0.1)
    return last


def faults_found(before: Sample, after: Sample, grown: Growth, multiplied: Growth, tally: Tally) -> list[str]:
    """What must not be."""
    found = [
        f"{name} went from {getattr(before, name)} to {getattr(after, name)}"
        for name in ("descriptors", "tasks", "threads")
        if getattr(before, name) != getattr(after, name)
    ]
    if not grown.is_flat:
        found.append(f"memory grew by {grown.drift / 1024:.0f} KiB, noise is {grown.noise / 1024:.0f} KiB")
    if not multiplied.is_flat:
        found.append(f"blocks grew by {multiplied.drift:.0f}, noise is {multiplied.noise:.0f}")
    found += [f"wrong answer: {what}" for what in tally.wrong]
    found += [f"unnamed error: {what}" for what in tally.unnamed]
    return found


def show(
    samples: list[Sample],
    before: Sample,
    after: Sample,
    grown: Growth,
    multiplied: Growth,
    tally: Tally,
    trouble: Trouble,
) -> None:
    """The tables."""
    print(f"{'second':>8} {'memory MiB':>11} {'blocks':>8} {'descriptors':>12} {'tasks':>6} {'threads':>8}")
    step = max(1, len(samples) // 12)
    for each in [before, *samples[::step], after]:
        at, memory = each.at - before.at, each.memory / 2**20
        print(f"{at:8.0f} {memory:11.1f} {each.blocks:8} {each.descriptors:12} {each.tasks:6} {each.threads:8}")
    print(f"\nmemory after warm-up: {grown.slope / 1024:+.2f} KiB/s, ", end="")
    print(f"{grown.drift / 1024:+.0f} KiB in all, noise {grown.noise / 1024:.0f} KiB")
    print(f"blocks after warm-up: {multiplied.slope:+.2f} a second, ", end="")
    print(f"{multiplied.drift:+.0f} in all, noise {multiplied.noise:.0f}")
    for title, counts in (("what came of the calls", tally.outcomes), ("calls that met trouble", trouble.met)):
        print(f"\n{title}: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    print(f"\nwrong answers: {tally.wrong_count}, unnamed errors: {tally.unnamed_count}")


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description="Minutes of load with random faults.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("build/soak.json"))
    arguments = parser.parse_args()
    for variable in [name for name in os.environ if name.startswith(("AWS_", "AIOCLOUDMAP_"))]:
        del os.environ[variable]

    # What a process opens or imports once and keeps is there before the first count.
    soak(2, arguments.seed, every=0.5)
    reset()
    gc.collect()
    before = sample()
    tally, trouble, samples = soak(arguments.seconds, arguments.seed)
    after, grown, multiplied = held_at_last(before), growth(samples), growth(samples, "blocks")
    show(samples, before, after, grown, multiplied, tally, trouble)
    found = faults_found(before, after, grown, multiplied, tally)
    report = {
        "python": platform.python_version(),
        "seed": arguments.seed,
        "seconds": arguments.seconds,
        "growth": dataclasses.asdict(grown),
        "growth_of_blocks": dataclasses.asdict(multiplied),
        "outcomes": tally.outcomes,
        "trouble": trouble.met,
        "wrong_answers": tally.wrong_count,
        "unnamed_errors": tally.unnamed_count,
        "found": found,
        "samples": [dataclasses.asdict(each) for each in (before, *samples, after)],
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print("\n".join(["", *found, "Not flat." if found else "Flat."]))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
