"""Task factories of the older form, which take a loop and a coroutine and nothing else."""

from __future__ import annotations

import asyncio

from aiocloudmap.local import LocalCloudMap, World


async def test_an_old_task_factory_changes_nothing():
    """As tracing libraries install it. Warnings fail the test, so every coroutine is awaited."""
    world = World()
    world.register("shop/orders", "one", {"QUEUE_URL": "https://q/1"})
    asyncio.get_running_loop().set_task_factory(lambda loop, coro: asyncio.Task(coro, loop=loop))
    with LocalCloudMap(world) as local:
        async with local.cloud_map() as cloud_map:
            orders = cloud_map.service("shop/orders")
            assert len(await orders.resolve(max_age=0)) == 1
            assert await orders.attribute("QUEUE_URL", default="d") == "https://q/1"
            assert await cloud_map.service("shop/other").attribute("QUEUE_URL", default="d") == "d"
            sqs = await cloud_map.client("sqs", region_name="eu-west-1")
            assert sqs.meta.service_model.service_name == "sqs"
            session = await cloud_map.http_session()
            async with session.get(local.endpoint_url) as response:
                await response.read()
    asyncio.get_running_loop().set_task_factory(None)  # pytest's runner passes more
    assert asyncio.all_tasks() == {asyncio.current_task()}
