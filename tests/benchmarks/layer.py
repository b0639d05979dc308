"""The first answer of a fresh process in the slim Lambda layer, against bare aiobotocore with all of its data.

    python tests/benchmarks/layer.py WHOLE SLIM [ROUNDS]

WHOLE and SLIM are folders with everything installed, compiled to bytecode. Ends with 1 if the budget is exceeded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from cold_start import _BARE as BARE
from cold_start import _OURS as OURS
from pairs import compare_synchronously
from testbed import child_server

BUDGET = 0.95
_PROGRAM = "import time; begun = time.process_time()\n{}\nprint(time.process_time() - begun)"


def main() -> int:
    """The program."""
    whole, slim, *rest = sys.argv[1:]
    rounds = int(rest[0]) if rest else 16
    with child_server(None) as environment:

        def cpu_seconds(program: str, folder: str) -> float:
            command = [sys.executable, "-S", "-W", "ignore", "-c", _PROGRAM.format(program)]
            variables = {**os.environ, **environment, "PYTHONPATH": folder}
            done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True, timeout=60)
            return float(json.loads(done.stdout))

        compared = compare_synchronously(
            lambda: cpu_seconds(BARE, whole), {"layer": lambda: cpu_seconds(OURS, slim)}, rounds
        )["layer"]
    ratio = compared["ratio"]
    print(f"first answer in the layer: {ratio['median']} x bare aiobotocore ({ratio['low']} to {ratio['high']}), CPU")
    print(f"budget: {BUDGET} x")
    return int(ratio["median"] > BUDGET)


if __name__ == "__main__":
    sys.exit(main())
