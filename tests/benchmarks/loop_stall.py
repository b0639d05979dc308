"""How long the event loop stands still while the answer about a large service comes in.

    python tests/benchmarks/loop_stall.py [--refreshes 30] [--json]

A task of the same loop gives way and comes back, over and over; the longest time that it was away during one refresh is
the stall, of which the figure is the median over all refreshes. Bare aiobotocore is asked the same in another process,
after another. Nothing here has a budget: it is for knowing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from typing import Any

from fresh_process import spread
from one_answer import askers, found

COUNTS = (1, 100, 1000)
"""Instances. AWS gives no more."""

_WATCH = """
import asyncio, json, time

async def watched(refresh, refreshes):
    gone = 0.0

    async def tick():
        nonlocal gone
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            gone, last = max(gone, now - last), now

    ticking, stalls = asyncio.create_task(tick()), []
    for _ in range(refreshes + 3):
        await asyncio.sleep(0.01)
        gone = 0.0
        await refresh()
        await asyncio.sleep(0)
        stalls.append(gone * 1e3)
    ticking.cancel()
    return stalls[3:]
"""

_OURS = """
from aiocloudmap import CloudMap

async def main():
    orders = CloudMap().service("shop/orders")
    return await watched(lambda: orders.resolve(max_age=0), REFRESHES)

print(json.dumps(asyncio.run(main())))
"""

_BARE = """
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

async def main():
    async with get_session().create_client("servicediscovery", config=AioConfig(inject_host_prefix=False)) as client:
        ask = lambda: client.discover_instances(NamespaceName="shop", ServiceName="orders", MaxResults=1000)
        return await watched(ask, REFRESHES)

print(json.dumps(asyncio.run(main())))
"""


def measure(*, refreshes: int = 30) -> dict[str, Any]:
    """By number of instances: milliseconds of the longest stall, ours and bare."""
    figures: dict[str, Any] = {}
    for count in COUNTS:
        with askers("http", found(count)) as processes:
            ours, bare = (
                processes.run(_WATCH + program.replace("REFRESHES", str(refreshes))) for program in (_OURS, _BARE)
            )
        figures[str(count)] = {"milliseconds": spread(ours), "bare_milliseconds": spread(bare)}
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--refreshes", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(refreshes=options.refreshes)
    if options.json:
        print(json.dumps({"python": platform.python_version(), "load": os.getloadavg()[0], **figures}))
        return 0
    print(f"Python {platform.python_version()}, {options.refreshes} refreshes, load {os.getloadavg()[0]:.1f}")
    for count, each in figures.items():
        ours, bare = each["milliseconds"], each["bare_milliseconds"]
        print(
            f"{count:>4} instance(s): the loop stands still for {ours['median']:.1f} ms"
            f" ({ours['low']:.1f} to {ours['high']:.1f}); bare {bare['median']:.1f} ms"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
