"""The worker, as a process that a supervisor starts and stops."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from moto.sqs.models import Queue as MotoQueue

from aiocloudmap.local import LocalCloudMap

ROOT = Path(__file__).parents[2]
WORKER = "examples/worker/worker.py"
# How often a worker is stopped under load. With SIGTERM_RUNS=20 it runs longer, with -s it prints a summary.
RUNS = int(os.environ.get("SIGTERM_RUNS", "2"))
SENT = 200
SHORT_POLLS = {"WORKER_POLL_SECONDS": "1"}


def order(number: int, seconds: float = 0) -> str:
    """The text of an order."""
    return json.dumps({"number": number, "seconds": seconds})


def put_many(queue, bodies: list[str]) -> None:
    """Send messages, ten in each call."""
    for start in range(0, len(bodies), 10):
        entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies[start : start + 10])]
        queue.client.send_message_batch(QueueUrl=queue.url, Entries=entries)


def visible(queue) -> int:
    """The number of messages that a worker could receive now."""
    name = "ApproximateNumberOfMessages"
    return int(queue.client.get_queue_attributes(QueueUrl=queue.url, AttributeNames=[name])["Attributes"][name])


async def test_it_processes_orders_and_leaves_one_that_fails(start, shop: LocalCloudMap, queue):
    """A processed order is deleted. An invalid one is logged and stays, and delays no other."""
    put_many(queue, ["not an order", order(1), order(2)])
    async with start(WORKER, **SHORT_POLLS) as program:
        await program.line("failed: ")
        await program.line("json.decoder.JSONDecodeError: ")
        queue.put(order(3))
        assert await program.line("done: 3")
        code, output = await program.end(signal.SIGTERM)
    assert code == 0, output
    assert queue.left() == 1
    assert shop.stats.calls["DiscoverInstances"] == 1


async def test_after_sigterm_it_returns_what_the_last_poll_receives(start, queue):
    """Other workers can receive the message at once. There are no warnings."""
    queue.put(order(1))
    async with start("-W", "error", WORKER, WORKER_POLL_SECONDS="20") as program:
        # The next poll has begun by then.
        await program.line("done: 1")
        program.process.send_signal(signal.SIGTERM)
        await program.line("SIGTERM: taking no new work; waiting up to 25 s for work in progress")
        queue.put(order(2))
        code, output = await program.end()
    assert code == 0, output
    assert output == "given back: 1\ndrained\n"
    assert visible(queue) == queue.left() == 1


async def test_an_order_that_outlasts_the_drain_time_is_cancelled(start, queue):
    """It is logged, the process fails with the reason, and SQS keeps the message."""
    queue.put(order(1, seconds=3600))
    queue.put(order(2))
    async with start(WORKER, WORKER_DRAIN_SECONDS="0.2", **SHORT_POLLS) as program:
        await program.line("done: 2")
        while queue.left() > 1:  # it is deleted after the line
            await asyncio.sleep(0.01)
        code, output = await program.end(signal.SIGTERM)
    assert code == 1
    assert "cut off: " in output
    assert "NotDrainedError: work was still running 0.2 s after the signal" in output
    assert (visible(queue), queue.left()) == (0, 1)


async def test_it_waits_for_the_end_of_an_outage_at_the_start(start, shop: LocalCloudMap, queue):
    """It logs the reason, and begins to work when Cloud Map is available."""
    queue.put(order(1))
    shop.faults.server_error()
    async with start(WORKER, **SHORT_POLLS) as program:
        await program.line("waiting: shop/orders")
        shop.faults.clear()
        assert await program.line("done: 1")


async def test_it_follows_the_queue_when_it_moves(start, shop: LocalCloudMap, queue):
    """The next poll uses the new queue; messages in the old one stay there."""
    moved = queue.client.create_queue(QueueName="orders-moved")["QueueUrl"]
    queue.client.send_message(QueueUrl=moved, MessageBody=order(2))
    no_cache = {"AIOCLOUDMAP_TTL": "0", "AIOCLOUDMAP_STALE_WHILE_REVALIDATE": "0"}
    async with start(WORKER, **SHORT_POLLS, **no_cache) as program:
        queue.put(order(1))
        await program.line("done: 1")
        shop.world.register("shop/orders", "orders-1", {"QUEUE_URL": moved})
        assert await program.line("done: 2")
        queue.put(order(3))
        code, output = await program.end(signal.SIGTERM)
    assert code == 0, output
    assert visible(queue) == 1
    queue.client.delete_queue(QueueUrl=moved)


@pytest.mark.parametrize("run", range(RUNS))
async def test_no_message_is_lost_when_it_is_stopped_under_load(start, queue, run: int, monkeypatch):
    """Each message is processed once, or visible to the next worker at once."""
    put_many(queue, [order(number, seconds=0.02 * (number % 5)) for number in range(SENT)])
    deletions, delete = itertools.count(1), MotoQueue.delete_message
    async with start(WORKER, WORKER_DRAIN_SECONDS="60", **SHORT_POLLS) as program:

        def delete_or_signal(moto_queue: MotoQueue, receipt_handle: str) -> None:
            delete(moto_queue, receipt_handle)
            # SQS sends the signal while the worker waits for its answer, so that it always comes with work in progress
            # and messages left, however fast the worker is.
            if next(deletions) == 10 + 17 * run % 100:
                program.process.send_signal(signal.SIGTERM)

        monkeypatch.setattr(MotoQueue, "delete_message", delete_or_signal)
        code, output = await program.end()
    assert code == 0, output
    assert output.endswith("drained\n")
    done = re.findall("^done: .*", output, re.MULTILINE)
    print(f"\n{len(done)} done, {visible(queue)} left of {SENT}")
    assert len(done) == len(set(done))
    assert visible(queue) == queue.left() == SENT - len(done) > 0


def test_its_own_tests_pass_as_a_reader_would_run_them():
    """They need pytest and aiocloudmap only."""
    plain = ["-p", "no:cacheprovider", "-p", "no:asyncio"]
    command = [sys.executable, "-m", "pytest", "-q", *plain, "examples/worker"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_the_first_worker_on_its_page_runs_as_printed(start, queue, tmp_path: Path):
    """It has at most 25 lines, processes orders, and ends cleanly on SIGTERM."""
    page = (ROOT / "docs" / "how-to" / "workers.md").read_text(encoding="utf-8")
    program_text = page.split("```python\n")[1].split("```")[0]
    assert len(program_text.splitlines()) <= 25
    (tmp_path / "worker.py").write_text(program_text, encoding="utf-8")
    queue.put("first")
    async with start("-W", "error", str(tmp_path / "worker.py")) as program:
        await program.line("first")
        program.process.send_signal(signal.SIGTERM)
        queue.put("second")
        code, output = await program.end()
    assert code == 0, output
    # The signal may arrive before the next poll.
    assert (output, queue.left()) in [("second\n", 0), ("", 1)]
