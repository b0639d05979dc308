"""A FastAPI service that puts orders into the queue that Cloud Map names.

Run it with `uvicorn fastapi_app:app --app-dir examples`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from aiocloudmap import CloudMap, UnavailableError

cloud_map = CloudMap()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Hold the connections while the application runs, and know the queue before the first request."""
    async with cloud_map:
        await cloud_map.prefetch("shop/orders")
        yield


async def find_queue() -> str:
    """The queue of the moment; a memory read for nearly every request."""
    return await cloud_map.service("shop/orders").attribute("QUEUE_URL")


async def find_sqs() -> Any:
    """The SQS client that all requests of this process share."""
    return await cloud_map.client("sqs")


class Order(BaseModel):
    """What a customer wants."""

    number: int


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=202)
async def place(
    order: Order, queue_url: Annotated[str, Depends(find_queue)], sqs: Annotated[Any, Depends(find_sqs)]
) -> dict[str, str]:
    """Accept the order."""
    answer = await sqs.send_message(QueueUrl=queue_url, MessageBody=order.model_dump_json())
    return {"message_id": answer["MessageId"]}


@app.exception_handler(UnavailableError)
async def unavailable(request: Request, error: UnavailableError) -> JSONResponse:
    """Cloud Map could not be reached, and no answer was left that might still be good."""
    seconds = 1 if error.retry_after is None else max(1, round(error.retry_after))
    return JSONResponse({"detail": "try again later"}, status_code=503, headers={"Retry-After": str(seconds)})
