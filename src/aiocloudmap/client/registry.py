"""The engines of the process, and what happens to all of them at once: forks, snapshots, the start and end of a test.

An engine outlives its users, so a `CloudMap` made for one request finds the answers of the previous one. There is one
engine per combination of settings, usually a few. Each has a session and clients, which take some megabytes. So a
program that makes many gets a warning, and only the most recently used ones are kept without users.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import cachetools

from aiocloudmap.client.engine import Engine, EngineKey, Override, loading_aws
from aiocloudmap.model.events import LOGGER, log
from aiocloudmap.model.interfaces import SYSTEM_CLOCK, Backend, Clock
from aiocloudmap.model.thread_calls import wait_for_threads

if TYPE_CHECKING:
    from aiocloudmap.aws.transport.transport import Transport
    from aiocloudmap.model.events import Event

__all__ = ["Registry", "registry"]

_MANY_ENGINES: Final = 8
_KEPT_ENGINES: Final = 32


class Registry:
    """The engines of the process, and the transport they share."""

    def __init__(self) -> None:
        # Reentrant, because a signal handler may make a CloudMap in the middle of making one.
        self._lock = threading.RLock()
        self._shared: cachetools.LRUCache[EngineKey, Engine] = cachetools.LRUCache(_KEPT_ENGINES)
        # Engines that a reset or a full registry dropped. While in use, they are still shared.
        self._held: weakref.WeakValueDictionary[EngineKey, Engine] = weakref.WeakValueDictionary()
        self._all: weakref.WeakSet[Engine] = weakref.WeakSet()
        self._override: Override | None = None
        self._transport: Transport | None = None

    def shared(self, key: EngineKey) -> Engine:
        """The engine of these settings, on the system clock."""
        with self._lock:
            engine = self._shared.get(key)
            if engine is None:
                self._warn_of_many(key)
                engine = self._held.get(key) or self.unshared(key, clock=SYSTEM_CLOCK, backend=None)
                # A signal handler may have made one meanwhile.
                engine = self._shared[key] = self._held.setdefault(key, engine)
            return engine

    def unshared(self, key: EngineKey, *, clock: Clock, backend: Backend | None) -> Engine:
        """A new engine that is not shared."""
        engine = Engine(key, clock=clock, backend=backend, transport=self.transport, override=self._override)
        with self._lock:
            self._all.add(engine)
        return engine

    def _engines(self) -> list[Engine]:
        with self._lock:
            return list(self._all)

    def transport(self) -> Transport:
        """The connections of the process, per event loop."""
        if self._transport is None:
            with loading_aws():
                from aiocloudmap.aws.transport.transport import Transport  # noqa: PLC0415 - as in engine.py

            with self._lock:
                if self._transport is None:
                    self._transport = Transport(notify=self._announce)
        return self._transport

    def _announce(self, event: Event) -> None:
        """Log an event of the whole process once, and notify the listeners of every engine."""
        log(event)
        for engine in self._engines():
            engine.notify(event)

    def check_clocks(self) -> None:
        """Every engine checks whether time passed unseen."""
        for engine in self._engines():
            engine.resolver.check_clock()

    def before_snapshot(self) -> None:
        """Prepare every engine for a snapshot of the process."""
        for engine in self._engines():
            engine.before_snapshot()

    def after_restore(self) -> None:
        """Every engine continues from a restored snapshot."""
        for engine in self._engines():
            engine.after_restore()

    def reset(self) -> None:
        """Start every engine that asks AWS over, and drop unused ones. Connections close with their loops."""
        with self._lock:
            self._shared.clear()
        for engine in self._engines():
            engine.start_over(self._override)

    @contextlib.contextmanager
    def overridden(self, *, backend: Backend | None, clock: Clock) -> Iterator[None]:
        """Replace backend and clock of every engine that asks AWS, new ones included. Each starts over at both ends."""
        before, self._override = self._override, Override(backend, clock)
        self.reset()
        try:
            yield
        finally:
            self._override = before
            self.reset()

    def __len__(self) -> int:
        return len(self._shared)

    def _warn_of_many(self, key: EngineKey) -> None:
        if len(self._shared) != _MANY_ENGINES - 1:
            return
        differing = sorted({name for other in self._shared for name in key.differences(other)})
        LOGGER.warning(
            "%d combinations of settings, each with a session and answers of its own. They differ in: %s. "
            "Pass the same objects each time, or shared=False if they are meant to be separate.",
            _MANY_ENGINES,
            ", ".join(differing),
        )

    def forget_after_fork(self) -> None:
        """In the child: settings and answers stay; locks, calls in flight and connections are the parent's."""
        self._lock = threading.RLock()
        if self._transport is not None:
            self._transport.forget_after_fork()
        for engine in self._engines():
            engine.forget_after_fork()


registry: Final = Registry()
os.register_at_fork(before=wait_for_threads, after_in_child=registry.forget_after_fork)
