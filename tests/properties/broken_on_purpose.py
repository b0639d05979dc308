"""Breaks the code on purpose, one place after the other, and tells whether the attack on freshness notices.

    python tests/properties/broken_on_purpose.py

Each break is made in a copy of the package, and the short attack runs against it. Ends with 1 where one gets through,
or where a place to break is not there any more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0


class Break(NamedTuple):
    """One place, what stands there, and what takes its place."""

    what: str
    file: str
    old: str
    new: str


BREAKS = [
    Break(
        "reading an answer keeps it alive past its hard end",
        "cache/freshness.py",
        "hard = written + policy.ttl + policy.stale_if_error",
        "hard = written + policy.ttl + policy.stale_if_error + 1",
    ),
    Break(
        "a failed refresh is served for longer than the answer may live",
        "cache/cell.py",
        "self.serve_until = min(max(until, self.soft), self.hard)",
        "self.serve_until = max(until, self.soft)",
    ),
    Break(
        "soft_timeout begins anew with every caller of one call",
        "deciding.py",
        "begun = flight.started if flight.task is not None else now",
        "begun = now",
    ),
    Break(
        "flights of different event loops are one",
        "cache/flights.py",
        "current = self._current.get(loop)",
        "current = next(iter(self._current.values()), None)",
    ),
    Break(
        "a call that began before an invalidation writes all the same",
        "settling.py",
        "return not flight.barred and cell.listed and",
        "return cell.listed and",
    ),
    Break(
        "an older result overwrites a newer one",
        "settling.py",
        "cell.listed and cell.started <= flight.started",
        "cell.listed",
    ),
    Break(
        "max_age=0 joins a call that began before it came",
        "cache/flights.py",
        "elif flight.barred or (fresh and flight.begun):",
        "elif flight.barred:",
    ),
    Break(
        "an answer that is too old stands in for a failed call with a max_age",
        "deciding.py",
        "return 0 < max_age >= now - cell.written",
        "return max_age > 0",
    ),
    Break(
        "the deadline lets the waiters wait on",
        "cache/flights.py",
        "flight.timer = Deadline(self._clock, self.timeout, lambda: self._expire(flight))",
        "flight.timer = Deadline(self._clock, self.timeout * 2, lambda: self._expire(flight))",
    ),
    Break(
        "cancelling one caller ends the call of all",
        "cache/flights.py",
        "if flight.waiters or flight.keep or flight.landed:",
        "if flight.keep or flight.landed:",
    ),
    Break(
        "an inline call outlives its last caller",
        "cache/flights.py",
        "        self._take_down(flight.task)\n        return flight.task\n",
        "        return None\n",
    ),
    Break(
        "an empty answer is believed at once",
        "settling.py",
        "if old is not None and end > now:",
        "if old is not None and end > now + 1e9:",
    ),
    Break(
        "doubt begins anew with every empty answer",
        "settling.py",
        "since = now if cell.trouble.empty_since == NEVER else cell.trouble.empty_since",
        "since = now",
    ),
    Break(
        "time that passed unseen ages no answer",
        "cache/cell.py",
        "self.hard -= seconds",
        "self.hard -= 0",
    ),
    Break(
        "throttling holds back its own key only",
        "settling.py",
        "if (wait := self._pace.hit(now)) is not None:",
        "if (wait := None) is not None:",
    ),
    Break(
        "calls that wait for their turn go ahead under a throttle",
        "resolver.py",
        "        if now < self._pace.floor:\n            raise self._pace.refusal()\n",
        "",
    ),
    Break(
        "the pace is not kept",
        "cache/pace.py",
        "return wait if wait > _MOMENT else 0.0",
        "return 0.0",
    ),
    Break(
        "a wrong setting hides behind an old answer",
        "settling.py",
        "        if isinstance(truth, ConfigurationError):\n            if current:\n",
        "        if isinstance(truth, ConfigurationError) and good(cell, now) is None:\n            if current:\n",
    ),
    Break(
        "a call that began before everything was forgotten writes all the same",
        "resolver.py",
        "self._flights.bar(lambda _: True)",
        "self._flights.bar(lambda _: False)",
    ),
    Break(
        "the backoff does not grow",
        "cache/freshness.py",
        "_FIRST_BACKOFF * 2.0 ** min(failures - 1, 16)",
        "_FIRST_BACKOFF * 2.0 ** min(failures - 1, 0)",
    ),
]


def caught(each: Break, scratch: Path) -> bool:
    """Whether the attack fails against a copy that is broken so.

    Raises:
        ValueError: What is to be broken is not there, or there more than once.
    """
    source = scratch / "src"
    shutil.copytree(ROOT / "src", source)
    path = source / "aiocloudmap" / each.file
    text = path.read_text(encoding="utf-8")
    if text.count(each.old) != 1:
        raise ValueError(f"{each.file} has {text.count(each.old)} places to break: {each.what}")
    path.write_text(text.replace(each.old, each.new), encoding="utf-8")
    attack = ["pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "not long", str(ROOT / "tests" / "properties")]
    try:
        ended = subprocess.run(
            [sys.executable, "-m", *attack],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(source), "FRESHNESS_HASTY": "1"},
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return ended.returncode == 1


def main() -> int:
    """The program."""
    with tempfile.TemporaryDirectory() as scratch:
        if caught(Break("nothing", "resolver.py", '"""The cold path', '"""The cold path'), Path(scratch)):
            print("the attack fails though nothing is broken")
            return 1
    missed = 0
    for number, each in enumerate(BREAKS, 1):
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            found = caught(each, Path(scratch))
        missed += not found
        verdict = "caught" if found else "MISSED"
        print(f"{number:2}/{len(BREAKS)} {verdict} in {time.monotonic() - begun:5.1f} s: {each.what}", flush=True)
    print(f"{len(BREAKS) - missed} of {len(BREAKS)} caught")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
