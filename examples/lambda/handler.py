"""A Lambda function that puts an order into the queue that Cloud Map names."""

from __future__ import annotations

import json
from typing import Any

from aiocloudmap import CloudMap
from aiocloudmap.integrations.aws_lambda import async_handler

cloud_map = CloudMap()
orders = cloud_map.service("shop/orders")


@async_handler
async def handler(event: dict[str, Any], context: object) -> dict[str, str]:
    """Send the order and return the id that SQS gave it."""
    queue_url = await orders.attribute("QUEUE_URL")
    sqs = await cloud_map.client("sqs")
    answer = await sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(event["order"]))
    return {"message_id": answer["MessageId"]}


if __name__ == "__main__":
    for number in range(1, 4):
        print(handler({"order": {"number": number}}, None))
    print(f"3 invocations, {cloud_map.stats().refreshes} question(s) to Cloud Map")
