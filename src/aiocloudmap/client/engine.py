"""What equal settings share: one engine with its session, credentials, clients and answers."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from aiocloudmap.cache.resolver import Resolver
from aiocloudmap.errors import TooManyOpenFilesError
from aiocloudmap.model.answer import Question
from aiocloudmap.model.events import LOGGER, ClockJumped, Event, log
from aiocloudmap.model.interfaces import SYSTEM_CLOCK, Backend, Clock
from aiocloudmap.model.policy import ConnectionPolicy
from aiocloudmap.model.stats import Stats

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
    """Around an import of `aiocloudmap.aws`: its files need descriptors, too.

    Raises:
        TooManyOpenFilesError: There is none left.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        raise TooManyOpenFilesError(
            "no file descriptor was left to load the AWS libraries with",
            advice="Look for what keeps them open in this process; see also ulimit -n.",
        ) from error


class EngineKey(NamedTuple):
    """The settings that make an engine: equal ones share it."""

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
        """With the environment that AWS's settings and credentials come from, as it is now."""
        environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
        return cls(region, endpoint_url, session_factory, connections, environment)

    def __repr__(self) -> str:
        # The environment holds keys and tokens.
        return f"<EngineKey with {len(self.environment)} variable(s)>"

    def differences(self, other: EngineKey) -> list[str]:
        """Which settings differ; names only, since values may be secret."""
        names = [name for name in self._fields[:-1] if getattr(self, name) != getattr(other, name)]
        changed = set(self.environment) ^ set(other.environment)
        return names + sorted({variable for variable, _ in changed})


_CONTROL_PLANE_RATE: Final = 5.0
"""Questions a second for the attributes of services. AWS publishes no rate; its own controllers ask about as often."""
_CONTROL_PLANE_BURST: Final = 40.0
_UNSEEN: Final = 1.0
"""Seconds that the wall clock may run ahead of the monotonic one before the process counts as having been frozen."""


class Listener:
    """One `on_event`; it is called for as long as somebody keeps this object."""

    __slots__ = ("__weakref__", "on_event")

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self.on_event: Final = on_event


class Override(NamedTuple):
    """What engines go by that would else ask AWS, as long as a test says so: a backend, None for AWS; and a clock."""

    backend: Backend | None
    clock: Clock


