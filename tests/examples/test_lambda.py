"""The Lambda application: its handler in a process that looks like a sandbox, its template, its own tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aiocloudmap.local import LocalCloudMap

ROOT = Path(__file__).parents[2]
HANDLER = "examples/lambda/handler.py"
LAMBDA = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"}


async def test_three_invocations_send_three_orders_and_ask_cloud_map_once(start, shop: LocalCloudMap, queue):
    """The answer outlives the invocation."""
    async with start(HANDLER, **LAMBDA) as program:
        code, output = await program.end()
    assert code == 0, output
    assert output.splitlines()[-1] == "3 invocations, 1 question(s) to Cloud Map"
    assert shop.stats.calls["DiscoverInstances"] == 1
    assert [json.loads(body) for body in queue.bodies()] == [{"number": 1}, {"number": 2}, {"number": 3}]


async def test_it_leaves_no_warning(start):
    """Nothing is left open when it ends; a warning would be on standard error, which is read as well."""
    async with start("-W", "error", HANDLER, **LAMBDA) as program:
        code, output = await program.end()
    assert code == 0, output
    assert "Warning" not in output
    assert "never" not in output


async def test_an_unknown_service_is_told_by_name(start, shop: LocalCloudMap):
    """Without the service, the handler fails with the error that says so."""
    shop.world.remove_service("shop/orders")
    async with start(HANDLER, **LAMBDA) as program:
        code, output = await program.end()
    assert code == 1
    assert "ServiceNotFoundError" in output.splitlines()[-1]


async def test_its_own_tests_pass(start):
    """They need pytest and this library's extra only, and none of this project's fixtures."""
    pytest.importorskip("awslambdaric", reason="awslambdaric is not installed")
    plain = ("-p", "no:cacheprovider", "-o", "addopts=", "-o", "asyncio_mode=strict", "-q")
    async with start("-m", "pytest", *plain, "examples/lambda") as program:
        code, output = await program.end()
    assert code == 0, output
    assert "2 passed" in output


async def test_its_template_is_one_that_cloudformation_would_take(start):
    """cfn-lint knows the properties of every resource, and what SAM makes of its own; it asks nobody."""
    pytest.importorskip("cfnlint", reason="cfn-lint is not installed")
    lint = "import sys; from cfnlint.runner import main; sys.exit(main())"
    async with start("-c", lint, "examples/lambda/template.yaml") as program:
        code, output = await program.end()
    assert (code, output) == (0, "")


def test_it_is_the_first_block_of_the_documentation_and_short():
    """So what readers copy is what is type-checked and run here."""
    code = (ROOT / HANDLER).read_text(encoding="utf-8").split("\n\nif __name__")[0]
    page = (ROOT / "docs" / "how-to" / "lambda.md").read_text(encoding="utf-8")
    assert page.split("```python\n")[1].split("```")[0] == code
    assert len(code.splitlines()) <= 25


def test_its_role_may_do_what_it_does_and_no_more():
    """Two actions: finding the queue, and sending to it."""
    pytest.importorskip("cfnlint", reason="cfn-lint is not installed")
    from cfnlint.decode.cfn_yaml import load

    [policy] = load(str(ROOT / "examples" / "lambda" / "template.yaml"))["Resources"]["PlaceOrder"]["Properties"][
        "Policies"
    ]
    actions = sorted(statement["Action"] for statement in policy["Statement"])
    assert actions == ["servicediscovery:DiscoverInstances", "sqs:SendMessage"]
