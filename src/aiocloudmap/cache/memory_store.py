"""The bounded set of cells, on cachetools.

It is written once at each refetch and not read on a hit: an answer in use is refetched every ttl, so the order of
writes is the order of use, at the grain of the ttl.
"""

from __future__ import annotations

from typing import Final

import cachetools

from aiocloudmap.cache.entry import Cell
from aiocloudmap.model.answer import Question
from aiocloudmap.model.policy import CachePolicy

__all__ = ["MAX_CELLS", "Table"]

MAX_CELLS: Final = 4096

_Key = tuple[Question, CachePolicy]


class _Cells(cachetools.Cache[_Key, Cell]):
    """Evicts and retires what was put in first. The order is the dict's own, which costs no memory of its own."""

    def popitem(self) -> tuple[_Key, Cell]:
        key = next(iter(self), None)
        if key is None:
            raise KeyError("there is no cell")  # by which clear() of old versions knows its end
        cell = self.pop(key)
        cell.retire()
        return key, cell


class Table:
    """At most `max_cells` cells, the least recently written evicted first. Its caller holds a lock around changes."""

    def __init__(self, max_cells: int = MAX_CELLS) -> None:
        self._cells = _Cells(max_cells)
        self._last: Cell | None = None

    def find(self, query: Question, policy: CachePolicy) -> Cell | None:
        """The listed cell of this query and policy."""
        return self._cells.get((query, policy))

    def adopt(self, cell: Cell) -> Cell:
        """The listed cell of the same query and policy: `cell` itself where there was none."""
        if cell.listed:
            return cell
        listed = self._cells.get(cell.key)
        if listed is None:
            listed = self._cells[cell.key] = self._last = cell
            cell.listed = True
        return listed

    def touch(self, cell: Cell) -> None:
        """The cell was written: it goes last when room is needed."""
        if cell is self._last and cell.listed:
            return
        self._cells.pop(cell.key, None)
        self._cells[cell.key] = self._last = cell

    def cells(self) -> list[Cell]:
        """All listed cells, the one written longest ago first."""
        return list(self._cells.values())

    def clear(self) -> int:
        """Drop every cell; tells how many there were."""
        cells = self.cells()
        self._cells.clear()
        for cell in cells:
            cell.retire()
        return len(cells)

    def __len__(self) -> int:
        return len(self._cells)
