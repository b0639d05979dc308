from typing import Annotated

from fastapi import FastAPI

from aiocloudmap.integrations.fastapi import Attribute, add_exception_handlers, lifespan, readiness

app = FastAPI(lifespan=lifespan(prefetch=["shop/orders"]))
add_exception_handlers(app)
app.get("/ready")(readiness("shop/orders"))


@app.get("/queue")
async def queue(queue_url: Annotated[str, Attribute("shop/orders", "QUEUE_URL")]) -> str:
    return queue_url
