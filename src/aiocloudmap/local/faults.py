"""Faults on demand: one line switches a fault on, for the server and for the in-process backend alike.

| fault | over the wire | in process |
|---|---|---|
| fail | one of AWS's error codes | the error that `aiocloudmap.model.error_codes` maps it to |
| throttle | RequestLimitExceeded; ThrottlingException on the control plane | ThrottledError |
| delay | the answer comes later | the same, by the world's clock |
| hang | no answer, ever | waits until it is cancelled |
| hold | no answer before `release` | the same |
| reset | RST | ConnectError |
| server_error | status 500, or another | UnavailableError |
| garbage | status 200, and a body that is not JSON | ProtocolError |
| empty | status 200, and no body | ProtocolError |
| truncate | half the body, then the end of the connection | ProtocolError |
| truncate(instances=n) | the first n instances, as if they were all | the same |
| drop_idle | idle connections are closed, or stop answering | no effect: there are no connections |
| expired_token | ExpiredTokenException | CredentialsError |
| access_denied | AccessDeniedException | AccessDeniedError |

Every fault takes `next`, the number of calls it applies to (None: all until it is cleared), `operation`, AWS's name of
the operation (None: all of Cloud Map's; for another AWS service its X-Amz-Target), and `service`, as
`namespace/service`. A call gets every delay and hold that matches, and then the first other fault, in the order they
were switched on.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import Final, Never, Unpack

from aiocloudmap.local.fault import Fault, Kind, Scope, check_scope, default_status
from aiocloudmap.model.interfaces import Clock, pause
from aiocloudmap.model.validation import check_number

__all__ = ["PAUSES", "Faults", "Gate", "apply_pauses", "wait_forever"]

_WAITS: Final = (Kind.DELAY, Kind.HOLD)
PAUSES: Final = (*_WAITS, Kind.HANG)
"""Faults that let a call wait."""


class Faults:
    """The faults of one local world. May be switched from any thread.

    Methods raise `ConfigurationError` for invalid arguments.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[Fault] = []
        self._gate = Gate()
        self._listeners: list[Callable[[bool], None]] = []
        self._targets: set[str] = set()

    def fail(self, error: str = "InternalFailure", *, status: int | None = None, **scope: Unpack[Scope]) -> Fault:
        """AWS answers with an error.

        Args:
            error: Its code, such as `RequestLimitExceeded` or `AccessDeniedException`.
            status: The HTTP status. By default 500 or 503 for AWS's own failures, such as `InternalFailure`, else 400.
                Required for a code that this library does not know.
            scope: Which calls it applies to. Over the wire each attempt of the client is a call.
        """
        if status is None:
            status = default_status(error)
        check_number("status", status, 400, 599, whole=True)
        return self._switch_on(Kind.ERROR, status, scope, code=error)

    def throttle(self, **scope: Unpack[Scope]) -> Fault:
        """AWS limits the rate of requests."""
        return self._switch_on(Kind.THROTTLE, 0, scope)

    def delay(self, seconds: float, **scope: Unpack[Scope]) -> Fault:
        """The answer takes `seconds` longer."""
        check_number("seconds", seconds, finite=False)
        return self._switch_on(Kind.DELAY, seconds, scope)

    def hang(self, **scope: Unpack[Scope]) -> Fault:
        """No answer ever comes. Clearing it affects later calls only."""
        return self._switch_on(Kind.HANG, 0, scope)

    def hold(self, **scope: Unpack[Scope]) -> Fault:
        """Answers wait for `release`, so that a test decides when they come."""
        return self._switch_on(Kind.HOLD, 0, scope)

    def reset(self, **scope: Unpack[Scope]) -> Fault:
        """The connection is reset instead of an answer."""
        return self._switch_on(Kind.RESET, 0, scope)

    def server_error(self, status: int = 500, **scope: Unpack[Scope]) -> Fault:
        """AWS fails with an HTTP status from 500 to 599."""
        check_number("status", status, 500, 599, whole=True)
        return self._switch_on(Kind.SERVER_ERROR, status, scope)

    def garbage(self, **scope: Unpack[Scope]) -> Fault:
        """The answer succeeds with a body that is not JSON."""
        return self._switch_on(Kind.GARBAGE, 0, scope)

    def empty(self, **scope: Unpack[Scope]) -> Fault:
        """The answer succeeds without a body."""
        return self._switch_on(Kind.EMPTY, 0, scope)

    def truncate(self, *, instances: int | None = None, **scope: Unpack[Scope]) -> Fault:
        """The body ends in the middle; or, with `instances`, only that many of them come."""
        if instances is None:
            return self._switch_on(Kind.TRUNCATE, 0, scope)
        check_number("instances", instances, whole=True)
        return self._switch_on(Kind.FEWER, instances, scope)

    def expired_token(self, **scope: Unpack[Scope]) -> Fault:
        """The caller's session token has expired."""
        return self._switch_on(Kind.EXPIRED_TOKEN, 0, scope)

    def access_denied(self, **scope: Unpack[Scope]) -> Fault:
        """The caller is not allowed to do this."""
        return self._switch_on(Kind.ACCESS_DENIED, 0, scope)

    def drop_idle(self, *, silently: bool = False) -> None:
        """Servers close the connections that are idle now.

        Args:
            silently: Leave them open, but never answer on them again, as when a router has lost track of them.
        """
        for listener in list(self._listeners):
            listener(silently)

    def release(self, count: int | None = None) -> None:
        """Let held calls go on.

        Args:
            count: How many, oldest first; later calls are still held. None: all, and the hold is switched off.
        """
        with self._lock:
            gate = self._gate
            if count is None:
                self._active = [fault for fault in self._active if fault.kind is not Kind.HOLD]
                self._gate = Gate()
        gate.release(count)

    @property
    def held(self) -> int:
        """How many calls are held now."""
        return self._gate.held

    async def until_held(self, count: int = 1) -> None:
        """Wait until `count` calls are held at the same time. It has no timeout."""
        await self._gate.until_held(count)

    def clear(self) -> None:
        """Switch every fault off, and let held calls go on."""
        with self._lock:
            self._active = []
        self.release()

    def remove(self, fault: Fault) -> None:
        """Switch one fault off. Removing the last hold releases the held calls."""
        with self._lock:
            self._active = [each for each in self._active if each is not fault]
            holds = any(each.kind is Kind.HOLD for each in self._active)
        if fault.kind is Kind.HOLD and not holds:
            self.release()

    def take(self, operation: str, service: str | None) -> tuple[list[Fault], Gate]:
        """The faults that apply to a call, in their order, and the gate that holds it. Counts one hit for each."""
        with self._lock:
            is_cloud_map = "." not in operation and operation not in self._targets
            matching = [fault for fault in self._active if fault.matches(operation, service, is_cloud_map=is_cloud_map)]
            pauses = [fault for fault in matching if fault.kind in _WAITS]
            others = [fault for fault in matching if fault.kind not in _WAITS]
            taken = pauses + others[:1]
            for fault in taken:
                fault.hits += 1
                fault.remaining = None if fault.remaining is None else fault.remaining - 1
            self._active = [fault for fault in self._active if fault.remaining != 0]
            return taken, self._gate

    def expect(self, target: str) -> None:
        """Allow `operation` to be this X-Amz-Target, which a server answers."""
        self._targets.add(target)

    def attach(self, listener: Callable[[bool], None]) -> None:
        """Call `listener` on each `drop_idle`, with its argument `silently`."""
        self._listeners.append(listener)

    def detach(self, listener: Callable[[bool], None]) -> None:
        """Undo `attach`."""
        self._listeners.remove(listener)

    def __repr__(self) -> str:
        with self._lock:
            return f"<Faults {[fault.kind.name.lower() for fault in self._active]}, {self.held} held>"

    def _switch_on(self, kind: Kind, amount: float, scope: Scope, *, code: str = "") -> Fault:
        times, operation, service = check_scope(scope, self._targets)
        fault = Fault(kind, amount, code, remaining=times, operation=operation, service=service, _clear=self.remove)
        with self._lock:
            self._active.append(fault)
        return fault