class Engine:
    """Session, credentials, clients and answers of one combination of settings. Constructing it costs no I/O.

    Args:
        key: The settings.
        clock: Where time comes from.
        backend: Another source of truth than AWS.
        transport: Gives the connections of the process.
        override: A test's word on backend and clock, against everything but a backend or a clock of the engine's own.
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
        self._begin(override)

    def _begin(self, override: Override | None) -> None:
        backend, clock = self._given
        rate = self.key.connections.max_calls_per_second
        bursts = max(1.0, rate), _CONTROL_PLANE_BURST
        if override is not None and backend is None:
            backend, clock = override.backend, override.clock if clock is SYSTEM_CLOCK else clock
            # By a clock that stands still no burst would ever be over. After a throttle calls come slowly all the same.
            bursts = inf, inf
        self.resolver = self._new_resolver(clock, rate=rate, burst=bursts[0])
        self.attributes = self._new_resolver(clock, rate=min(rate, _CONTROL_PLANE_RATE), burst=bursts[1])
        self._clock = clock
        self._skew = clock.time() - clock.monotonic()
        self._backend = backend
        self._aws: AwsSession | None = None
        self._aws_backend: AwsBackend | None = None

    def begin_anew(self, override: Override | None) -> None:
        """Without answers, counts, session and credentials, and without calls under way; by the override, if any.

        Whoever has the engine, or a handle of it, goes on with it. One with a backend of its own stays as it is.
        """
        if self._given.backend is not None:
            return
        with self._lock:
            before = self._resolvers
            self._begin(override)
        for each in before:
            each.end()

    def _new_resolver(self, clock: Clock, *, rate: float, burst: float) -> Resolver:
        return Resolver(
            self._source,
            clock=clock,
            timeout=self.key.connections.discovery_timeout,
            rate=rate,
            burst=burst,
            emit=self.emit,
            is_heard=self._is_heard,
            observe=self.observe,
        )

    def _source(self) -> Backend:
        if self._backend is None:
            with loading_aws():
                from aiocloudmap.aws.backend import AwsBackend  # noqa: PLC0415 - heavy, and not needed for a hit

            self._backend = self._aws_backend = AwsBackend(self.aws())
        return self._backend

    def aws(self) -> AwsSession:
        """The AWS side of the engine, made at the first use."""
        with self._lock:
            if self._aws is None:
                with loading_aws():
                    from aiocloudmap.aws.session import AwsSession  # noqa: PLC0415 - heavy, and not needed for a hit

                key = self.key
                self._aws = AwsSession(
                    transport=self._transport(),
                    connections=key.connections,
                    region=key.region,
                    endpoint_url=key.endpoint_url,
                    session_factory=key.session_factory,
                    holder=self,
                )
            return self._aws

    def enter(self) -> None:
        """Somebody holds this loop's connections."""
        self._transport().enter(self)

    async def leave(self) -> None:
        """Somebody who held them does no more; the last one waits for calls in flight and closes them."""
        await self._transport().leave(self)

    async def aclose(self) -> None:
        """Give back what calls outside of any `async with` hold on this loop."""
        if self._aws is not None:
            await self._transport().aclose(self)

    def listen(self, on_event: Callable[[Event], None]) -> Listener:
        """Call `on_event` with what happens, for as long as the caller keeps what is returned."""
        listener = Listener(on_event)
        self._listeners.add(listener)
        return listener

    def emit(self, event: Event) -> None:
        """Log the event and tell the listeners."""
        log(event)
        self.tell(event)

    def _is_heard(self) -> bool:
        """Whether what is no warning is heard by anybody."""
        return bool(self._listeners) or LOGGER.isEnabledFor(logging.DEBUG)

    def tell(self, event: Event) -> None:
        """Tell the listeners; one that raises is logged, and harms nobody."""
        for listener in list(self._listeners):
            try:
                listener.on_event(event)
            except Exception:
                LOGGER.exception("on_event raised while it was told of %s", type(event).__name__)

    def observe(self) -> None:
        """Notice whether time passed unseen: a frozen sandbox, a restored snapshot, a clock set forward."""
        with self._lock:
            skew = self._clock.time() - self._clock.monotonic()
            unseen, self._skew = skew - self._skew, skew
        if unseen <= _UNSEEN:
            return
        for each in self._resolvers:
            each.thaw(unseen)
        if self._aws is not None:
            self._transport().drop_idle()
        self.emit(ClockJumped(unseen))

    def before_snapshot(self) -> None:
        """Close what would be dead in a restored snapshot, forget what must not be in one, and look at the clock."""
        self.observe()
        if self._aws is not None:
            self._transport().drop_all_idle()
            self._aws.drop_credentials()

    def after_restore(self) -> None:
        """Age the answers, and use no connection and no credentials from before the snapshot."""
        self.observe()
        if self._aws is not None:
            self._transport().drop_idle()
            self._aws.drop_credentials()

    @property
    def _resolvers(self) -> tuple[Resolver, Resolver]:
        return self.resolver, self.attributes

    @property
    def entries(self) -> int:
        """How many answers could be given now."""
        return sum(each.entries for each in self._resolvers)

    def invalidate(self, matches: Callable[[Question], bool]) -> int:
        """Answers to these questions count as expired; tells how many could have been given."""
        return sum(each.invalidate(matches) for each in self._resolvers)

    def clear(self) -> int:
        """Every answer is forgotten; tells how many could have been given."""
        return sum(each.clear() for each in self._resolvers)

    def stats(self) -> Stats:
        """The counts so far; open connections are those of the process."""
        counts = [each.counts for each in self._resolvers]
        return Stats(
            **{name: sum(getattr(each, name) for each in counts) for name in vars(counts[0])},
            entries=self.entries,
            open_connections=0 if self._aws is None else self._transport().open_connections,
        )

    def forget_after_fork(self) -> None:
        """In the child: answers stay; locks, calls under way and connections are the parent's."""
        self._lock = threading.RLock()
        for each in self._resolvers:
            each.forget_after_fork()
        if self._aws is not None:
            self._aws.forget_after_fork()
        if self._aws_backend is not None:
            self._aws_backend.forget_after_fork()

    def __repr__(self) -> str:
        where = self.key.endpoint_url or self.key.region or "the default region"
        return f"<Engine for {where}: {self.entries} answer(s)>"
