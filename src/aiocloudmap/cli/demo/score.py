"""The measured result of one strategy: what its process reported and its server counted, and the claims to check."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from aiocloudmap.cli.demo.schedule import Schedule
from aiocloudmap.model.policy import ConnectionPolicy

__all__ = ["Counts", "FailedRequest", "Score", "broken_claims", "percentile"]


class Counts(NamedTuple):
    """What the server counted: sockets (open, most at once, all ever accepted), and DiscoverInstances calls."""

    open: int = 0
    peak: int = 0
    accepted: int = 0
    discoveries: int = 0


@dataclass(frozen=True, slots=True)
class FailedRequest:
    """A request that failed `at` seconds after the start, with the error of an AWS call."""

    at: float
    call: str
    error: str
    descriptors: bool
    """Whether the reason was that no file descriptor was left."""


@dataclass(slots=True)
class Score:
    """The run of one strategy, updated while it goes on. Times are seconds after its first request was due."""

    strategy: str
    schedule: Schedule
    state: str = "starting"
    """starting, ready or running, then done or dead."""

    now: float = 0.0
    outage: bool = False
    answers: list[tuple[float, float]] = field(default_factory=list)
    """The time of each answer, and how long its caller had waited."""

    failures: list[FailedRequest] = field(default_factory=list)
    counts: Counts = field(default=Counts())
    samples: list[tuple[float, Counts]] = field(default_factory=list)
    discoveries_in_outage: int = 0

    def on_message(self, message: Mapping[str, Any]) -> None:
        """Process a line of the process under load; `aiocloudmap.cli.demo.load` has the format."""
        match message:
            case {"kind": "answered", "at": at, "took": took}:
                self.answers.append((at, took))
            case {"kind": "failed", **failure}:
                self.failures.append(FailedRequest(**failure))
            case {"kind": "ready"}:
                self.state = "ready"
            case _:  # done
                self.state = "dead" if self.out_of_descriptors else "done"

    def on_counts(self, now: float, counts: Counts) -> None:
        """Record the counts of the server."""
        if self.outage:
            self.discoveries_in_outage += counts.discoveries - self.counts.discoveries
        self.now, self.counts = now, counts
        self.samples.append((now, counts))

    @property
    def out_of_descriptors(self) -> FailedRequest | None:
        """The first request that failed because no file descriptor was left."""
        return next((failure for failure in self.failures if failure.descriptors), None)

    @property
    def never_tried(self) -> int:
        """Requests that the process did not reach before it stopped."""
        return self.schedule.requests - len(self.answers) - len(self.failures)

    def waited(self, share: float) -> float | None:
        """The longest wait, in seconds, of this share of the answered callers. None without answers."""
        return percentile([took for _, took in self.answers], share)

    def summary(self) -> dict[str, Any]:
        """The figures, for a script."""
        first = self.out_of_descriptors
        return {
            "requests": self.schedule.requests,
            "answered": len(self.answers),
            "failed": len(self.failures),
            "never_tried": self.never_tried,
            "failures": [asdict(failure) | {"at": round(failure.at, 3)} for failure in self.failures],
            "out_of_descriptors_at": None if first is None else round(first.at, 3),
            "sockets_peak": self.counts.peak,
            "connections": self.counts.accepted,
            "discover_instances": self.counts.discoveries,
            "discover_instances_in_outage": self.discoveries_in_outage,
            "p50_ms": _milliseconds(self.waited(0.5)),
            "p99_ms": _milliseconds(self.waited(0.99)),
        }


def broken_claims(scores: Mapping[str, Score]) -> list[str]:
    """The claims of the demo that this run did not show."""
    kept, shared, ours = scores["kept"], scores["shared"], scores["aiocloudmap"]
    first, limit = kept.out_of_descriptors, ConnectionPolicy().max_connections
    claims: Iterable[tuple[bool, str]] = (
        (first is not None, "the clients kept per request did not use up the descriptors"),
        (first is None or first.call == "PutEvents", "the first call without a descriptor was not PutEvents"),
        (bool(shared.failures), "the shared client's callers did not notice the outage"),
        (not ours.failures, "callers of aiocloudmap got errors"),
        (ours.never_tried == 0, "aiocloudmap did not finish the load"),
        (ours.discoveries_in_outage > 0, "aiocloudmap made no call during the outage, so the outage was not tested"),
        (ours.counts.peak <= limit, f"aiocloudmap had more than {limit} sockets open"),
        (
            ours.counts.discoveries < shared.counts.discoveries,
            "aiocloudmap called Cloud Map as often as a client without a cache",
        ),
    )
    return [broken for held, broken in claims if not held]


def percentile(values: Iterable[float], share: float) -> float | None:
    """The nearest-rank percentile of the values; `share` is from 0 to 1. None without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
