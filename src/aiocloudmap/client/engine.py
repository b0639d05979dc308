"""One engine: the session, credentials, clients and answers that equal settings share."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from aiocloudmap.cache.rate_limiter import Rate
from aiocloudmap.cache.resolver import Resolver
from aiocloudmap.errors import TooManyOpenFilesError
from aiocloudmap.model.events import LOGGER, ClockJumped, Event, log
from aiocloudmap.model.interfaces import SYSTEM_CLOCK, Backend, Clock
from aiocloudmap.model.policy import ConnectionPolicy
from aiocloudmap.model.stats import Stats
from aiocloudmap.model.thread_calls import ThreadCalls

if TYPE_CHECKING:
    from aiobotocore.session import AioSession

    from aiocloudmap.aws.backend import AwsBackend
    from aiocloudmap.aws.session import AwsSession
    from aiocloudmap.aws.transport.transport import Transport

__all__ = [
    "Engine",
    "EngineKey",
    "Listener",
    "Override",
    "loading_aws",
]


@contextlib.contextmanager
def loading_aws() -> Iterator[None]:
    """Around an import of `aiocloudmap.aws`, since opening its files needs file descriptors.

    Raises:
        TooManyOpenFilesError: No file descriptor is left.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        raise TooManyOpenFilesError(
            "no file descriptor is left to load the AWS libraries",
            advice="Look for what keeps them open in this process; see also ulimit -n.",
        ) from error


class EngineKey(NamedTuple):
    """The settings that select an engine. Equal ones share it."""

    region: str | None
    endpoint_url: str | None
    session_factory: Callable[[], AioSession] | None
    connections: ConnectionPolicy
    environment: tuple[tuple[str, str], ...]

    @classmethod
    def of(
        cls,
        region: str | None,
        endpoint_url: str | None,
        session_factory: Callable[[], AioSession] | None,
        connections: ConnectionPolicy,
    ) -> EngineKey:
        """The key, with the current AWS_* environment: settings and credentials come from there."""
        environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
        return cls(region, endpoint_url, session_factory, connections, environment)

    def __repr__(self) -> str:
        # The environment holds keys and tokens.
        return f"<EngineKey with {len(self.environment)} variable(s)>"

    def differences(self, other: EngineKey) -> list[str]:
        """The names of the settings that differ. Values may be secret."""
        names = [name for name in self._fields[:-1] if getattr(self, name) != getattr(other, name)]
        changed = set(self.environment) ^ set(other.environment)
        return names + sorted({variable for variable, _ in changed})


_CONTROL_PLANE_RATE: Final = 5.0
"""Calls a second for the attributes of services. AWS publishes no rate; its own controllers make about as many."""
_CONTROL_PLANE_BURST: Final = 40.0
_CONTROL_PLANE_ADVICE: Final = "Ask for the attributes of fewer services at once, or raise CachePolicy(ttl=...)."


class Listener:
    """One `on_event`, called for as long as this object is kept."""

    __slots__ = ("__weakref__", "on_event")

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self.on_event: Final = on_event


class Override(NamedTuple):
    """The backend and clock of a test, for every engine that would otherwise ask AWS. A backend of None is AWS."""

    backend: Backend | None
    clock: Clock


