"""How long each run of the demo takes, and when its outage begins: everything that depends on `--seconds`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final, Self

__all__ = ["MIN_SECONDS", "NAMESPACE", "SERVICES", "Schedule"]

NAMESPACE: Final = "shop"
SERVICES: Final = ("orders", "payments", "mail")

MIN_SECONDS: Final = 10.0
"""A shorter demo has no time for an outage that outlasts the retry of a plain client."""

_RATE = 25.0
_STARTING = 2.0
# A plain client in botocore's standard mode waits up to a second before its one retry.
_MIN_OUTAGE = 1.5


@dataclass(frozen=True, slots=True)
class Schedule:
    """The schedule of one run. All three strategies have the same.

    Args:
        length: Seconds during which requests arrive.
        rate: Requests a second.
        descriptors: RLIMIT_NOFILE of the process under load.
        outage_from: Seconds after the first request.
        outage_to: Seconds after the first request.
        ttl: Seconds that aiocloudmap's answers are fresh. Short, so that they expire during the outage.
    """

    length: float
    rate: float
    descriptors: int
    outage_from: float
    outage_to: float
    ttl: float

    @classmethod
    def lasting(cls, seconds: float) -> Self:
        """The schedule of a demo that takes about this long, but at least MIN_SECONDS."""
        length = (max(seconds, MIN_SECONDS) - _STARTING) / 3
        outage = max(_MIN_OUTAGE, length / 3)
        begin = min(0.6 * length, length - outage - 0.1)
        # A client kept per request uses them up before the outage. The interpreter needs about 16 itself.
        descriptors = 16 + int(0.4 * length * _RATE)
        return cls(length, _RATE, descriptors, begin, begin + outage, ttl=0.9 * outage)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The schedule that `to_json` wrote."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """For the command line of the process under load."""
        return json.dumps(asdict(self))

    @property
    def requests(self) -> int:
        """Requests of a run."""
        return round(self.rate * self.length)

    @property
    def max_length(self) -> float:
        """Seconds after which a run on a slow machine is stopped."""
        return 4 * self.length + 10
