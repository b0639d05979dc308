"""The worker, as a process that a supervisor would start and stop."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aiocloudmap.local import LocalCloudMap

ROOT = Path(__file__).parents[2]
WORKER = "examples/worker/worker.py"
# How often a worker is stopped under load: SIGTERM_RUNS=20 for a longer look, -s to see what each run did.
RUNS = int(os.environ.get("SIGTERM_RUNS", "2"))
SENT = 200
SHORT_POLLS = {"WORKER_POLL_SECONDS": "1"}


def order(number: int, seconds: float = 0) -> str:
    """An order's text."""
    return json.dumps({"number": number, "seconds": seconds})


def put_many(queue, bodies: list[str]) -> None:
    """Put messages there, ten a call."""
    for start in range(0, len(bodies), 10):
        entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies[start : start + 10])]
        queue.client.send_message_batch(QueueUrl=queue.url, Entries=entries)


def visible(queue) -> int:
    """How many messages anybody could take now."""
    name = "ApproximateNumberOfMessages"
    return int(queue.client.get_queue_attributes(QueueUrl=queue.url, AttributeNames=[name])["Attributes"][name])


async def test_it_takes_orders_off_the_queue_and_leaves_one_that_fails(start, shop: LocalCloudMap, queue):
    """What is done is deleted; what is no order is logged, stays, and holds up nobody."""
    put_many(queue, ["no order", order(1), order(2)])
    async with start(WORKER, **SHORT_POLLS) as program:
        await program.line("failed: ")
        await program.line("json.decoder.JSONDecodeError: ")
        queue.put(order(3))
        assert await program.line("done: 3")
        code, output = await program.end(signal.SIGTERM)
    assert code == 0, output
    assert queue.left() == 1
    assert shop.stats.calls["DiscoverInstances"] == 1


async def test_sigterm_lets_a_poll_end_and_what_it_brings_goes_back(start, queue):
    """The message was given to this poll: others can have it at once, and nothing complains."""
    queue.put(order(1))
    async with start("-W", "error", WORKER, WORKER_POLL_SECONDS="20") as program:
        # By then the next poll has begun.
        await program.line("done: 1")
        program.process.send_signal(signal.SIGTERM)
        await program.line("SIGTERM: no new work; what has begun may end within 25 s")
        queue.put(order(2))
        code, output = await program.end()
    assert code == 0, output
    assert output == "given back: 1\ndrained\n"
    assert visible(queue) == queue.left() == 1


async def test_an_order_that_outlasts_the_drain_time_is_cut_off(start, queue):
    """It is logged, the process ends with an error that says why, and SQS still has the message."""
    queue.put(order(1, seconds=3600))
    queue.put(order(2))
    async with start(WORKER, WORKER_DRAIN_SECONDS="0.2", **SHORT_POLLS) as program:
        await program.line("done: 2")
        code, output = await program.end(signal.SIGTERM)
    assert code == 1
    assert "cut off: " in output
    assert "NotDrainedError: what had begun did not end within 0.2 s after the signal" in output
    assert (visible(queue), queue.left()) == (0, 1)


async def test_it_starts_in_an_outage_and_goes_on_when_that_ends(start, shop: LocalCloudMap, queue):
    """Without an answer it waits and says so; when Cloud Map is back, it works."""
    queue.put(order(1))
    shop.faults.server_error()
    async with start(WORKER, **SHORT_POLLS) as program:
        await program.line("waiting: shop/orders")
        shop.faults.clear()
        assert await program.line("done: 1")


async def test_it_follows_the_queue_when_it_moves(start, shop: LocalCloudMap, queue):
    """The poll after the move goes to the new place; what is left at the old one stays there."""
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
async def test_no_message_is_lost_when_it_is_stopped_under_load(start, queue, run: int):
    """Each of those sent has been done, once, or can be taken by the next worker at once."""
    put_many(queue, [order(number, seconds=0.02 * (number % 5)) for number in range(SENT)])
    async with start(WORKER, **SHORT_POLLS) as program:
        before = [await program.line("done: ") for _ in range(10 + 17 * run % 100)]
        told = time.monotonic()
        code, output = await program.end(signal.SIGTERM)
        seconds = time.monotonic() - told
    assert code == 0, output
    assert output.endswith("drained\n")
    done = [*before, *re.findall("^done: .*", output, re.MULTILINE)]
    print(f"\ndrained in {seconds:.2f} s: {len(done)} done, {visible(queue)} left of {SENT}")
    assert len(done) == len(set(done))
    assert visible(queue) == queue.left() == SENT - len(done) > 0


def test_its_own_tests_pass_as_its_reader_would_run_them():
    """They come with the example, and need pytest and aiocloudmap only."""
    plain = ["-p", "no:cacheprovider", "-p", "no:asyncio"]
    command = [sys.executable, "-m", "pytest", "-q", *plain, "examples/worker"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_the_first_worker_of_the_page_runs_as_printed(start, queue, tmp_path: Path):
    """In at most 25 lines it takes orders, and ends in order on SIGTERM."""
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
    # The signal may have come before the next poll.
    assert (output, queue.left()) in [("second\n", 0), ("", 1)]
