"""Random faults from a seed, one after the other, until stopped."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Self

from versions import SERVICES, Versions

from aiocloudmap.local.fault import Fault
from aiocloudmap.local.faults import Faults

KINDS: dict[str, Callable[..., Fault]] = {
    "throttle": Faults.throttle,
    "short delay": lambda on, **scope: on.delay(0.05, **scope),
    "long delay": lambda on, **scope: on.delay(0.5, **scope),
    "hang": Faults.hang,
    "hold": Faults.hold,
    "reset": Faults.reset,
    "500": Faults.server_error,
    "503": lambda on, **scope: on.server_error(503, **scope),
    "garbage": Faults.garbage,
    "empty": Faults.empty,
    "half a body": Faults.truncate,
    "one instance": lambda on, **scope: on.truncate(instances=1, **scope),
    "no instance": lambda on, **scope: on.truncate(instances=0, **scope),
    "expired token": Faults.expired_token,
    "access denied": Faults.access_denied,
}


class FaultInjector:
    """A thread that switches faults on and off, drops idle connections, and changes the world.

    Args:
        faults: The faults of the world.
        versions: Publishes new versions.
        seed: For the random choices.
    """

    def __init__(self, faults: Faults, versions: Versions, seed: int) -> None:
        self.met: Counter[str] = Counter()
        self._faults = faults
        self._versions = versions
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faults")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._versions.publish(self._random.choice(SERVICES))
            if self._random.random() < 0.2:
                silently = self._random.random() < 0.5
                self._faults.drop_idle(silently=silently)
                self.met["dead idle connections" if silently else "closed idle connections"] += 1
            kind = self._random.choice(sorted(KINDS))
            scope = {} if self._random.random() < 0.3 else {"service": self._random.choice(SERVICES)}
            with KINDS[kind](self._faults, **scope) as fault:
                self._stop.wait(self._random.uniform(0.02, 0.6))
            self.met[kind] += fault.hits
            self._stop.wait(self._random.uniform(0, 0.3))
        self._faults.clear()
