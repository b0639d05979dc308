"""The Lambda handler, in a process that looks like a Lambda sandbox."""

from __future__ import annotations

import json

from aiocloudmap.local import LocalCloudMap

LAMBDA = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"}


async def test_three_invocations_send_three_orders_and_ask_cloud_map_once(start, shop: LocalCloudMap, queue):
    """The answer outlives the event loop of each invocation."""
    async with start("examples/lambda_handler.py", **LAMBDA) as program:
        code, output = await program.end()
    assert code == 0, output
    assert output.splitlines()[-1] == "3 invocations, 1 question(s) to Cloud Map"
    assert shop.stats.calls["DiscoverInstances"] == 1
    assert [json.loads(body) for body in queue.bodies()] == [{"number": 1}, {"number": 2}, {"number": 3}]


async def test_an_invocation_leaves_no_warning(start):
    """Nothing is left open when its event loop ends; a warning would be on standard error, which is read as well."""
    async with start("-W", "error", "examples/lambda_handler.py", **LAMBDA) as program:
        code, output = await program.end()
    assert code == 0, output
    assert "Warning" not in output
    assert "never" not in output


async def test_an_unknown_service_is_told_by_name(start, shop: LocalCloudMap):
    """Without the service, the handler fails with the error that says so."""
    shop.world.remove_service("shop/orders")
    async with start("examples/lambda_handler.py", **LAMBDA) as program:
        code, output = await program.end()
    assert code == 1
    assert "ServiceNotFoundError" in output.splitlines()[-1]
