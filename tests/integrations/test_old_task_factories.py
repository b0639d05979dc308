"""Task factories of the older form, which take a loop and a coroutine and nothing else, in the integrations."""

from __future__ import annotations

import asyncio
import contextvars

from aiocloudmap.integrations.aiohttp import CloudMapResolver
from aiocloudmap.integrations.aws_lambda import async_handler, close
from aiocloudmap.integrations.worker import until_sigterm
from aiocloudmap.local import LocalCloudMap


def test_a_lambda_handler_may_install_one():
    """Later invocations work, in the caller's context, and the handler's own tasks go through the factory."""
    made = []
    variable = contextvars.ContextVar("variable", default="unset")

    def factory(loop, coro):
        made.append(coro.__qualname__)
        return asyncio.Task(coro, loop=loop)

    @async_handler
    async def handler(event, context):
        asyncio.get_running_loop().set_task_factory(factory)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(0, event))
        return task.result(), variable.get()

    try:
        assert handler(1, None) == (1, "unset")
        variable.set("set")
        assert handler(2, None) == (2, "set")
        assert made == ["sleep", "sleep"]
    finally:
        close()


async def test_workers_and_host_names_work_with_one():
    """Neither gives a task a name or a context."""
    local = LocalCloudMap()
    local.world.register("shop/orders", "a", {"AWS_INSTANCE_IPV4": "127.0.0.1", "AWS_INSTANCE_PORT": "80"})
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro: asyncio.Task(coro, loop=loop))
    try:
        resolver = CloudMapResolver(local.cloud_map(in_process=True), namespaces=("shop",))
        assert [each["port"] for each in await resolver.resolve("orders.shop")] == [80]
        async with until_sigterm(drain_timeout=1) as stop:
            assert not stop.is_set()
    finally:
        loop.set_task_factory(None)  # pytest's runner passes more
