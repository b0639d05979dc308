"""A clean slate between tests."""

from __future__ import annotations

from aiocloudmap.engine import registry

__all__ = ["reset"]


def reset() -> None:
    """Forget every shared engine: the next `CloudMap()` starts without answers, with a new session.

    Connections are not closed by it; they close with their event loop.
    """
    registry.reset()
