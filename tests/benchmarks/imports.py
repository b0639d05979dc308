"""What `import aiocloudmap` takes, beyond what nearly every program has imported by then.

    python tests/benchmarks/imports.py [--rounds 40] [--json]

Each round is a process of its own that imports asyncio, dataclasses and cachetools, and then, timed, aiocloudmap.
The time is the CPU time, which the rest of the machine disturbs least. Ends with 1 if the median is over the budget.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from typing import Any

from fresh_process import runner, spread

BUDGET = 15.0
"""Milliseconds."""

_PROGRAM = """
import asyncio, dataclasses, cachetools, time
begun = time.process_time()
import aiocloudmap
taken = time.process_time() - begun
import json
aws = sorted({name.partition(".")[0] for name in sys.modules} & {"aiobotocore", "botocore", "aiohttp"})
print(json.dumps({"milliseconds": taken * 1e3, "aws": aws}))
"""


def measure(*, rounds: int = 40) -> dict[str, Any]:
    """Milliseconds, and what of AWS's libraries was loaded."""
    with runner() as processes:
        processes.run(_PROGRAM)
        found = [processes.run(_PROGRAM) for _ in range(rounds)]
    return {"milliseconds": spread([each["milliseconds"] for each in found]), "aws": found[0]["aws"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(rounds=options.rounds)
    times = found["milliseconds"]
    if options.json:
        print(json.dumps({"python": platform.python_version(), "load": os.getloadavg()[0], **found}))
    else:
        print(f"Python {platform.python_version()}, {options.rounds} processes, load {os.getloadavg()[0]:.1f}")
        print(f"{times['median']:.1f} ms ({times['low']:.1f} to {times['high']:.1f}), budget {BUDGET:g} ms")
        print(f"AWS's libraries loaded: {', '.join(found['aws']) or 'none'}")
    return 1 if times["median"] > BUDGET or found["aws"] else 0


if __name__ == "__main__":
    sys.exit(main())
