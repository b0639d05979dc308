"""What an answer in memory is good for (RFC 9111, RFC 5861)."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Freshness"]


class Freshness(StrEnum):
    """What an answer is good for."""

    FRESH = "fresh"
    """Given at once."""

    STALE = "stale"
    """Given at once, and renewed in the background."""

    FALLBACK = "fallback"
    """Given where no new answer can be had in time."""

    ABSENT = "absent"
    """Not there, or too old to be given."""
