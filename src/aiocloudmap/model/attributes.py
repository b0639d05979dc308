"""A dict that refuses to change: smaller than a dict behind a proxy, and taken for one by `json` and `dataclasses`."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["Attributes"]


class Attributes(dict[str, str]):
    """Names and values of an instance, read-only. A copy of it is a dict that may be changed."""

    __slots__ = ()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("the attributes of an instance cannot be changed; copy() gives a dict that can")

    # The types of dict have it otherwise.
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = _refuse
    setdefault = update = _refuse  # pyright: ignore[reportAssignmentType]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)
