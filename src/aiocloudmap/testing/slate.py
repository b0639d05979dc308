"""A clean slate between tests."""

from __future__ import annotations

from aiocloudmap.registry import registry

__all__ = ["reset"]


def reset() -> None:
    """Every CloudMap begins anew: without answers, with a new session that reads the environment as it is by then.

    Those that were made before are meant as well, and handles that came from them; only one with a backend of its own
    is left alone. Calls under way are cancelled. Connections are not closed by it; they close with their event loop.
    """
    registry.reset()
