"""Trouble to order: one line switches a fault on, for the server and for the in-process backend alike.

| fault | over the wire | in process |
|---|---|---|
| fail | an error code of AWS's | the error that `aiocloudmap.model.error_codes` makes of it |
| throttle | RequestLimitExceeded; ThrottlingException on the control plane | ThrottledError |
| delay | the answer comes later | the same, by the world's clock |
| hang | no answer, ever | waits until it is cancelled |
| hold | no answer before `release` | the same |
| reset | RST | ConnectError |
| server_error | status 500, or another | UnavailableError |
| garbage | status 200, and no JSON | ProtocolError |
| empty | status 200, and no body | ProtocolError |
| truncate | half the body, then the end of the connection | ProtocolError |
| truncate(instances=n) | the first n instances, as if that were all | the same |
| drop_idle | idle connections are closed, or silently dead | nothing: there are no connections |
| expired_token | ExpiredTokenException | CredentialsError |
| access_denied | AccessDeniedException | AccessDeniedError |

Every fault takes `next`, the number of calls it meets (None: all until it is cleared), `operation`, AWS's name of those
it meets (the X-Amz-Target where they are another AWS service's), and `service`, as `namespace/service`. A call meets
every pause that is on (delay, hold), then the first other fault, in the order they were switched on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterable
from math import inf
from typing import Final, NamedTuple, Never, TypedDict, Unpack

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.local.actions import CALLS
from aiocloudmap.local.fault import Fault, Kind
from aiocloudmap.local.gate import Gate
from aiocloudmap.model.error_codes import CODES
from aiocloudmap.model.interfaces import Clock, pause
from aiocloudmap.model.query import ServiceName
from aiocloudmap.model.validation import safe_repr

__all__ = ["Faults", "Scope", "Scoped", "check_number", "for_ever", "nearest", "pass_pauses", "scoped"]


# MERGED local/pauses: The part of a fault that is waiting: the same over the wire and in process.


async def pass_pauses(met: Iterable[Fault], gate: Gate, clock: Clock) -> Fault | None:
    """Wait as the faults that a call meets demand.

    Returns:
        What goes wrong then; None where nothing does. A hang never returns; cancelling it ends it.
    """
    for fault in met:
        if fault.kind is Kind.HOLD:
            await gate.wait()
        elif fault.kind is Kind.DELAY:
            await pause(clock, fault.amount)
        elif fault.kind is Kind.HANG:
            await for_ever()
        else:
            return fault
    return None


async def for_ever() -> Never:
    """Wait until cancelled."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("unreachable: nobody completes that future")


# MERGED local/scope: Which calls a fault meets: checked where it is switched on, since one that meets none would be silent.  # noqa: E501


_CLOUD_MAP = "Route53AutoNaming_"
"""How its X-Amz-Target begins, of which calls leave nothing but the operation's name."""


class Scope(TypedDict, total=False):
    """Which calls a fault meets."""

    next: int | None
    operation: str | None
    service: str | ServiceName | None


class Scoped(NamedTuple):
    """A scope that has been checked, with the service as text."""

    next: int | None
    operation: str | None
    service: str | None


def scoped(scope: Scope, targets: Collection[str]) -> Scoped:
    """The scope, checked.

    An operation with a dot is another AWS service's, which may be registered later. So may a service be.

    Args:
        scope: What somebody said.
        targets: What is known of other AWS services.

    Raises:
        ConfigurationError: No such number of calls, no such operation, or no name of a service.
        TypeError: A word that is none of a scope's.
    """
    if unknown := sorted(scope.keys() - Scope.__annotations__.keys()):
        raise TypeError(f"a fault takes {', '.join(Scope.__annotations__)}, not {', '.join(unknown)}")
    times, operation, service = scope.get("next"), scope.get("operation"), scope.get("service")
    if times is not None:
        check_number(
            f"next={safe_repr(times)} is no number of calls", times, least=1, whole=True, advice="Give 1 or more."
        )
    if operation is not None and not _can_be(operation, targets):
        raise ConfigurationError(
            f"operation={safe_repr(operation)} is no operation of Cloud Map{nearest(operation, [*CALLS, *targets])}",
            advice="Give AWS's name of one, like 'DiscoverInstances', or another service's X-Amz-Target.",
        )
    if service is not None and not isinstance(service, ServiceName):
        service = ServiceName.parse(service)
    return Scoped(times, operation, None if service is None else str(service))


