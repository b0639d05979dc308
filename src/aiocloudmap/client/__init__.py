"""What users hold: `CloudMap`, `Service`, and the engines behind them."""

from __future__ import annotations

from aiocloudmap.client.cloud_map import CloudMap

__all__ = ["CloudMap"]
