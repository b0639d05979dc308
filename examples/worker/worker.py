"""A worker that processes orders from a queue found in Cloud Map, until SIGTERM or Ctrl-C.

* It looks the queue up before each poll, usually from memory, so it follows the queue when it moves.
* It requests as many messages as it can process at once: the visibility timeout of one that waits here would run.
* A message that fails is logged and stays in the queue, and the others continue.
* After the signal, the current poll ends by itself: if it were cancelled, messages that SQS has already assigned to it
  would stay invisible. Messages that it still receives are returned at once, and work in progress is finished.

So it drains within POLL_SECONDS or the time of the longest order, whichever is longer, and a second or two.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped, unused-ignore]

from aiocloudmap import CloudMap, CloudMapError, ConfigurationError
from aiocloudmap.integrations.worker import until_sigterm

AT_A_TIME = int(os.environ.get("WORKER_AT_A_TIME", "10"))
"""Orders that are processed at the same time."""

POLL_SECONDS = int(os.environ.get("WORKER_POLL_SECONDS", "10"))
"""Duration of a poll without messages; SQS allows 20."""

DRAIN_SECONDS = float(os.environ.get("WORKER_DRAIN_SECONDS", "25"))
"""Time from the signal until work is cancelled: less than the 30 s after which ECS and Kubernetes kill."""

PAUSE_SECONDS = 1.0
"""Pause after an error without a retry time."""

Message = dict[str, Any]
log = logging.getLogger("worker")


async def handle(order: dict[str, Any]) -> None:
    """Process an order; here, by sleeping. SQS may deliver an order twice."""
    await asyncio.sleep(order.get("seconds", 0))
    log.info("done: %s", order["number"])


async def finish(cloud_map: CloudMap, queue_url: str, message: Message) -> None:
    """Process the message, then delete it from the queue; after a failure it stays."""
    try:
        await handle(json.loads(message["Body"]))
        sqs = await cloud_map.client("sqs")
        await sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    except asyncio.CancelledError:
        log.warning("cut off: %s", message["MessageId"])
        raise
    except Exception:
        log.exception("failed: %s", message["MessageId"])


async def receive(cloud_map: CloudMap, queue_url: str, limit: int) -> list[Message]:
    """Wait up to POLL_SECONDS for messages; return at most `limit` of them."""
    sqs = await cloud_map.client("sqs")
    answer = await sqs.receive_message(
        QueueUrl=queue_url, WaitTimeSeconds=POLL_SECONDS, MaxNumberOfMessages=min(limit, 10)
    )
    messages: list[Message] = answer.get("Messages", [])
    return messages


async def give_back(cloud_map: CloudMap, queue_url: str, messages: list[Message]) -> None:
    """Return messages to the queue. If that fails, they become visible after their visibility timeout."""
    entries = [
        {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
        for number, message in enumerate(messages)
    ]
    sqs = await cloud_map.client("sqs")
    await sqs.change_message_visibility_batch(QueueUrl=queue_url, Entries=entries)
    log.info("given back: %d", len(messages))


async def work(cloud_map: CloudMap, stop: asyncio.Event) -> None:
    """Process orders until `stop` is set, and finish those in progress."""
    orders = cloud_map.service("shop/orders")
    begun: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as group:
        while not stop.is_set():
            if len(begun) >= AT_A_TIME:
                await asyncio.wait(begun, return_when=asyncio.FIRST_COMPLETED)
                continue
            try:
                queue_url = await orders.attribute("QUEUE_URL")
                messages = await receive(cloud_map, queue_url, AT_A_TIME - len(begun))
                if messages and stop.is_set():
                    await give_back(cloud_map, queue_url, messages)
                    break
            except ConfigurationError:
                raise
            except (CloudMapError, ClientError, BotoCoreError) as error:
                # If the queue was deleted, Cloud Map may have a new one.
                orders.invalidate()
                log.warning("waiting: %s", error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), getattr(error, "retry_after", None) or PAUSE_SECONDS)
                continue
            for message in messages:
                task = group.create_task(finish(cloud_map, queue_url, message))
                begun.add(task)
                task.add_done_callback(begun.discard)


async def main() -> None:
    """Work until the process gets a signal."""
    async with until_sigterm(drain_timeout=DRAIN_SECONDS) as stop, CloudMap.from_env() as cloud_map:
        # The first poll then begins without further calls.
        await cloud_map.prefetch("shop/orders")
        await cloud_map.client("sqs")
        log.info("ready")
        await work(cloud_map, stop)
    log.info("drained")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asyncio.run(main())
