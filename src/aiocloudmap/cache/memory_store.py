"""The bounded set of entries, on cachetools.

It is written once per refetch and not read on a hit. An answer in use is refetched every ttl, so the order of writes
is the order of use, to within a ttl.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cachetools

from aiocloudmap.cache.entry import Entry
from aiocloudmap.model.answer import Question
from aiocloudmap.model.policy import CachePolicy

__all__ = ["MAX_ENTRIES", "MemoryStore"]

MAX_ENTRIES: Final = 4096

_Key = tuple[Question, CachePolicy]


class _Entries(cachetools.Cache[_Key, Entry]):
    """Evicts the entry that was put in first. The order is the dict's own and needs no memory."""

    def popitem(self) -> tuple[_Key, Entry]:
        key = next(iter(self), None)
        if key is None:
            raise KeyError("no entry left")  # how clear() of old cachetools versions ends
        entry = self.pop(key)
        entry.unlist()
        return key, entry


class MemoryStore:
    """At most `max_entries` entries, the least recently written evicted first. Callers hold a lock around changes."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._entries = _Entries(max_entries)
        self._newest: Entry | None = None

    def find(self, query: Question, policy: CachePolicy) -> Entry | None:
        """The listed entry of this question and policy."""
        return self._entries.get((query, policy))

    def list_entry(self, entry: Entry) -> Entry:
        """List the entry, and return it; or return the one that is listed for the same question and policy."""
        if entry.listed:
            return entry
        key = (entry.query, entry.policy)
        listed = self._entries.get(key)
        if listed is None:
            listed = self._entries[key] = self._newest = entry
            entry.listed = True
        return listed

    def touch(self, entry: Entry) -> None:
        """The entry was written: it is evicted last."""
        if entry is self._newest and entry.listed:
            return
        key = (entry.query, entry.policy)
        self._entries.pop(key, None)
        self._entries[key] = self._newest = entry

    def count_usable(self, now: float, matches: Callable[[Question], bool] = lambda _: True) -> int:
        """How many answers to these questions could be served now."""
        return sum(now < entry.hard for entry in self.entries() if matches(entry.query))

    def entries(self) -> list[Entry]:
        """All listed entries, the one written longest ago first."""
        return list(self._entries.values())

    def clear(self) -> int:
        """Drop every entry. Returns how many there were."""
        entries = self.entries()
        self._entries.clear()
        for entry in entries:
            entry.unlist()
        return len(entries)

    def __len__(self) -> int:
        return len(self._entries)
