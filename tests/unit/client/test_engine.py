"""Engines: what selects one, loading the AWS libraries, listeners, and starting over."""

from __future__ import annotations

import asyncio
import errno
import threading
import weakref

import pytest

from aiocloudmap import CloudMap, ConnectionPolicy, Discovery, Instance, TooManyOpenFilesError, UnavailableError
from aiocloudmap.client.engine import Engine, EngineKey, Override, loading_aws
from aiocloudmap.client.registry import registry
from aiocloudmap.local import LocalBackend, World
from aiocloudmap.model.events import ClockJumped
from aiocloudmap.model.interfaces import SYSTEM_CLOCK
from aiocloudmap.testing import ManualClock


def key_of(region: str | None = None, endpoint_url: str | None = None) -> EngineKey:
    """The key of these settings in the current environment."""
    return EngineKey.of(region, endpoint_url, None, ConnectionPolicy())


def no_transport():
    """A transport that no test here may need."""
    raise AssertionError("the engine asked for connections")


def engine_of(*, key: EngineKey | None = None, clock=SYSTEM_CLOCK, backend=None, override=None) -> Engine:
    """An engine without connections."""
    return Engine(key or key_of(), clock=clock, backend=backend, transport=no_transport, override=override)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_loading_aws_without_file_descriptors_is_a_named_error(number):
    """Of the process or of the system. The cause stays visible."""
    cause = OSError(number, "too many open files")
    with pytest.raises(TooManyOpenFilesError, match="no file descriptor is left to load the AWS libraries") as caught:
        with loading_aws():
            raise cause
    assert caught.value.__cause__ is cause
    assert "ulimit -n" in str(caught.value)


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "x"), ImportError("x"), PermissionError(13, "x")])
def test_other_errors_of_loading_aws_are_raised_unchanged(error):
    """They have another cause than descriptors that are used up."""
    with pytest.raises(type(error)) as caught, loading_aws():
        raise error
    assert caught.value is error


def test_equal_settings_in_an_equal_environment_are_an_equal_key(monkeypatch):
    """Only AWS_* variables count."""
    first = key_of("eu-west-1")
    monkeypatch.setenv("HOME_PAGE", "x")
    assert key_of("eu-west-1") == first
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert key_of("eu-west-1") != first


def test_a_key_shows_names_but_no_values(monkeypatch):
    """Values of the environment are keys and tokens."""
    before = key_of("eu-west-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    after = key_of("eu-west-2")
    assert after.differences(before) == ["region", "AWS_SECRET_ACCESS_KEY"]
    assert "hunter2" not in repr(after)


def test_an_engine_shows_its_place_and_its_answers():
    """The endpoint, or else the Region."""
    assert repr(engine_of()) == "<Engine for the default region: 0 answer(s)>"
    assert repr(engine_of(key=key_of("eu-west-1"))) == "<Engine for eu-west-1: 0 answer(s)>"
    assert repr(engine_of(key=key_of("eu-west-1", "http://x"))) == "<Engine for http://x: 0 answer(s)>"


def test_an_override_replaces_what_was_not_given():
    """A backend of the program's own stays, with its clock. A clock of its own stays, too."""
    clock, own = ManualClock(), ManualClock()
    override = Override(LocalBackend(World()), clock)
    assert engine_of(override=override).resolver.clock is clock
    assert engine_of(override=override, clock=own).resolver.clock is own
    assert engine_of(override=override, backend=LocalBackend(World())).resolver.clock is SYSTEM_CLOCK


def test_starting_over_leaves_an_engine_with_its_own_backend_alone():
    """The override of a test replaces AWS only."""
    own, other = engine_of(backend=LocalBackend(World())), engine_of()
    before = own.resolver, other.resolver
    for engine in (own, other):
        engine.start_over(Override(LocalBackend(World()), ManualClock()))
    assert own.resolver is before[0]
    assert other.resolver is not before[1]


def test_a_listener_that_raises_disturbs_no_other(caplog):
    """It is logged, and the next one is called."""
    engine, events = engine_of(), []

    def fail(event):
        raise ValueError("x")

    listeners = [engine.listen(fail), engine.listen(events.append), engine.listen(fail)]
    engine.notify(ClockJumped(5.0))
    assert events == [ClockJumped(5.0)]
    assert [record.getMessage() for record in caplog.records] == ["on_event raised an exception for ClockJumped"] * 2
    del listeners


def test_a_listener_may_be_added_during_an_event():
    """On another thread, where a request makes a CloudMap."""
    engine, events, kept = engine_of(), [], []

    class Interrupted(weakref.WeakSet):
        """A set whose iteration lets another thread add a listener."""

        def __iter__(self):
            for each in super().__iter__():
                adding.start()
                adding.join(0.2)
                yield each

    adding = threading.Thread(target=lambda: kept.append(engine.listen(events.append)))
    engine._listeners = Interrupted()
    kept.append(engine.listen(events.append))
    engine.notify(ClockJumped(5.0))
    adding.join()
    assert events == [ClockJumped(5.0)]
    assert len(kept) == 2


def test_a_snapshot_of_an_unused_engine_needs_no_connections():
    """There are none to close, and no credentials to drop."""
    engine = engine_of()
    engine.before_snapshot()
    engine.after_restore()
    assert engine.stats().open_connections == 0


async def test_closing_an_unused_engine_needs_no_connections():
    """The AWS libraries are not loaded to close nothing."""
    await engine_of().aclose()


class SlowBackend:
    """A backend whose call waits until it is cancelled."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.cancelled = False

    async def discover(self, query):
        self.called.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


class FastBackend:
    """A backend with one instance."""

    async def discover(self, query):
        return Discovery((Instance("new", query.service),))


async def test_starting_over_during_a_call_ends_that_call():
    """Its caller gets an error, and the handle asks the new backend from then on."""
    slow = SlowBackend()
    with registry.overridden(backend=slow, clock=SYSTEM_CLOCK):
        service = CloudMap().service("shop/orders")
        caller = asyncio.ensure_future(service.resolve())
        await slow.called.wait()
        with registry.overridden(backend=FastBackend(), clock=SYSTEM_CLOCK):
            with pytest.raises(UnavailableError, match="cancelled before it was answered"):
                await caller
            assert slow.cancelled
            assert (await service.resolve())[0].id == "new"


async def test_starting_over_during_a_call_on_another_loop_ends_that_call():
    """The call is cancelled on its own loop, from any thread."""
    started, loop = asyncio.Event(), asyncio.get_running_loop()

    class Elsewhere(SlowBackend):
        async def discover(self, query):
            loop.call_soon_threadsafe(started.set)
            return await super().discover(query)

    def ask():
        async def main():
            await CloudMap().service("shop/orders").resolve()

        with pytest.raises(UnavailableError, match="cancelled before it was answered"):
            asyncio.run(main())

    with registry.overridden(backend=Elsewhere(), clock=SYSTEM_CLOCK):
        asking = asyncio.ensure_future(asyncio.to_thread(ask))
        await started.wait()
        registry.reset()
        await asking
