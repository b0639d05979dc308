"""Snapshots and forks of the process keep answers, and no connections."""

from __future__ import annotations

import asyncio
import threading

DISCOVER, SEND = "DiscoverInstances", "AmazonSQS.SendMessage"


def test_a_snapshot_has_answers_and_no_connections(function, shop, all_closed):
    """For every engine of the process, without further code."""
    with function("snapshots.handler", snap_start=True) as running:
        running.start()
        assert all_closed()
        assert shop.stats.connections_accepted == 2
        running.freeze()
        answer = running.invoke()
    assert len(answer["urls"]) == 2
    assert answer["seen"] == {"primed": 2, "restored": 0}
    assert shop.stats.calls[DISCOVER] == 2
    assert shop.stats.connections_accepted == 2


def test_a_fork_between_invocations_gets_its_own_loop(function, shop):
    """The child keeps the answer and opens a connection; the parent's stays open."""
    with function("orders.forking") as running:
        answer = running.invoke({"order": 1})
    for what in ("pid", "loop"):
        first, last, child = (each[what] for each in (*answer["parent"], answer["child"]))
        assert first == last != child
    assert shop.stats.calls.by_operation == {SEND: 3, DISCOVER: 1}
    assert shop.stats.connections_accepted == 2


def test_each_worker_of_a_managed_instance_has_its_own_loop(function, shop):
    """The runtime forks them before it imports the handler, so each makes one call."""
    answers = []
    with function("orders.decorated", env={"AWS_LAMBDA_MAX_CONCURRENCY": "2"}) as running:
        running.start()
        for _ in range(2):
            with shop.faults.hold(operation=SEND):
                threads = [
                    threading.Thread(target=lambda: answers.append(running.invoke({"order": 1}))) for _ in range(2)
                ]
                for thread in threads:
                    thread.start()
                wait_until_held(shop, 2)
            for thread in threads:
                thread.join()
    assert len({answer["pid"] for answer in answers}) == 2
    assert shop.stats.calls.by_operation == {SEND: 4, DISCOVER: 2}
    assert shop.stats.connections_accepted == 2


def wait_until_held(shop, count):
    asyncio.run(asyncio.wait_for(shop.faults.until_held(count), 30))
