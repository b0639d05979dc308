"""What somebody gave, as messages repeat it."""

from __future__ import annotations

__all__ = ["shown"]

_MOST = 80


def shown(value: object) -> str:
    """The value for a message, shortened, with everything unprintable escaped."""
    if isinstance(value, str):
        return ascii(_shortened(value))
    try:
        return _shortened(ascii(value))
    except Exception:  # noqa: BLE001 - a number of thousands of digits, or a repr of somebody's own
        return f"<{type(value).__name__}>"


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST else text[: _MOST - 3] + "..."
