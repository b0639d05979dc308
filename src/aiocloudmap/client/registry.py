"""The engines of the process, and what happens to all of them at once: a fork, a snapshot, a test that begins.

An engine outlives those who use it, so that a `CloudMap` made for one request finds the answers of the last one.
Engines are few: one per combination of settings. A program that makes more and more of them is told so, and of those
that nobody holds only the ones that were asked for last are kept: each has a session and clients, some megabytes.
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
        # A reset gives them up, and so does a full registry; whoever still holds one goes on sharing it.
        self._held: weakref.WeakValueDictionary[EngineKey, Engine] = weakref.WeakValueDictionary()
        self._all: weakref.WeakSet[Engine] = weakref.WeakSet()
        self._override: Override | None = None
        self._transport: Transport | None = None

    def shared(self, key: EngineKey) -> Engine:
        """The engine of these settings, by the machine's own clock."""
        with self._lock:
            engine = self._shared.get(key)
            if engine is None:
                self._warn_of_many(key)
                engine = self._held.get(key) or self.unshared(key, clock=SYSTEM_CLOCK, backend=None)
                self._shared[key] = self._held[key] = engine
            return engine

    def unshared(self, key: EngineKey, *, clock: Clock, backend: Backend | None) -> Engine:
        """An engine of its own."""
        engine = Engine(key, clock=clock, backend=backend, transport=self.transport, override=self._override)
        self._all.add(engine)
        return engine

    def transport(self) -> Transport:
        """The connections of the process, per event loop."""
        if self._transport is None:
            with loading_aws():
                from aiocloudmap.aws.transport.transport import Transport  # noqa: PLC0415 - heavy, and not needed for a hit

            with self._lock:
                if self._transport is None:
                    self._transport = Transport(notify=self._announce)
        return self._transport

    def _announce(self, event: Event) -> None:
        """Log what concerns the whole process once, and tell the listeners of every engine."""
        log(event)
        for engine in list(self._all):
            engine.tell(event)

    def observe(self) -> None:
        """Every engine notices whether time passed unseen."""
        for engine in list(self._all):
            engine.observe()

    def before_snapshot(self) -> None:
        """Every engine makes ready for a snapshot of the process."""
        for engine in list(self._all):
            engine.before_snapshot()

    def after_restore(self) -> None:
        """Every engine goes on from a restored snapshot."""
        for engine in list(self._all):
            engine.after_restore()

    def reset(self) -> None:
        """Every engine that asks AWS begins anew; those that nobody holds go. Connections close with their loops."""
        with self._lock:
            self._shared.clear()
        for engine in list(self._all):
            engine.begin_anew(self._override)

    @contextlib.contextmanager
    def overridden(self, *, backend: Backend | None, clock: Clock) -> Iterator[None]:
        """Let every engine that would ask AWS, those to come included, go by these; all begin anew, here and after."""
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
            "%d combinations of settings, each with a session and answers of its own; they differ in: %s. "
            "Pass the same objects each time, or shared=False where the isolation is meant.",
            _MANY_ENGINES,
            ", ".join(differing),
        )

    def forget_after_fork(self) -> None:
        """In the child: settings and answers stay; locks, calls under way and connections are the parent's."""
        self._lock = threading.RLock()
        if self._transport is not None:
            self._transport.forget_after_fork()
        for engine in list(self._all):
            engine.forget_after_fork()


registry: Final = Registry()
os.register_at_fork(after_in_child=registry.forget_after_fork)
