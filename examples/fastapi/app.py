"""A FastAPI service that sends orders to a queue found in Cloud Map.

Run it with `uvicorn app:app`, in this folder.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI
from pydantic import BaseModel

from aiocloudmap import CloudMap
from aiocloudmap.integrations.fastapi import (
    Attribute,
    CloudMapDep,
    add_exception_handlers,
    lifespan,
    readiness,
)

# With the defaults, requests work for the first ten minutes of an outage of Cloud Map.
app = FastAPI(lifespan=lifespan(CloudMap.from_env(), prefetch=["shop/orders"]))
add_exception_handlers(app)
app.get("/ready")(readiness("shop/orders"))

QueueUrl = Annotated[str, Attribute("shop/orders", "QUEUE_URL")]


async def find_sqs(cloud_map: CloudMapDep) -> Any:
    """The SQS client that all requests of this process share."""
    return await cloud_map.client("sqs")


class Order(BaseModel):
    """An order, as a customer sends it."""

    number: int


@app.post("/orders", status_code=202)
async def place(order: Order, queue_url: QueueUrl, sqs: Annotated[Any, Depends(find_sqs)]) -> dict[str, str]:
    """Accept the order."""
    answer = await sqs.send_message(QueueUrl=queue_url, MessageBody=order.model_dump_json())
    return {"message_id": answer["MessageId"]}


@app.get("/live")
async def live() -> dict[str, bool]:
    """The process responds; it depends on no other service."""
    return {"live": True}
