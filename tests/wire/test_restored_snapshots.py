"""before_snapshot and after_restore close connections and reload credentials."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import threading

import pytest
import uvloop
from canned_server import CannedServer, Reply, found
from tests.support.client_sockets import client_sockets

from aiocloudmap import CloudMap, ConnectionPolicy
from aiocloudmap.local import LocalCloudMap

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
# Only the tested code may close a connection, and a call on a dead one hangs.
PATIENT = ConnectionPolicy(keepalive_timeout=600, read_timeout=60, discovery_timeout=60)


def ask(cloud_map: CloudMap):
    """A call that goes to Cloud Map."""
    return cloud_map.service("shop/orders").resolve(max_age=0)


def seen(cloud_map: CloudMap, local: LocalCloudMap) -> tuple[int, int]:
    """Open connections as counted by this library, and by the kernel."""
    return cloud_map.stats().open_connections, client_sockets([local.server.port])


@pytest.mark.parametrize("loop", LOOPS)
def test_connections_of_an_idle_loop_are_closed_before_the_snapshot(local, loop):
    """From a hook that Lambda calls between two invocations."""
    cloud_map = local.cloud_map(connections=PATIENT)

    async def three():
        await asyncio.gather(*(cloud_map.service("shop/orders", where={"K": v}).resolve(max_age=0) for v in "abc"))

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(three())
        assert seen(cloud_map, local) == (3, 3)
        cloud_map.before_snapshot()
        assert seen(cloud_map, local) == (0, 0)
        cloud_map.after_restore()
        assert len(runner.run(ask(cloud_map))) == 1
        assert seen(cloud_map, local) == (1, 1)


async def test_connections_of_the_running_loop_close_in_its_next_iteration(local):
    """The hook may be called inside a coroutine."""
    cloud_map = local.cloud_map(connections=PATIENT)
    await ask(cloud_map)
    cloud_map.before_snapshot()
    await asyncio.sleep(0)
    assert seen(cloud_map, local) == (0, 0)
    assert len(await ask(cloud_map)) == 1


async def test_connections_of_another_threads_loop_are_closed_by_it(local):
    """On its own thread."""
    cloud_map = local.cloud_map(connections=PATIENT)
    asked, ended = threading.Event(), threading.Event()

    async def elsewhere():
        await ask(cloud_map)
        asked.set()
        while cloud_map.stats().open_connections:
            await asyncio.sleep(0.001)
        ended.set()

    thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
    thread.start()
    await asyncio.to_thread(asked.wait, 60)
    assert seen(cloud_map, local) == (1, 1)
    cloud_map.before_snapshot()
    assert await asyncio.to_thread(ended.wait, 60)
    await asyncio.to_thread(thread.join)


@pytest.mark.parametrize("runs", [True, False], ids=["in a loop", "outside"])
def test_a_restored_process_uses_no_old_connection(local, runs):
    """Old connections are lost silently, yet the first call needs one attempt, without before_snapshot."""
    cloud_map = local.cloud_map(connections=PATIENT)

    async def restored():
        cloud_map.after_restore()

    with asyncio.Runner() as runner:
        runner.run(ask(cloud_map))
        local.faults.drop_idle(silently=True)
        if runs:
            runner.run(restored())
        else:
            cloud_map.after_restore()
        assert len(runner.run(ask(cloud_map))) == 1
        assert seen(cloud_map, local) == (1, 1)
    assert local.stats.calls["DiscoverInstances"] == 2
    assert local.stats.connections_accepted == 2


def test_a_call_in_flight_is_not_interrupted(local):
    """Its connection is not idle, and it may still be answered."""
    cloud_map = local.cloud_map(connections=PATIENT)

    async def main():
        local.faults.hold(next=1)
        waiting = asyncio.create_task(ask(cloud_map))
        await asyncio.wait_for(local.faults.until_held(), 60)
        cloud_map.before_snapshot()
        cloud_map.after_restore()
        local.faults.release()
        assert len(await waiting) == 1

    asyncio.run(main())
    assert local.stats.calls["DiscoverInstances"] == 1


def test_credentials_are_reloaded_by_the_first_call_after_a_restore(monkeypatch):
    """Those of the snapshot may have expired or been revoked."""

    def role(number: int) -> Reply:
        end = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Reply.json(
            {"AccessKeyId": f"AKID{number}", "SecretAccessKey": "secret", "Token": "token", "Expiration": end}
        )

    with CannedServer(found("one")) as cloud, CannedServer(role(1), role(2), role(3)) as container:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url)
        cloud_map = CloudMap(endpoint_url=cloud.url, region="eu-west-1", shared=False, connections=PATIENT)
        for hook in (None, cloud_map.before_snapshot, cloud_map.after_restore):
            if hook is not None:
                hook()
            asyncio.run(ask(cloud_map))
            asyncio.run(ask(cloud_map))
        keys = [re.search(r"Credential=(\w+)/", asked.headers["Authorization"])[1] for asked in cloud.requests]
    assert keys == ["AKID1"] * 2 + ["AKID2"] * 2 + ["AKID3"] * 2
    assert len(container.requests) == 3