async def apply_pauses(faults: Iterable[Fault], gate: Gate, clock: Clock) -> Fault | None:
    """Wait as the faults of a call require. Returns the fault that decides the answer, if any."""
    for fault in faults:
        if fault.kind is Kind.HOLD:
            await gate.wait()
        elif fault.kind is Kind.DELAY:
            await pause(clock, fault.amount)
        elif fault.kind is Kind.HANG:
            await wait_forever()
        else:
            return fault
    return None


async def wait_forever() -> Never:
    """Wait until cancelled."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("unreachable: nothing completes that future")


_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class Gate:
    """Holds calls of any number of event loops and threads until it is opened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[_Waiter] = []
        self._watchers: list[tuple[int, _Waiter]] = []
        self._is_open = False

    @property
    def held(self) -> int:
        """How many calls wait now."""
        return len(self._held)

    async def wait(self) -> None:
        """Wait until the gate opens or `release` lets this call through."""
        waiter = _new_waiter()
        with self._lock:
            if self._is_open:
                return
            self._held.append(waiter)
            satisfied = [each for count, each in self._watchers if len(self._held) >= count]
        _wake(satisfied)
        try:
            await waiter[1]
        finally:
            with self._lock:
                if waiter in self._held:
                    self._held.remove(waiter)

    async def until_held(self, count: int) -> None:
        """Wait until `count` calls wait at the same time."""
        waiter = _new_waiter()
        with self._lock:
            if len(self._held) >= count:
                return
            entry = (count, waiter)
            self._watchers.append(entry)
        try:
            await waiter[1]
        finally:
            with self._lock:
                self._watchers.remove(entry)

    def release(self, count: int | None) -> None:
        """Let the `count` oldest calls go on. None opens the gate: all calls go on, now and later."""
        with self._lock:
            self._is_open = self._is_open or count is None
            released = self._held[:count]
            del self._held[:count]
        _wake(released)


def _new_waiter() -> _Waiter:
    loop = asyncio.get_running_loop()
    return loop, loop.create_future()


def _wake(waiters: list[_Waiter]) -> None:
    for loop, future in waiters:
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(_finish, future)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
