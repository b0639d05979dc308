"""What happened to one way: what its process told, what its server counted, and whether the story holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiocloudmap.cli.demo.plan import Plan
from aiocloudmap.model.policy import ConnectionPolicy

__all__ = ["Counts", "Fault", "Score", "broken_claims", "percentile"]


@dataclass(frozen=True, slots=True)
class Counts:
    """What the server saw so far.

    Args:
        open: Open sockets now.
        peak: The most there have been.
        accepted: Connections accepted.
        discoveries: Calls of DiscoverInstances, answered or refused.
    """

    open: int = 0
    peak: int = 0
    accepted: int = 0
    discoveries: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """A request that failed.

    Args:
        at: Seconds after the first request was due.
        call: The AWS call that failed.
        error: What it said.
        descriptors: Whether for want of a descriptor.
    """

    at: float
    call: str
    error: str
    descriptors: bool


@dataclass(slots=True)
class Score:
    """One way's act, while it goes on and afterwards. All times in seconds after its first request was due."""

    way: str
    plan: Plan
    state: str = "starting"
    """starting, ready, running, then done or dead."""

    now: float = 0.0
    outage: bool = False
    answers: list[tuple[float, float]] = field(default_factory=list)
    """When, and how long the caller had waited."""

    faults: list[Fault] = field(default_factory=list)
    samples: list[tuple[float, Counts]] = field(default_factory=list)
    discoveries_in_outage: int = 0

    def told(self, message: Mapping[str, Any]) -> None:
        """Take note of a line of the process under load (see `aiocloudmap.cli.demo.load`)."""
        kind = message["kind"]
        if kind == "answered":
            self.answers.append((message["at"], message["took"]))
        elif kind == "failed":
            self.faults.append(Fault(message["at"], message["call"], message["error"], message["descriptors"]))
        elif kind == "ready":
            self.state = "ready"
        elif kind == "done":
            self.state = "dead" if self.out_of_descriptors else "done"

    def saw(self, now: float, counts: Counts) -> None:
        """Take note of the server's counts."""
        if self.outage:
            self.discoveries_in_outage += counts.discoveries - self.counts.discoveries
        self.now = now
        self.samples.append((now, counts))

    @property
    def counts(self) -> Counts:
        """The server's latest."""
        return self.samples[-1][1] if self.samples else Counts()

    @property
    def out_of_descriptors(self) -> Fault | None:
        """The first request that failed for want of a descriptor."""
        return next((fault for fault in self.faults if fault.descriptors), None)

    @property
    def never_tried(self) -> int:
        """Requests that came when the process could do nothing any more."""
        return self.plan.requests - len(self.answers) - len(self.faults)

    def waited(self, share: float) -> float | None:
        """How long the share of the answered callers waited at most, in seconds; None where nobody was answered."""
        return percentile([took for _, took in self.answers], share)

    def summary(self) -> dict[str, Any]:
        """The figures, for a script."""
        fault = self.out_of_descriptors
        return {
            "requests": self.plan.requests,
            "answered": len(self.answers),
            "failed": len(self.faults),
            "never_tried": self.never_tried,
            "failures": [
                {"at": round(one.at, 3), "call": one.call, "error": one.error, "descriptors": one.descriptors}
                for one in self.faults
            ],
            "out_of_descriptors_at": None if fault is None else round(fault.at, 3),
            "sockets_peak": self.counts.peak,
            "connections": self.counts.accepted,
            "discover_instances": self.counts.discoveries,
            "discover_instances_in_outage": self.discoveries_in_outage,
            "p50_ms": _milliseconds(self.waited(0.5)),
            "p99_ms": _milliseconds(self.waited(0.99)),
        }


def broken_claims(scores: Mapping[str, Score]) -> Sequence[str]:
    """What the story claims and this run did not show; nothing where it held."""
    kept, shared, ours = scores["kept"], scores["shared"], scores["aiocloudmap"]
    first, limit = kept.out_of_descriptors, ConnectionPolicy().max_connections
    claims: Iterable[tuple[bool, str]] = (
        (first is not None, "the clients kept per request did not use up the descriptors"),
        (first is None or first.call == "PutEvents", "the first call without a descriptor was not the innocent one"),
        (bool(shared.faults), "the shared client's callers did not notice the outage"),
        (not ours.faults, "callers of aiocloudmap were refused"),
        (ours.never_tried == 0, "aiocloudmap did not come to the end of the load"),
        (ours.discoveries_in_outage > 0, "aiocloudmap asked nothing during the outage, so it proved nothing"),
        (ours.counts.peak <= limit, f"aiocloudmap had more than {limit} sockets open"),
        (
            ours.counts.discoveries < shared.counts.discoveries,
            "aiocloudmap asked Cloud Map as often as a client without a cache",
        ),
    )
    return [broken for held, broken in claims if not held]


def percentile(values: Iterable[float], share: float) -> float | None:
    """The least of the values that the share of them does not exceed (nearest rank); None without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
