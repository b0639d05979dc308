"""From nothing to the first answer, as a ratio to bare aiobotocore doing the same; and an invocation in a warm process.

    python tests/benchmarks/cold_start.py [--rounds 20] [--json]

A cold start is a process of its own: import, first client, first answer, timed from the first import on. The two sides
take turns, against one server on the loopback, without TLS and with it (the certificate is checked against botocore's
whole bundle, as AWS's own would be). An invocation is one `asyncio.run` in a warm process that has to ask the server
anew; on the other side it makes a session and a client each time. Ends with 1 if a figure is over its budget.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from typing import Any

from fresh_process import spread
from one_answer import askers, found

BUDGETS = {"http": 0.9, "https": 0.96}
INVOCATION_BUDGET = 5.0
"""Milliseconds."""

_BARE = """
import json, time
begun, worked = time.perf_counter(), time.process_time()
import asyncio
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

async def main():
    async with get_session().create_client("servicediscovery", config=AioConfig(inject_host_prefix=False)) as client:
        answer = await client.discover_instances(NamespaceName="shop", ServiceName="orders")
        assert answer["Instances"]
        return time.perf_counter() - begun, time.process_time() - worked

print(json.dumps(asyncio.run(main())))
"""

_OURS = """
import json, time
begun, worked = time.perf_counter(), time.process_time()
import asyncio
from aiocloudmap import CloudMap

async def main():
    assert await CloudMap().service("shop/orders").resolve()
    return time.perf_counter() - begun, time.process_time() - worked

print(json.dumps(asyncio.run(main())))
"""

_BARE_INVOCATIONS = """
import asyncio, statistics, time
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

async def main():
    async with get_session().create_client("servicediscovery", config=AioConfig(inject_host_prefix=False)) as client:
        await client.discover_instances(NamespaceName="shop", ServiceName="orders")

times = []
for _ in range(12):
    begun = time.perf_counter()
    asyncio.run(main())
    times.append((time.perf_counter() - begun) * 1e3)
print(statistics.median(times[2:]))
"""

_OUR_INVOCATIONS = """
import asyncio, statistics, time
from aiocloudmap import CloudMap

async def main():
    await CloudMap().service("shop/orders").resolve(max_age=0)

times = []
for _ in range(42):
    begun = time.perf_counter()
    asyncio.run(main())
    times.append((time.perf_counter() - begun) * 1e3)
print(statistics.median(times[2:]))
"""


def measure(*, rounds: int = 20) -> dict[str, Any]:
    """By scheme: both sides' milliseconds, the ratios of their durations and CPU times; and of invocations."""
    figures: dict[str, Any] = {}
    for scheme in BUDGETS:
        with askers(scheme, found(1)) as processes:
            pairs = processes.pairs(_OURS, _BARE, rounds)
            invocations = processes.pairs(_OUR_INVOCATIONS, _BARE_INVOCATIONS, 3)
        figures[scheme] = {
            "ratio": spread([ours / bare for (ours, _), (bare, _) in pairs]),
            "cpu_ratio": spread([ours / bare for (_, ours), (_, bare) in pairs]),
            "milliseconds": statistics.median(ours for (ours, _), _ in pairs) * 1e3,
            "bare_milliseconds": statistics.median(bare for _, (bare, _) in pairs) * 1e3,
            "invocation_milliseconds": statistics.median(ours for ours, _ in invocations),
            "bare_invocation_milliseconds": statistics.median(bare for _, bare in invocations),
        }
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(rounds=options.rounds)
    if options.json:
        print(json.dumps({"python": platform.python_version(), "load": os.getloadavg()[0], **figures}))
    else:
        print(f"Python {platform.python_version()}, {options.rounds} pairs of processes, load {os.getloadavg()[0]:.1f}")
    over = False
    for scheme, each in figures.items():
        ratio = each["ratio"]
        over |= ratio["median"] > BUDGETS[scheme] or each["invocation_milliseconds"] > INVOCATION_BUDGET
        if not options.json:
            print(
                f"{scheme}: cold start {each['milliseconds']:.0f} ms, bare {each['bare_milliseconds']:.0f} ms,"
                f" ratio {ratio['median']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f}), budget {BUDGETS[scheme]},"
                f" of CPU times {each['cpu_ratio']['median']:.3f}"
            )
            print(
                f"{scheme}: an invocation {each['invocation_milliseconds']:.1f} ms, with a new client"
                f" {each['bare_invocation_milliseconds']:.0f} ms, budget {INVOCATION_BUDGET:g} ms"
            )
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
