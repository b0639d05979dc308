"""How long the story takes and what happens in it when: everything that depends on the time there is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final, Self

__all__ = ["LEAST_SECONDS", "NAMESPACE", "SERVICES", "Plan"]

NAMESPACE: Final = "shop"
SERVICES: Final = ("orders", "payments", "mail")

LEAST_SECONDS: Final = 10.0
"""Shorter than that there is no room for an outage that outlasts a plain client's retry."""

_RATE = 25.0
_STARTING = 2.0
# A plain client in botocore's standard mode waits up to a second before its one retry.
_LEAST_OUTAGE = 1.5


@dataclass(frozen=True, slots=True)
class Plan:
    """One act of the story; all three have the same.

    Args:
        act: Seconds during which requests arrive.
        rate: Requests a second.
        descriptors: RLIMIT_NOFILE of the process under load.
        outage_from: Seconds after the first request.
        outage_to: Seconds after the first request.
        ttl: Of aiocloudmap's answers, in seconds; short, so that they expire during the outage.
    """

    act: float
    rate: float
    descriptors: int
    outage_from: float
    outage_to: float
    ttl: float

    @classmethod
    def lasting(cls, seconds: float) -> Self:
        """A plan for a story of about that many seconds, LEAST_SECONDS at least."""
        act = (max(seconds, LEAST_SECONDS) - _STARTING) / 3
        outage = max(_LEAST_OUTAGE, act / 3)
        begin = min(0.6 * act, act - outage - 0.1)
        # So many that a client kept per request has used them up before the outage; a few belong to the interpreter.
        descriptors = 16 + int(0.4 * act * _RATE)
        return cls(act, _RATE, descriptors, begin, begin + outage, ttl=0.9 * outage)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The plan that `to_json` wrote."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """For the process under load."""
        return json.dumps(asdict(self))

    @property
    def requests(self) -> int:
        """How many requests an act has."""
        return round(self.rate * self.act)

    @property
    def patience(self) -> float:
        """Seconds after which an act on a slow machine is given up."""
        return 4 * self.act + 10
