"""The modules that importing aiocloudmap must not load, because each slows down every cold start."""

from __future__ import annotations

from typing import Final

__all__ = ["HEAVY_MODULES"]

HEAVY_MODULES: Final = frozenset({"aiobotocore", "aiohttp", "botocore", "rich", "typer"})