def check_number(
    what: str, value: object, *, least: float, most: float = inf, whole: bool = False, advice: str
) -> None:
    """Refuse what is no number of that range, or a bool, in these words.

    Raises:
        ConfigurationError: It is none.
    """
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        raise ConfigurationError(what, advice=advice)


def nearest(slip: object, names: Collection[str]) -> str:
    """The name that was probably meant, as a question at the end of a message; nothing where there is none."""
    import difflib  # noqa: PLC0415 - a slip is rare

    near = difflib.get_close_matches(slip.rpartition(".")[2], names, n=1) if isinstance(slip, str) else []
    return f"; is it {near[0]}?" if near else ""


def _can_be(operation: object, targets: Collection[str]) -> bool:
    if not isinstance(operation, str):
        return False
    elsewhere = "." in operation and not operation.startswith(_CLOUD_MAP)
    return elsewhere or operation in CALLS or operation in targets


_PAUSES: Final = (Kind.DELAY, Kind.HOLD)
_SERVER_ERRORS: Final = {
    "InternalError": 500,
    "InternalFailure": 500,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
}
"""What AWS says where it has failed itself, with the status that goes with it. Every other code comes with 400."""


class Faults:
    """The faults of one local world. May be switched from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._on: list[Fault] = []
        self._gate = Gate()
        self._listeners: list[Callable[[bool], None]] = []
        self._targets: set[str] = set()

    def fail(self, error: str = "InternalFailure", *, status: int | None = None, **scope: Unpack[Scope]) -> Fault:
        """AWS answers with an error.

        Args:
            error: Its code, such as `RequestLimitExceeded` or `AccessDeniedException`.
            status: The HTTP status that comes with it. Where it is not said: 500 or 503 for AWS's own failures, such as
                `InternalFailure`, else 400. Needed for a code that this library knows nothing of.
            scope: Which calls it meets. Over the wire each of the client's own attempts is a call.

        Raises:
            ConfigurationError: No such code or status, or another argument that cannot be what it is.
        """
        if status is None:
            status = _status_of(error)
        advice = "Give one from 400 to 599."
        check_number(
            f"{safe_repr(status)} is no error's status", status, least=400, most=599, whole=True, advice=advice
        )
        return self._switch_on(Kind.ERROR, status, scope, code=error)

    def throttle(self, **scope: Unpack[Scope]) -> Fault:
        """AWS limits the rate of requests."""
        return self._switch_on(Kind.THROTTLE, 0, scope)

    def delay(self, seconds: float, **scope: Unpack[Scope]) -> Fault:
        """The answer takes `seconds` longer.

        Raises:
            ConfigurationError: Less than 0, or another argument that cannot be what it is, as for every fault.
        """
        check_number(f"a delay of {safe_repr(seconds)} s is none", seconds, least=0, advice="Give seconds, 0 or more.")
        return self._switch_on(Kind.DELAY, seconds, scope)

    def hang(self, **scope: Unpack[Scope]) -> Fault:
        """No answer ever comes; clearing it helps later calls only."""
        return self._switch_on(Kind.HANG, 0, scope)

    def hold(self, **scope: Unpack[Scope]) -> Fault:
        """Answers wait for `release`, so that a test decides when they come."""
        return self._switch_on(Kind.HOLD, 0, scope)

    def reset(self, **scope: Unpack[Scope]) -> Fault:
        """The connection is reset instead of an answer."""
        return self._switch_on(Kind.RESET, 0, scope)

    def server_error(self, status: int = 500, **scope: Unpack[Scope]) -> Fault:
        """AWS fails.

        Args:
            status: The HTTP status, from 500 to 599.
            scope: Which calls it meets.

        Raises:
            ConfigurationError: No such status.
        """
        advice = "Give a status from 500 to 599."
        check_number(f"{safe_repr(status)} is no server error", status, least=500, most=599, whole=True, advice=advice)
        return self._switch_on(Kind.SERVER_ERROR, status, scope)

    def garbage(self, **scope: Unpack[Scope]) -> Fault:
        """What comes back is no JSON."""
        return self._switch_on(Kind.GARBAGE, 0, scope)

    def empty(self, **scope: Unpack[Scope]) -> Fault:
        """What comes back is nothing, successfully."""
        return self._switch_on(Kind.EMPTY, 0, scope)

    def truncate(self, *, instances: int | None = None, **scope: Unpack[Scope]) -> Fault:
        """The body breaks off in the middle; or, with `instances`, only so many of them come."""
        if instances is None:
            return self._switch_on(Kind.TRUNCATE, 0, scope)
        what = f"{safe_repr(instances)} instances cannot be left"
        check_number(what, instances, least=0, whole=True, advice="Give 0 or more.")
        return self._switch_on(Kind.FEWER, instances, scope)

    def expired_token(self, **scope: Unpack[Scope]) -> Fault:
        """The caller's session token has expired."""
        return self._switch_on(Kind.EXPIRED_TOKEN, 0, scope)

    def access_denied(self, **scope: Unpack[Scope]) -> Fault:
        """The caller's identity may not do this."""
        return self._switch_on(Kind.ACCESS_DENIED, 0, scope)

    def drop_idle(self, *, silently: bool = False) -> None:
        """Servers close the connections that are idle now.

        Args:
            silently: They are not closed, but nothing that is sent on them is ever answered, as when a router on the
                way has forgotten them.
        """
        for listener in list(self._listeners):
            listener(silently)

    def release(self, count: int | None = None) -> None:
        """Let held calls go on.

        Args:
            count: So many of them, the first ones first, and later ones are held; None: all, and no more are held.
        """
        if count is not None:
            self._gate.let_go(count)
            return
        with self._lock:
            self._on = [fault for fault in self._on if fault.kind is not Kind.HOLD]
            gate, self._gate = self._gate, Gate()
        gate.open()

    @property
    def held(self) -> int:
        """How many calls are held now."""
        return self._gate.held

    async def until_held(self, count: int = 1) -> None:
        """Wait until so many calls are held. Bound it with a timeout: it waits for ever where they never come."""
        await self._gate.until_held(count)

    def clear(self) -> None:
        """Switch every fault off, and let held calls go on."""
        with self._lock:
            self._on = []
        self.release()

    def remove(self, fault: Fault) -> None:
        """Switch one fault off; the last hold takes the held calls along."""
        with self._lock:
            self._on = [each for each in self._on if each is not fault]
            holds = any(each.kind is Kind.HOLD for each in self._on)
        if fault.kind is Kind.HOLD and not holds:
            self.release()

    def take(self, operation: str, service: str | None) -> tuple[list[Fault], Gate]:
        """The faults that a call meets, in the order in which it meets them, and the gate that holds it."""
        with self._lock:
            meeting = [fault for fault in self._on if fault.meets(operation, service)]
            pauses = [fault for fault in meeting if fault.kind in _PAUSES]
            others = [fault for fault in meeting if fault.kind not in _PAUSES]
            met = pauses + others[:1]
            for fault in met:
                fault.hits += 1
                fault.remaining = None if fault.remaining is None else fault.remaining - 1
            self._on = [fault for fault in self._on if fault.remaining != 0]
            return met, self._gate

    def expect(self, target: str) -> None:
        """A server answers for this X-Amz-Target, too: a fault may be for it."""
        self._targets.add(target)

    def attach(self, listener: Callable[[bool], None]) -> None:
        """Have a server told to drop its idle connections; the argument says whether silently."""
        self._listeners.append(listener)

    def detach(self, listener: Callable[[bool], None]) -> None:
        """Tell it no more."""
        self._listeners.remove(listener)

    def __repr__(self) -> str:
        with self._lock:
            return f"<Faults {[fault.kind.name.lower() for fault in self._on]}, {self.held} held>"

    def _switch_on(self, kind: Kind, amount: float, scope: Scope, *, code: str = "") -> Fault:
        times, operation, service = scoped(scope, self._targets)
        fault = Fault(kind, amount, code, remaining=times, operation=operation, service=service, _clear=self.remove)
        with self._lock:
            self._on.append(fault)
        return fault


def _status_of(error: str) -> int:
    if isinstance(error, str) and (error in CODES or error in _SERVER_ERRORS):
        return _SERVER_ERRORS.get(error, 400)
    raise ConfigurationError(
        f"error={safe_repr(error)} is no error code that this library knows{nearest(error, [*CODES, *_SERVER_ERRORS])}",
        advice="Where AWS does send it, say its status, too: fail('CustomerHasLeft', status=400).",
    )
