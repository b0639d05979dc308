"""A worker that takes orders from the queue that Cloud Map names, until SIGTERM or Ctrl-C.

* The queue is looked up before each poll: a memory read that follows the queue when it moves.
* It asks for as many messages as it can begin at once, so that none waits here while its visibility time-out runs.
* A message that fails is logged and stays on the queue, which shows it again. The others go on.
* After the signal, the poll under way ends by itself: SQS may have given it messages already, and would take an
  abandoned one for work in progress. What it brings then goes back at once; what has begun is finished.

So it needs POLL_SECONDS or the longest order's time to drain, whichever is longer, and a second or two.
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
"""Orders that are worked on at the same time."""

POLL_SECONDS = int(os.environ.get("WORKER_POLL_SECONDS", "10"))
"""How long an idle poll lasts; SQS allows 20."""

DRAIN_SECONDS = float(os.environ.get("WORKER_DRAIN_SECONDS", "25"))
"""From the signal until what still runs is cut off: less than the 30 after which ECS and Kubernetes kill."""

PAUSE_SECONDS = 1.0
"""Until the next try, after an error that does not say for how long to wait."""

Message = dict[str, Any]
log = logging.getLogger("worker")


async def handle(order: dict[str, Any]) -> None:
    """What an order asks for; here, that time passes. One may come twice, as ever with SQS."""
    await asyncio.sleep(order.get("seconds", 0))
    log.info("done: %s", order["number"])


async def finish(cloud_map: CloudMap, queue_url: str, message: Message) -> None:
    """Do what the message asks for, then take it off the queue; it stays there if that fails."""
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
    """Up to so many messages, as soon as there are any; none after POLL_SECONDS."""
    sqs = await cloud_map.client("sqs")
    answer = await sqs.receive_message(
        QueueUrl=queue_url, WaitTimeSeconds=POLL_SECONDS, MaxNumberOfMessages=min(limit, 10)
    )
    messages: list[Message] = answer.get("Messages", [])
    return messages


async def give_back(cloud_map: CloudMap, queue_url: str, messages: list[Message]) -> None:
    """Let other workers have them now, not after the visibility time-out, which sees to those that fail here."""
    entries = [
        {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
        for number, message in enumerate(messages)
    ]
    sqs = await cloud_map.client("sqs")
    await sqs.change_message_visibility_batch(QueueUrl=queue_url, Entries=entries)
    log.info("given back: %d", len(messages))


async def work(cloud_map: CloudMap, stop: asyncio.Event) -> None:
    """Take orders until `stop` is set; returns when all that have begun have ended."""
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
                # If it is the queue that is gone, Cloud Map may know a new one.
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
    """Work until the process is told to stop."""
    async with until_sigterm(drain_timeout=DRAIN_SECONDS) as stop, CloudMap.from_env() as cloud_map:
        # So that the first poll begins at once, or not at all.
        await cloud_map.prefetch("shop/orders")
        await cloud_map.client("sqs")
        log.info("ready")
        await work(cloud_map, stop)
    log.info("drained")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asyncio.run(main())
