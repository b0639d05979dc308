"""The registry: one transport, and what reaches every engine. Sharing is tested in tests/behaviour/test_sharing.py."""

from __future__ import annotations

import logging
import threading
import weakref

import pytest

from aiocloudmap import ConnectionPolicy
from aiocloudmap.client.engine import Engine, EngineKey
from aiocloudmap.client.registry import Registry
from aiocloudmap.model.events import ClockJumped
from aiocloudmap.model.interfaces import SYSTEM_CLOCK


@pytest.fixture
def registry() -> Registry:
    """An empty registry."""
    return Registry()


def engine_in(registry: Registry) -> Engine:
    """An engine that the registry has made."""
    key = EngineKey.of(None, None, None, ConnectionPolicy())
    return registry.unshared(key, clock=SYSTEM_CLOCK, backend=None)


def test_a_registry_makes_one_transport(registry):
    """Every engine of the process shares it."""
    assert registry.transport() is registry.transport()


def test_an_event_of_the_process_reaches_every_engine(registry, caplog):
    """It is logged once."""
    caplog.set_level(logging.DEBUG, "aiocloudmap")
    events = []
    engines = [engine_in(registry) for _ in range(2)]
    listeners = [engine.listen(events.append) for engine in engines]
    registry._announce(ClockJumped(5.0))
    assert events == [ClockJumped(5.0)] * 2
    assert len(caplog.records) == 1
    del listeners


def test_an_engine_may_be_made_while_all_are_visited(registry):
    """On another thread."""
    made = [engine_in(registry)]

    class Interrupted(weakref.WeakSet):
        """A set whose iteration lets another thread make an engine."""

        def __iter__(self):
            for each in super().__iter__():
                making.start()
                making.join(0.2)
                yield each

    making = threading.Thread(target=lambda: made.append(engine_in(registry)))
    registry._all = Interrupted(registry._all)
    registry.check_clocks()
    making.join()
    assert len(made) == 2


def test_after_a_fork_the_locks_of_the_parent_are_not_used(registry):
    """A thread of the parent may have held them."""
    engine = engine_in(registry)

    def locks():
        return [registry._lock, engine._lock, engine._listeners_lock, engine.resolver._lock]

    before = locks()
    registry.forget_after_fork()
    assert all(new is not old for new, old in zip(locks(), before, strict=True))
