"""The application of the load test, which runs it with several workers."""

from __future__ import annotations

import os
from typing import Annotated

from fastapi import FastAPI

from aiocloudmap import CloudMap
from aiocloudmap.integrations.fastapi import (
    Attribute,
    CloudMapDep,
    add_exception_handlers,
    lifespan,
    readiness,
)

SERVICES = [f"shop/orders-{number}" for number in range(8)]

app = FastAPI(lifespan=lifespan(CloudMap.from_env(), prefetch=SERVICES))
add_exception_handlers(app)
app.get("/ready")(readiness(*SERVICES))


@app.get("/queues/{number}")
async def queue(
    number: int, cloud_map: CloudMapDep, first: Annotated[str, Attribute(SERVICES[0], "QUEUE_URL")]
) -> tuple[int, str, str]:
    """The worker's process id, and two queues found in Cloud Map."""
    return os.getpid(), first, await cloud_map.service(SERVICES[number]).attribute("QUEUE_URL")
