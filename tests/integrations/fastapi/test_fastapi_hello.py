"""The first program of the page on FastAPI runs as printed."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from aiocloudmap.local import LocalCloudMap

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "how-to" / "fastapi.md"
CHECKED = ROOT / "tests" / "typing" / "fastapi_hello.py"


def printed() -> str:
    """The page's first Python block."""
    return PAGE.read_text(encoding="utf-8").split("```python\n", 1)[1].split("```", 1)[0]


def test_it_is_short_and_type_checked():
    """mypy and pyright check a copy of it in strict mode."""
    assert len(printed().splitlines()) <= 25
    assert printed() == CHECKED.read_text(encoding="utf-8")


async def test_it_runs_as_printed(running, served_shop: LocalCloudMap):
    """It finds the queue, is ready, and makes one call."""
    module = ModuleType("main")
    exec(compile(printed(), "main.py", "exec", dont_inherit=True), module.__dict__)
    async with running(module.app) as client:
        assert (await client.get("/queue")).json() == "https://example.com/orders"
        assert (await client.get("/ready")).json() == {"shop/orders": "fresh"}
    assert served_shop.stats.calls.total == 1
