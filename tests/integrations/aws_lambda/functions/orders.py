"""Handlers like a user's: they find a queue through Cloud Map and send to it."""

from __future__ import annotations

import asyncio
import json
import os

from aiocloudmap import CloudMap
from aiocloudmap.integrations.aws_lambda import async_handler

cloud_map = CloudMap.from_env()
orders = cloud_map.service("shop/orders")


async def send(event):
    """Send an order; return the queue, and how it was sent."""
    queue_url = await orders.attribute("QUEUE_URL")
    sqs = await cloud_map.client("sqs")
    answer = await sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(event))
    return {
        "queue_url": queue_url,
        "retries": answer["ResponseMetadata"]["RetryAttempts"],
        "pid": os.getpid(),
        "loop": id(asyncio.get_running_loop()),
    }


@async_handler
async def decorated(event, context):
    return await send(event)


def by_asyncio_run(event, context):
    return asyncio.run(send(event))


@async_handler
async def only_the_queue(event, context):
    """Looks the queue up, without an SQS client."""
    return {"queue_url": await orders.attribute("QUEUE_URL")}


async def wait_for_ever():
    await asyncio.Event().wait()


@async_handler(margin=2)
async def slow(event, context):
    answer = await send(event)
    if event.get("waits"):
        await wait_for_ever()
    if event.get("times_out"):
        async with asyncio.timeout(0):
            await wait_for_ever()
    return answer


def forking(event, context):
    """Forks between two invocations, and invokes the handler in both processes."""
    first = decorated(event, context)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, json.dumps(decorated(event, context)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        child = json.load(pipe)
    os.waitpid(pid, 0)
    return {"parent": [first, decorated(event, context)], "child": child}
