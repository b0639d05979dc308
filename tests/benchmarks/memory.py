"""What an answer in memory takes beyond its strings, and what a service of a thousand instances does.

    python tests/benchmarks/memory.py [--answers 2000] [--json]

Answers of one instance with two attributes, each under a question of its own that no handle is kept of. Memory is what
the interpreter has handed out (tracemalloc), the garbage collected before and after. Ends with 1 if it is over budget.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import sys
import tracemalloc
from typing import Any

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy, Discovery, HealthStatus, Instance, Query

BUDGET = 900.0
"""Bytes an answer."""

_LARGE = 1000


class Registered:
    """One instance a service, each with strings of its own, as they come off the wire."""

    async def discover(self, query: Query) -> Discovery:
        name = query.service.service
        attributes = {"QUEUE_URL": f"https://sqs/{name}", "STAGE": f"stage-{name}"}
        return Discovery((Instance(f"{name}-1", query.service, HealthStatus.HEALTHY, attributes),), 1)


class Large:
    """Many instances of one service."""

    async def discover(self, query: Query) -> Discovery:
        return Discovery(
            tuple(
                Instance(f"i-{n:04}", query.service, HealthStatus.HEALTHY, {"HOST": f"10.0.{n}", "STAGE": f"stage-{n}"})
                for n in range(_LARGE)
            ),
            1,
        )


def _strings(cloud_map: CloudMap, names: list[str]) -> int:
    """Bytes of the strings of all answers."""
    total = 0
    for name in names:
        service = cloud_map.service(name, health="HEALTHY")
        snapshot = service.peek()
        assert snapshot is not None
        total += sys.getsizeof(service.name.namespace) + sys.getsizeof(service.name.service)
        for instance in snapshot:
            total += sys.getsizeof(instance.id) + sum(map(sys.getsizeof, instance.attributes.values()))
    return total


async def _held(backend: Any, names: list[str]) -> float:
    """Bytes beyond the strings that answers for these names add."""
    cloud_map = CloudMap(
        backend=backend, cache=CachePolicy(ttl=3600), connections=ConnectionPolicy(max_calls_per_second=1e6)
    )
    for number in range(10):
        await cloud_map.service(f"warm/s{number}", health="HEALTHY").resolve()
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for name in names:
        await cloud_map.service(name, health="HEALTHY").resolve()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before - _strings(cloud_map, names)


def measure(*, answers: int = 2000) -> dict[str, Any]:
    """Bytes an answer, and bytes an instance where one answer has a thousand."""
    names = [f"shop/service-{number}" for number in range(answers)]
    return {
        "bytes_per_answer": asyncio.run(_held(Registered(), names)) / answers,
        "bytes_per_instance": asyncio.run(_held(Large(), ["shop/large"])) / _LARGE,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=2000, help="at most 4000: the cache is bounded")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(answers=options.answers)
    if options.json:
        print(json.dumps({"python": platform.python_version(), **found}))
    else:
        print(f"Python {platform.python_version()}, {options.answers} answers; bytes beyond the strings")
        print(f"an answer of one instance with two attributes: {found['bytes_per_answer']:.0f}, budget {BUDGET:g}")
        print(f"an instance of {_LARGE} in one answer: {found['bytes_per_instance']:.0f}")
    return 1 if found["bytes_per_answer"] > BUDGET else 0


if __name__ == "__main__":
    sys.exit(main())
