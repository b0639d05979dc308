"""What led to an error: by cause, by context, in groups, and in botocore's and aiohttp's own ways."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["causes"]


def causes(error: BaseException, *, contexts: bool = False) -> Iterator[BaseException]:
    """The error and everything that led to it, the nearest first.

    Args:
        error: What was raised.
        contexts: Whether to follow what was being handled when it was raised. For errors that were raised in a task of
            our own: elsewhere what the caller was handling when it called has nothing to do with this failure.
    """
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        link = waiting.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        fields = getattr(link, "kwargs", None)
        wrapped = fields.get("error") if isinstance(fields, dict) else None
        waiting += [link.__cause__, link.__context__ if contexts else None, wrapped, getattr(link, "os_error", None)]
        waiting += link.exceptions if isinstance(link, BaseExceptionGroup) else ()
