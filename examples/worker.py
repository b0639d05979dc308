"""A worker that takes orders from the queue that Cloud Map names, until SIGTERM or Ctrl-C.

What has been received by then is finished first. The queue is looked up before each poll: a memory read that follows
the queue when it moves.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any

from aiocloudmap import CloudMap, UnavailableError

cloud_map = CloudMap.from_env()
orders = cloud_map.service("shop/orders")


async def receive() -> tuple[str, list[dict[str, Any]]]:
    """The queue, and the messages that came within 20 seconds."""
    queue_url = await orders.attribute("QUEUE_URL")
    sqs = await cloud_map.client("sqs")
    answer = await sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=20, MaxNumberOfMessages=10)
    return queue_url, answer.get("Messages", [])


async def finish(queue_url: str, message: dict[str, Any]) -> None:
    """Do what the message asks for, then take it off the queue."""
    print(f"done: {message['Body']}", flush=True)
    sqs = await cloud_map.client("sqs")
    await sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


async def work(stop: asyncio.Event) -> None:
    """Take orders until `stop` is set."""
    stopped = asyncio.create_task(stop.wait())
    while not stop.is_set():
        polling = asyncio.create_task(receive())
        await asyncio.wait({polling, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not polling.done():
            # SQS shows again later what this poll might have been about to bring.
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
            break
        try:
            queue_url, messages = await polling
        except UnavailableError as error:
            print(f"waiting: {error}", flush=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), error.retry_after or 1.0)
            continue
        for message in messages:
            await finish(queue_url, message)
    await stopped


async def main() -> None:
    """Work until the process is told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with cloud_map:
        print("ready", flush=True)
        await work(stop)
    print("drained", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