class Engine:
    """Session, credentials, clients and answers of one combination of settings. Constructing it does no I/O.

    Args:
        key: The settings.
        clock: The source of time.
        backend: Answers the questions; None for AWS.
        transport: Returns the connections of the process.
        override: A test's backend and clock. It does not replace a backend given here, nor a clock of your own.
    """

    def __init__(
        self,
        key: EngineKey,
        *,
        clock: Clock,
        backend: Backend | None,
        transport: Callable[[], Transport],
        override: Override | None = None,
    ) -> None:
        self.key: Final = key
        self._given: Final = Override(backend, clock)
        self._transport = transport
        self._lock = threading.RLock()
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
        self._listeners_lock = threading.RLock()
        self._threads = ThreadCalls()
        self._connections: Transport | None = None
        self._set_up(override)

    def _set_up(self, override: Override | None) -> None:
        backend, clock = self._given
        rate = self.key.connections.max_calls_per_second
        burst, control_plane_burst = max(1.0, rate), _CONTROL_PLANE_BURST
        if override is not None and backend is None:
            backend, clock = override.backend, override.clock if clock is SYSTEM_CLOCK else clock
            # On a clock that stands still a limit would never end. Throttling still slows calls down.
            burst = control_plane_burst = inf
        self._aws: AwsSession | None = None
        self._aws_backend: AwsBackend | None = None
        self._asks_aws = backend is None
        self.resolver = Resolver(
            self._make_aws_backend,
            backend=backend,
            clock=clock,
            timeout=self.key.connections.discovery_timeout,
            data_plane=Rate(rate, burst),
            control_plane=Rate(min(rate, _CONTROL_PLANE_RATE), control_plane_burst, _CONTROL_PLANE_ADVICE),
            emit=self.emit,
            listeners=self._listeners,
        )

    def start_over(self, override: Override | None) -> None:
        """Forget answers, counts, session and credentials, and cancel calls in flight. Handles go on working.

        An engine with a backend of its own stays as it is.
        """
        if self._given.backend is not None:
            return
        with self._lock:
            previous = self.resolver
            self._set_up(override)
        previous.shut_down()

    # --- AWS, loaded in a thread ---

    async def aws(self) -> AwsSession:
        """The AWS session of the engine, made on first use. The AWS libraries are imported in a thread."""
        return self._aws or (await self._threads.get("aws", self._load_aws))[0]

    async def preload(self, aws_services: Iterable[str]) -> None:
        """As `CloudMap.preload`. Discovery is loaded only if this engine asks AWS."""
        aws = await self.aws()
        if self._asks_aws:
            await aws.discovery_client()
        for aws_service in aws_services:
            await aws.client(aws_service)

    async def _make_aws_backend(self) -> Backend:
        # The first question's deadline starts when this has returned.
        aws, backend = self._aws, self._aws_backend
        if aws is None or backend is None:
            made = await self._threads.get("aws", self._load_aws)
            aws, backend = made
        await aws.load_discovery()
        return backend

    def _load_aws(self) -> tuple[AwsSession, AwsBackend]:
        """Import the AWS libraries, which takes up to seconds, and make what needs them. Runs in a thread."""
        with loading_aws():
            from aiocloudmap.aws.backend import AwsBackend  # noqa: PLC0415 - heavy, and a hit does not need it
            from aiocloudmap.aws.session import AwsSession  # noqa: PLC0415 - as above

        transport, key = self._transport(), self.key
        with self._lock:
            if self._aws is None or self._aws_backend is None:
                self._aws = AwsSession(
                    transport=transport,
                    connections=key.connections,
                    region=key.region,
                    endpoint_url=key.endpoint_url,
                    session_factory=key.session_factory,
                    holder=self,
                )
                self._aws_backend = AwsBackend(self._aws)
            return self._aws, self._aws_backend

    # --- connections of the running loop ---

    async def enter(self) -> None:
        """Hold this loop's connections until `leave`."""
        if self._connections is None:
            self._connections = await self._threads.get("connections", self._transport)
        self._connections.enter(self)

    async def leave(self) -> None:
        """End one `enter`. The last one waits for calls in flight, then closes the connections."""
        await self._transport().leave(self)
        await self._close_after_calls()

    async def aclose(self) -> None:
        """Release what calls outside of any `async with` hold on this loop."""
        if self._aws is not None:
            await self._transport().aclose(self)
            await self._close_after_calls()

    async def _close_after_calls(self) -> None:
        """Close again after calls that had not reached the network, such as a refresh that has just been started."""
        if (
            self._aws is not None
            and not self._transport().is_held_beside(self)
            and await self.resolver.wait_for_calls()
        ):
            await self._transport().aclose(self)

    # --- events ---

    def listen(self, on_event: Callable[[Event], None]) -> Listener:
        """Call `on_event` with each event, for as long as the caller keeps the returned object."""
        listener = Listener(on_event)
        with self._listeners_lock:
            self._listeners.add(listener)
        return listener

    def emit(self, event: Event) -> None:
        """Log the event, and notify the listeners."""
        # Servers and proxies close connections that were idle during a freeze.
        if isinstance(event, ClockJumped) and self._aws is not None:
            self._transport().drop_idle()
        log(event)
        self.notify(event)

    def notify(self, event: Event) -> None:
        """Call the listeners. One that raises is logged, and disturbs nothing else."""
        with self._listeners_lock:
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener.on_event(event)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException:  # a CancelledError, or what a test framework raises, must not reach the callers
                LOGGER.exception("on_event raised an exception for %s", type(event).__name__)

    # --- snapshots and forks ---

    def before_snapshot(self) -> None:
        """Close connections that a restored process could not use, and drop credentials, which must not be stored."""
        self.resolver.check_clock()
        if self._aws is not None:
            self._transport().drop_all_idle()
            self._aws.drop_credentials()

    def after_restore(self) -> None:
        """Age the answers. Use no connection and no credentials from before the snapshot."""
        self.resolver.check_clock()
        if self._aws is not None:
            self._transport().drop_idle()
            self._aws.drop_credentials()

    def forget_after_fork(self) -> None:
        """In the child: answers stay; locks, calls in flight and connections are the parent's."""
        self._lock, self._listeners_lock = threading.RLock(), threading.RLock()
        self._threads.forget_after_fork()
        self.resolver.forget_after_fork()
        if self._aws is not None:
            self._aws.forget_after_fork()
        if self._aws_backend is not None:
            self._aws_backend.forget_after_fork()

    def stats(self) -> Stats:
        """The counts since the engine was made. Open connections are those of the process."""
        return Stats(
            **vars(self.resolver.counts),
            entries=self.resolver.usable_entries,
            open_connections=0 if self._aws is None else self._transport().open_connections,
        )

    def __repr__(self) -> str:
        place = self.key.endpoint_url or self.key.region or "the default region"
        return f"<Engine for {place}: {self.resolver.usable_entries} answer(s)>"
