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
TIMEOUT = 300.0


class Break(NamedTuple):
    """One place, what stands there, and what takes its place."""

    what: str
    file: str
    old: str
    new: str


BREAKS = [
    Break(
        "an answer may be served past its hard end",
        "cache/freshness.py",
        "hard = written + policy.ttl + policy.stale_if_error",
        "hard = written + policy.ttl + policy.stale_if_error + 1",
    ),
    Break(
        "after a failed refresh an answer is served for longer than it may live",
        "cache/entry.py",
        "self.serve_until = min(until if is_held else max(until, self.soft), self.hard)",
        "self.serve_until = max(until, self.soft)",
    ),
    Break(
        "soft_timeout starts again with every caller of one call",
        "cache/lookup.py",
        "started = call.started if call.task is not None else now",
        "started = now",
    ),
    Break(
        "calls of different event loops are one",
        "cache/singleflight.py",
        "calls = self._current.get(loop)",
        "calls = next(iter(self._current.values()), None)",
    ),
    Break(
        "a call that began before an invalidation is written",
        "cache/update.py",
        "return not call.invalidated and entry.listed and",
        "return entry.listed and",
    ),
    Break(
        "an older result overwrites a newer one",
        "cache/update.py",
        "entry.listed and entry.started <= call.started",
        "entry.listed",
    ),
    Break(
        "max_age=0 joins a call that began before it was asked",
        "cache/singleflight.py",
        "elif call.invalidated or (fresh and call.began):",
        "elif call.invalidated:",
    ),
    Break(
        "an answer older than max_age replaces a failed call",
        "cache/entry.py",
        "return 0 < max_age >= now - self.written",
        "return max_age > 0",
    ),
    Break(
        "the deadline is twice as long",
        "cache/resolver.py",
        "call.timer = Deadline(self.clock, self._timeout, lambda: self._expire(call))",
        "call.timer = Deadline(self.clock, self._timeout * 2, lambda: self._expire(call))",
    ),
    Break(
        "cancelling one caller ends the call of all",
        "cache/singleflight.py",
        "if call.waiters or call.keep or call.done:",
        "if call.keep or call.done:",
    ),
    Break(
        "an inline call outlives its last caller",
        "cache/resolver.py",
        "        self._complete(call, None)\n        self._cancel(task)\n        return task\n",
        "        return None\n",
    ),
    Break(
        "an empty answer is believed at once",
        "cache/update.py",
        "if old is not None and end > now:",
        "if old is not None and end > now + 1e9:",
    ),
    Break(
        "the hold starts again with every empty answer",
        "cache/update.py",
        "since = now if entry.failures.empty_since == LONG_AGO else entry.failures.empty_since",
        "since = now",
    ),
    Break(
        "time that passed unseen makes no answer older",
        "cache/entry.py",
        "self.hard -= seconds",
        "self.hard -= 0",
    ),
    Break(
        "throttling holds back only its own question",
        "cache/update.py",
        "if (wait := limiter.on_throttled(now)) is not None:",
        "if (wait := None) is not None:",
    ),
    Break(
        "calls that wait for their turn are made under a throttle",
        "cache/resolver.py",
        "        if now < limiter.throttled_until:\n            raise limiter.refusal()\n",
        "",
    ),
    Break(
        "the rate is not limited",
        "cache/rate_limiter.py",
        "return wait if wait > _MIN_WAIT else 0.0",
        "return 0.0",
    ),
    Break(
        "a wrong setting hides behind an old answer",
        "cache/update.py",
        "        if isinstance(outcome, ConfigurationError):\n            if is_newest:\n",
        "        if isinstance(outcome, ConfigurationError) and entry.usable(now) is None:\n"
        "            if is_newest:\n",
    ),
    Break(
        "a call that began before clear() is written",
        "cache/resolver.py",
        "self._calls.invalidate(lambda _: True)",
        "self._calls.invalidate(lambda _: False)",
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
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return ended.returncode == 1


def main() -> int:
    """The program."""
    with tempfile.TemporaryDirectory() as scratch:
        if caught(Break("nothing", "cache/resolver.py", '"""How a question', '"""How a question'), Path(scratch)):
            print("the attack fails though nothing is broken")
            return 1
    missed = 0
    for number, each in enumerate(BREAKS, 1):
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            found = caught(each, Path(scratch))
        missed += not found
        outcome = "caught" if found else "MISSED"
        print(f"{number:2}/{len(BREAKS)} {outcome} in {time.monotonic() - begun:5.1f} s: {each.what}", flush=True)
    print(f"{len(BREAKS) - missed} of {len(BREAKS)} caught")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
