"""A frozen dataclass that remembers its hash: the cold path looks it up a dozen times for each answer."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

__all__ = ["Hashed"]


class Hashed:
    """Base of frozen dataclasses with slots, which say `__hash__ = Hashed.__hash__`, as `dataclass` would write one."""

    __slots__ = ("_hash",)

    _hash: int

    def __hash__(self) -> int:
        # Not part of what is pickled: texts hash differently in another process.
        try:
            return self._hash
        except AttributeError:
            mine: Any = self
            value = hash(tuple(getattr(mine, field.name) for field in fields(mine)))
            object.__setattr__(self, "_hash", value)
            return value
