"""What to install where a part of this library misses a library that the plain package does not bring."""

from __future__ import annotations

__all__ = ["missing_extra"]


def missing_extra(extra: str, error: ImportError) -> ImportError:
    """The error to raise `from` the one that importing the library gave.

    Args:
        extra: The extra of this package that brings it.
        error: What was raised.
    """
    missing = error.name or "a library"
    return ImportError(
        f"{missing} is not installed, and the plain package does not bring it: pip install 'aiocloudmap[{extra}]'",
        name=error.name,
        path=error.path,
    )
