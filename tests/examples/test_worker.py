"""The worker, as a process that a supervisor would start and stop."""

from __future__ import annotations

import signal

import pytest

from aiocloudmap.local import LocalCloudMap


async def test_it_takes_orders_off_the_queue_that_cloud_map_names(start, shop: LocalCloudMap, queue):
    """Messages are worked on and deleted."""
    queue.put("first")
    queue.put("second")
    async with start("examples/worker.py") as program:
        done = {await program.line("done: "), await program.line("done: ")}
        code, output = await program.end(signal.SIGTERM)
    assert done == {"done: first", "done: second"}
    assert code == 0, output
    assert queue.left() == 0
    assert shop.stats.calls["DiscoverInstances"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_in_the_middle_of_a_long_poll_ends_it_cleanly(start, number: signal.Signals):
    """It does not wait for the poll, and nothing complains."""
    async with start("-W", "error", "examples/worker.py") as program:
        await program.line("ready")
        code, output = await program.end(number)
    assert code == 0, output
    assert output == "drained\n"


async def test_it_starts_in_an_outage_and_goes_on_when_that_ends(start, shop: LocalCloudMap, queue):
    """Without an answer it waits and says so; when Cloud Map is back, it works."""
    queue.put("late")
    shop.faults.server_error()
    async with start("examples/worker.py") as program:
        await program.line("waiting: shop/orders")
        shop.faults.clear()
        assert await program.line("done: ") == "done: late"
        code, _ = await program.end(signal.SIGTERM)
    assert code == 0


async def test_it_follows_the_queue_when_it_moves(start, shop: LocalCloudMap, queue):
    """A new queue URL in Cloud Map is used from the next poll on, without a restart."""
    moved = queue.client.create_queue(QueueName="orders-moved")["QueueUrl"]
    queue.client.send_message(QueueUrl=moved, MessageBody="new place")
    async with start("examples/worker.py", AIOCLOUDMAP_TTL="0", AIOCLOUDMAP_STALE_WHILE_REVALIDATE="0") as program:
        await program.line("ready")
        shop.world.register("shop/orders", "orders-1", {"QUEUE_URL": moved})
        # Ends a poll that has begun at the old place.
        queue.put("old place")
        assert await program.line("done: new place")
    queue.client.delete_queue(QueueUrl=moved)
