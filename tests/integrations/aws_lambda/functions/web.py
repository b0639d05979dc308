"""A FastAPI application behind Mangum, which runs the application's lifespan in each invocation."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from mangum import Mangum

from aiocloudmap import CloudMap


@asynccontextmanager
async def lifespan(app):
    async with CloudMap.from_env() as cloud_map:
        yield {"cloud_map": cloud_map}


app = FastAPI(lifespan=lifespan)


@app.post("/orders")
async def send(request: Request):
    cloud_map = request.state.cloud_map
    queue_url = await cloud_map.service("shop/orders").attribute("QUEUE_URL")
    sqs = await cloud_map.client("sqs")
    answer = await sqs.send_message(QueueUrl=queue_url, MessageBody=(await request.body()).decode())
    return {"queue_url": queue_url, "retries": answer["ResponseMetadata"]["RetryAttempts"], "pid": os.getpid()}


handler = Mangum(app)
