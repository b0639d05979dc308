"""Programs in processes of their own, as often as is needed for a figure; what several benchmarks share.

Their bytecode is compiled before anything is timed and kept outside of the tree. httpx is hidden from them: aiobotocore
imports it where it is installed, which takes longer than everything that is compared here.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Runner", "runner", "spread"]

_SOURCE = Path(__file__).parents[2] / "src"
_PRELUDE = "import sys\nsys.modules['httpx'] = sys.modules['httpx2'] = None\n"


class Runner:
    """Runs programs that print one JSON value, by the Python that runs this one."""

    def __init__(self, bytecode: str, environment: Mapping[str, str]) -> None:
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._environment |= {"PYTHONPATH": str(_SOURCE), "PYTHONPYCACHEPREFIX": bytecode, **environment}

    def run(self, program: str) -> Any:
        """What the program printed last."""
        command = [sys.executable, "-c", _PRELUDE + program]
        done = subprocess.run(command, env=self._environment, check=True, stdout=subprocess.PIPE, text=True, timeout=60)
        return json.loads(done.stdout.splitlines()[-1])

    def pairs(self, one: str, other: str, rounds: int) -> list[tuple[Any, Any]]:
        """What both printed, right after one another, so that what else the machine does meets both."""
        self.run(one), self.run(other)
        return [(self.run(one), self.run(other)) for _ in range(rounds)]


@contextlib.contextmanager
def runner(**environment: str) -> Iterator[Runner]:
    """A runner whose programs have these variables."""
    with tempfile.TemporaryDirectory() as bytecode:
        yield Runner(bytecode, environment)


def spread(values: list[float]) -> dict[str, float]:
    """The median and the quartiles around it."""
    low, middle, high = statistics.quantiles(values, n=4)
    return {"low": low, "median": middle, "high": high}
