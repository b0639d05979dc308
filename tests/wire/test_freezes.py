"""Processes that are stopped and continued, while their peers close or drop connections.

Each stop takes a second; FREEZE_SECONDS=30 makes it thirty.
"""

from __future__ import annotations

import asyncio
import os
import time
import types

import pytest
from callers import Callers
from child_process import ChildProcess
from counting_server import Servers
from tests.support.client_sockets import client_sockets

from aiocloudmap import ConnectionPolicy
from aiocloudmap.local import LocalCloudMap

STOP = float(os.environ.get("FREEZE_SECONDS", "1"))
DISCOVER = "DiscoverInstances"


def until_held(local: LocalCloudMap, count: int = 1) -> None:
    """Wait until this many calls have arrived and are held."""

    async def wait() -> None:
        async with asyncio.timeout(60):
            await local.faults.until_held(count)

    asyncio.run(wait())


HUNDRED = """
import asyncio, time
from aiocloudmap import CachePolicy, CloudMap, CloudMapError
from aiocloudmap.local.cloud_map import local_session

policy = CachePolicy(ttl=ttl, stale_while_revalidate=0, jitter=0, refresh="background")
cloud_map = CloudMap(
    endpoint_url=url, region="eu-west-1", session_factory=local_session, shared=False, cache=policy
)
orders = cloud_map.service("shop/orders")

async def ask(most):
    try:
        snapshot = await orders.resolve()
    except CloudMapError as error:
        return repr(error)
    return "too old" if snapshot.age > most else [instance.id for instance in snapshot]

async def main():
    async with cloud_map:
        if warm:
            await orders.resolve()
            orders.invalidate()
        say("started")
        told()
        answers = await asyncio.gather(*(ask(ttl + 600) for _ in range(100)))
        say(sorted(map(str, answers)))
        say(str(await ask(ttl + 600)))
        say(cloud_map.stats().open_connections)

asyncio.run(main())
"""
ANSWERED = [str(["one"])] * 100


@pytest.mark.parametrize("warm", [False, True], ids=["without an answer", "with an old answer"])
def test_a_stop_during_a_call_fails_none_of_its_callers(local, warm):
    """The answer arrives during the stop, and all hundred get it from one call."""
    with ChildProcess(HUNDRED, url=local.endpoint_url, ttl=30, warm=warm) as child:
        assert child.said() == "started"
        local.faults.hold()
        child.tell()
        until_held(local)
        child.stop()
        local.faults.release()
        time.sleep(STOP)
        child.go_on()
        assert child.said() == ANSWERED
        assert child.said() == str(["one"])
        assert child.said() == 1
        child.end()
    assert local.stats.calls[DISCOVER] == 1 + warm


BUSY = """
import asyncio, time
from aiocloudmap import CachePolicy, CloudMap, CloudMapError
from aiocloudmap.local.cloud_map import local_session

policy = CachePolicy(ttl=0.05, stale_while_revalidate=0.05, stale_if_error=0.4, jitter=0, refresh="background")
cloud_map = CloudMap(
    endpoint_url=url, region="eu-west-1", session_factory=local_session, shared=False, cache=policy
)
orders = cloud_map.service("shop/orders")
wrong, rounds, ended = [], [], asyncio.Event()

async def ask():
    while not ended.is_set():
        began = time.monotonic()
        try:
            snapshot = await orders.resolve()
        except CloudMapError as error:
            wrong.append(repr(error))
        else:
            # Its age when the call began: the caller may have been stopped since.
            if snapshot.age - (time.monotonic() - began) > 0.45 + 0.01:
                wrong.append(f"{snapshot.age} s old")
        rounds.append(1)
        if len(rounds) == 1000:
            say("busy")
        await asyncio.sleep(0.005)

async def main():
    async with cloud_map, asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(ask())
        await asyncio.to_thread(told)
        await orders.resolve(max_age=0)
        ended.set()
    say(wrong)
    say(cloud_map.stats().open_connections)

asyncio.run(main())
"""


def test_a_hundred_busy_callers_get_new_answers_after_a_stop(local):
    """Connections were closed during it, and all answers are too old after it."""
    with ChildProcess(BUSY, url=local.endpoint_url) as child:
        assert child.said() == "busy"
        child.stop()
        local.faults.drop_idle()
        time.sleep(STOP)
        child.go_on()
        child.tell()
        assert child.said() == []
        assert child.said() == 0
        child.end()


