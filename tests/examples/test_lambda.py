"""The Lambda application: its handler in an environment like Lambda's, its template, and its own tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aiocloudmap.local import LocalCloudMap

ROOT = Path(__file__).parents[2]
HANDLER = "examples/lambda/handler.py"
LAMBDA = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"}


async def test_three_invocations_send_three_orders_with_one_call(start, shop: LocalCloudMap, queue):
    """The answer stays in the cache between invocations."""
    async with start(HANDLER, **LAMBDA) as program:
        code, output = await program.end()
    assert code == 0, output
    assert output.splitlines()[-1] == "3 invocations, 1 question(s) to Cloud Map"
    assert shop.stats.calls["DiscoverInstances"] == 1
    assert [json.loads(body) for body in queue.bodies()] == [{"number": 1}, {"number": 2}, {"number": 3}]


async def test_it_ends_without_warnings(start):
    """A warning would be in the output, which includes standard error."""
    async with start("-W", "error", HANDLER, **LAMBDA) as program:
        code, output = await program.end()
    assert code == 0, output
    assert "Warning" not in output
    assert "never" not in output


async def test_an_unknown_service_raises_the_error_for_it(start, shop: LocalCloudMap):
    """The output ends with it."""
    shop.world.remove_service("shop/orders")
    async with start(HANDLER, **LAMBDA) as program:
        code, output = await program.end()
    assert code == 1
    assert "ServiceNotFoundError" in output.splitlines()[-1]


async def test_its_own_tests_pass(start):
    """They need pytest and the `testing` extra, and none of this repository's fixtures."""
    pytest.importorskip("awslambdaric", reason="awslambdaric is not installed")
    plain = ("-p", "no:cacheprovider", "-o", "addopts=", "-o", "asyncio_mode=strict", "-q")
    async with start("-m", "pytest", *plain, "examples/lambda") as program:
        code, output = await program.end()
    assert code == 0, output
    assert "2 passed" in output


async def test_its_template_is_valid(start):
    """cfn-lint knows the properties of CloudFormation's and SAM's resources, offline."""
    pytest.importorskip("cfnlint", reason="cfn-lint is not installed")
    lint = "import sys; from cfnlint.runner import main; sys.exit(main())"
    async with start("-c", lint, "examples/lambda/template.yaml") as program:
        code, output = await program.end()
    assert (code, output) == (0, "")


def test_it_is_short_and_the_first_block_of_its_page():
    """So the code that readers copy is type-checked and tested."""
    code = (ROOT / HANDLER).read_text(encoding="utf-8").split("\n\nif __name__")[0]
    page = (ROOT / "docs" / "how-to" / "lambda.md").read_text(encoding="utf-8")
    assert page.split("```python\n")[1].split("```")[0] == code
    assert len(code.splitlines()) <= 25


def test_its_role_has_the_permissions_it_needs_only():
    """To find the queue, and to send to it."""
    pytest.importorskip("cfnlint", reason="cfn-lint is not installed")
    from cfnlint.decode.cfn_yaml import load

    [policy] = load(str(ROOT / "examples" / "lambda" / "template.yaml"))["Resources"]["PlaceOrder"]["Properties"][
        "Policies"
    ]
    actions = sorted(statement["Action"] for statement in policy["Statement"])
    assert actions == ["servicediscovery:DiscoverInstances", "sqs:SendMessage"]
