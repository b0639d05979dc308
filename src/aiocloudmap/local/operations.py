"""Operations: what RegisterInstance and similar calls start, and what takes effect when they end.

| since it was submitted | status | effect |
|---|---|---|
| less than half its time | SUBMITTED | not visible; another one on the same target is refused with DuplicateRequest |
| less than its time | PENDING | the same |
| longer | SUCCESS | visible |
| longer, if it was made to fail or its effect is refused | FAIL | never visible |

There are no timers: `settle` is called before each look at the world, and applies whatever is due.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiocloudmap.local.request import RefusedError

__all__ = ["Operation", "OperationLog", "Target"]

_KEPT = 1000

Target = tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Operation:
    """One operation, running or done."""

    id: str
    number: int
    type: str
    owner: str
    targets: Mapping[str, str]
    target: Target
    created: float
    submitted_at: float
    due_at: float
    apply: Callable[[str], None]
    token: str | None = None
    request: object = None
    fails_with: tuple[str, str] | None = None
    done: bool = False

    def status(self, now: float) -> str:
        """AWS's name for its status."""
        if self.done:
            return "FAIL" if self.fails_with else "SUCCESS"
        return "SUBMITTED" if now < (self.submitted_at + self.due_at) / 2 else "PENDING"

    def updated(self, now: float) -> float:
        """When its status last changed, in seconds since the epoch."""
        duration = self.due_at - self.submitted_at
        if self.done:
            return self.created + duration
        return self.created + (duration / 2 if self.status(now) == "PENDING" else 0)


@dataclass(slots=True)
class OperationLog:
    """All running operations, and at least the last thousand finished ones.

    Args:
        duration: Seconds that an operation takes; 0 ends it at once. A change applies to later operations.
    """

    duration: float = 0.0
    by_id: dict[str, Operation] = field(default_factory=dict)
    _running: dict[Target, Operation] = field(default_factory=dict)
    _failures: list[tuple[str, str]] = field(default_factory=list)

    def fail(self, times: int, code: str, message: str) -> None:
        """Make the next operations end as FAIL."""
        self._failures += [(code, message)] * times

    def submit(self, operation: Operation) -> Operation:
        """Start an operation, and end it if it takes no time."""
        self.check_free(operation.target)
        if self._failures:
            operation.fails_with = self._failures.pop(0)
        self.by_id[operation.id] = self._running[operation.target] = operation
        self.settle(operation.submitted_at)
        if len(self.by_id) > 2 * _KEPT:
            finished = [each.id for each in self.by_id.values() if each.done]
            for operation_id in finished[:-_KEPT]:
                del self.by_id[operation_id]
        return operation

    def find_running(self, kind: str, scope: Target, token: str) -> Operation | None:
        """The running operation of this type inside `scope` that was started with the token."""
        for each in self._running.values():
            if (each.type, each.token, each.target[: len(scope)]) == (kind, token, scope):
                return each
        return None

    def check_free(self, target: Target) -> None:
        """Refuse with DuplicateRequest if an operation on the target is running."""
        if running := self._running.get(target):
            raise RefusedError(
                f"operation {running.id} ({running.type}) on it is still in progress",
                code="DuplicateRequest",
                members={"DuplicateOperationId": running.id},
            )

    def is_running(self, kind: str, target: Target) -> bool:
        """Whether an operation of this type runs on the target."""
        running = self._running.get(target)
        return running is not None and running.type == kind

    def running_under(self, target: Target) -> bool:
        """Whether an operation runs on the target or on anything inside it."""
        return any(other[: len(target)] == target for other in self._running)

    def settle(self, now: float) -> None:
        """Apply everything that is due, in the order in which it became due."""
        due = sorted((each for each in self._running.values() if each.due_at <= now), key=lambda each: each.due_at)
        for operation in due:
            del self._running[operation.target]
            operation.done = True
            if not operation.fails_with:
                try:
                    operation.apply(operation.id)
                except RefusedError as refusal:
                    operation.fails_with = refusal.code, refusal.what
