"""The worker's tests, with a local Cloud Map and a fake SQS: run `pytest` in this folder, without an AWS account."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import worker

from aiocloudmap.local import LocalCloudMap, RefusedError

HERE, THERE = "https://sqs.example.com/1/here", "https://sqs.example.com/1/there"


class Sqs:
    """The operations of SQS that the worker uses. `faults.hold` of the local Cloud Map makes a poll wait."""

    def __init__(self) -> None:
        self.queues: dict[str, list[str]] = {HERE: [], THERE: []}
        self.deleted: list[str] = []
        self.given_back: list[str] = []
        self.asked_for: list[int] = []
        self.called = asyncio.Event()

    def receive_message(self, request: dict[str, Any]) -> dict[str, Any]:
        """Remove and return the first messages of the queue."""
        self.called.set()
        self.asked_for.append(request["MaxNumberOfMessages"])
        queue = self.queues.get(request["QueueUrl"])
        if queue is None:
            raise RefusedError("the queue does not exist", code="AWS.SimpleQueueService.NonExistentQueue")
        taken = [queue.pop(0) for _ in queue[: request["MaxNumberOfMessages"]]]
        return {"Messages": [{"MessageId": body, "ReceiptHandle": body, "Body": body} for body in taken]}

    def delete_message(self, request: dict[str, Any]) -> dict[str, Any]:
        """Record a deletion."""
        self.called.set()
        self.deleted.append(request["ReceiptHandle"])
        return {}

    def change_message_visibility_batch(self, request: dict[str, Any]) -> dict[str, Any]:
        """Record messages that become visible again."""
        self.given_back += [entry["ReceiptHandle"] for entry in request["Entries"]]
        return {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]], "Failed": []}

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the call of the worker that fulfils the condition."""
        while not condition():
            self.called.clear()
            await self.called.wait()


@asynccontextmanager
async def working(sqs: Sqs, stop: asyncio.Event, *queue_urls: str) -> AsyncIterator[LocalCloudMap]:
    """Run the worker until `stop` is set. Cloud Map has these queues, or the one at HERE."""
    targets = {
        "AmazonSQS.ReceiveMessage": sqs.receive_message,
        "AmazonSQS.DeleteMessage": sqs.delete_message,
        "AmazonSQS.ChangeMessageVisibilityBatch": sqs.change_message_visibility_batch,
    }
    async with asyncio.timeout(30), LocalCloudMap(targets=targets) as local:
        for number, queue_url in enumerate(queue_urls or [HERE], 1):
            local.world.register("shop/orders", f"orders-{number}", {"QUEUE_URL": queue_url})
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL_SQS", local.endpoint_url)
            async with local.cloud_map() as cloud_map, asyncio.TaskGroup() as group:
                group.create_task(worker.work(cloud_map, stop))
                yield local


def order(number: int) -> str:
    """The text of an order."""
    return json.dumps({"number": number})


def test_orders_are_processed_and_deleted() -> None:
    """A message is deleted after it has been processed."""

    async def run() -> None:
        sqs, stop = Sqs(), asyncio.Event()
        sqs.queues[HERE] = [order(1), order(2)]
        async with working(sqs, stop):
            await sqs.until(lambda: len(sqs.deleted) == 2)
            stop.set()
        assert sorted(sqs.deleted) == [order(1), order(2)]

    asyncio.run(run())


def test_a_message_that_fails_stays_in_the_queue(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and other messages are processed."""

    async def run() -> None:
        sqs, stop = Sqs(), asyncio.Event()
        sqs.queues[HERE] = ["no order", order(2)]
        async with working(sqs, stop):
            await sqs.until(lambda: sqs.deleted == [order(2)])
            stop.set()

    asyncio.run(run())
    assert "failed: no order" in caplog.messages


def test_it_receives_only_what_it_can_process_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for three it requests three, and more when some have ended."""
    monkeypatch.setattr(worker, "AT_A_TIME", 3)

    async def run() -> None:
        sqs, stop = Sqs(), asyncio.Event()
        all_begun, may_end = asyncio.Barrier(4), asyncio.Event()

        async def handle(order: dict[str, Any]) -> None:
            if order["number"] < 3:
                await all_begun.wait()
                await may_end.wait()

        monkeypatch.setattr(worker, "handle", handle)
        sqs.queues[HERE] = [order(number) for number in range(5)]
        async with working(sqs, stop):
            await all_begun.wait()
            assert sqs.asked_for == [3]
            may_end.set()
            await sqs.until(lambda: len(sqs.deleted) == 5)
            stop.set()
        assert max(sqs.asked_for) == 3

    asyncio.run(run())


def test_messages_received_after_the_stop_are_returned() -> None:
    """The current poll ends by itself, and other workers can receive the messages at once."""

    async def run() -> None:
        sqs, stop = Sqs(), asyncio.Event()
        async with working(sqs, stop) as local:
            local.faults.hold(operation="AmazonSQS.ReceiveMessage")
            await local.faults.until_held()
            stop.set()
            sqs.queues[HERE] = [order(1)]
            local.faults.clear()
        assert (sqs.given_back, sqs.deleted) == ([order(1)], [])

    asyncio.run(run())


def test_a_deleted_queue_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even while the cached answer is fresh."""
    monkeypatch.setattr(worker, "PAUSE_SECONDS", 0.0)

    async def run() -> None:
        sqs, stop = Sqs(), asyncio.Event()
        sqs.queues[HERE], sqs.queues[THERE] = [order(1)], [order(2)]
        async with working(sqs, stop) as local:
            await sqs.until(lambda: sqs.deleted == [order(1)])
            local.world.register("shop/orders", "orders-1", {"QUEUE_URL": THERE})
            del sqs.queues[HERE]
            await sqs.until(lambda: sqs.deleted == [order(1), order(2)])
            stop.set()

    asyncio.run(run())


def test_two_queues_are_polled_in_turn() -> None:
    """So both may be registered until the old one is empty."""

    async def run() -> None:
        sqs, stop = Sqs(), asyncio.Event()
        sqs.queues[HERE], sqs.queues[THERE] = [order(1)], [order(2)]
        async with working(sqs, stop, HERE, THERE):
            await sqs.until(lambda: len(sqs.deleted) == 2)
            stop.set()
        assert sorted(sqs.deleted) == [order(1), order(2)]

    asyncio.run(run())
