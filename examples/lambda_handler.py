"""A Lambda function that puts an order into the queue that Cloud Map names.

`asyncio.run` makes a new event loop for each invocation. Everything made here at import survives that: the session,
the credentials and the answers. Only connections are closed with each loop.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiocloudmap import CloudMap

cloud_map = CloudMap()
orders = cloud_map.service("shop/orders")


async def send(order: dict[str, Any]) -> str:
    """Send the order and return the id that SQS gave it."""
    queue_url = await orders.attribute("QUEUE_URL")
    sqs = await cloud_map.client("sqs")
    answer = await sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(order))
    message_id: str = answer["MessageId"]
    return message_id


def handler(event: dict[str, Any], context: object) -> dict[str, str]:
    """What Lambda calls."""
    return {"message_id": asyncio.run(send(event["order"]))}


if __name__ == "__main__":
    for number in range(1, 4):
        print(handler({"order": {"number": number}}, None))
    print(f"3 invocations, {cloud_map.stats().refreshes} question(s) to Cloud Map")