IDLE = """
import asyncio
from aiocloudmap import CloudMap, ConnectionPolicy
from aiocloudmap.local.cloud_map import local_session

connections = ConnectionPolicy(keepalive_timeout=keepalive, read_timeout=read_timeout, discovery_timeout=60)
cloud_map = CloudMap(
    endpoint_url=url, region="eu-west-1", session_factory=local_session, shared=False, connections=connections
)
orders = cloud_map.service("shop/orders")

async def main():
    async with cloud_map:
        await orders.resolve()
        say("idle")
        told()  # blocks the loop, which notices nothing
        answers = await asyncio.gather(*(orders.resolve(max_age=0) for _ in range(100)))
        say([len(answer) for answer in answers] == [1] * 100)
        say(cloud_map.stats().open_connections)

asyncio.run(main())
"""
FAR = 600.0


def calls_after_a_stop(local: LocalCloudMap, *, silently: bool, keepalive: float, read_timeout: float) -> int:
    """AWS calls made for a hundred callers after a stop in which idle connections were closed."""
    arguments = {"url": local.endpoint_url, "keepalive": keepalive, "read_timeout": read_timeout}
    with ChildProcess(IDLE, **arguments) as child:
        assert child.said() == "idle"
        before = local.stats.calls[DISCOVER]
        child.stop()
        local.faults.drop_idle(silently=silently)
        time.sleep(STOP)
        child.go_on()
        child.tell()
        assert child.said() is True
        assert child.said() == 1
        child.end()
    assert local.stats.connections_accepted == 2
    return local.stats.calls[DISCOVER] - before


def test_connections_closed_during_a_stop_cost_no_retry(local):
    """They are checked before use: one call, one attempt."""
    assert calls_after_a_stop(local, silently=False, keepalive=FAR, read_timeout=FAR) == 1


def test_connections_lost_silently_during_a_stop_are_not_used(local):
    """They are past keepalive_timeout, though its timer has not run yet."""
    assert calls_after_a_stop(local, silently=True, keepalive=STOP / 2, read_timeout=FAR) == 1


def test_an_undetectable_loss_costs_one_read_timeout(local):
    """After a stop shorter than keepalive_timeout, the second attempt uses a new connection."""
    assert calls_after_a_stop(local, silently=True, keepalive=FAR, read_timeout=0.3) == 1


async def test_a_call_before_the_expiry_timer_uses_no_expired_connection(monkeypatch):
    """A loop that was blocked may run the call before the timer that closes the connection."""
    with Servers() as servers:
        callers = Callers(ConnectionPolicy(keepalive_timeout=10))
        await callers.discover(servers.url)
        loop = asyncio.get_running_loop()
        with monkeypatch.context() as patched:
            now = loop.time()
            patched.setattr(loop, "time", lambda: now + 11)
            call = callers.discover(servers.url)
            waiting = call.send(None)  # runs until it waits for the new connection
        assert callers.transport.open_connections == 2
        await rest_of(call, waiting)
        await callers.transport.aclose(callers.holder)


@types.coroutine
def rest_of(call, waiting):
    """Continue a coroutine that was started by hand and waits for this."""
    while True:
        yield waiting
        try:
            waiting = call.send(None)
        except StopIteration:
            return


class WallClock:
    """The system's clock, with a wall clock that a test moves."""

    def __init__(self) -> None:
        self.ahead = 0.0

    monotonic = staticmethod(time.monotonic)

    def time(self) -> float:
        return time.time() + self.ahead

    def call_later(self, delay, callback):
        return asyncio.get_running_loop().call_later(delay, callback)


@pytest.mark.parametrize(("seconds", "new_connections"), [(3600, 1), (-3600, 0)], ids=["forward", "backward"])
async def test_a_wall_clock_that_jumps_costs_no_retry(local, seconds, new_connections):
    """After a jump forward idle connections are closed; after one backward they are used."""
    clock = WallClock()
    connections = ConnectionPolicy(keepalive_timeout=FAR, read_timeout=FAR, discovery_timeout=FAR)
    async with local.cloud_map(clock=clock, connections=connections) as cloud_map:
        orders = cloud_map.service("shop/orders")
        await orders.resolve()
        clock.ahead += seconds
        if new_connections:
            local.faults.drop_idle(silently=True)
        answers = await asyncio.gather(*(orders.resolve(max_age=0) for _ in range(100)))
        assert all(len(answer) == 1 and answer.age < 60 for answer in answers)
        assert orders.explain().expires_in > 600
        assert cloud_map.stats().open_connections == client_sockets([local.server.port]) == 1
    assert local.stats.calls[DISCOVER] == 2
    assert local.stats.connections_accepted == 1 + new_connections
