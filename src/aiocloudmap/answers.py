"""The two questions there are, and what may be answered to them: what the machinery of the cache works with."""

from __future__ import annotations

from typing import TypeAlias

from aiocloudmap.model import Query
from aiocloudmap.service_attributes import AttributesQuery, ServiceAttributes
from aiocloudmap.snapshot import Snapshot

__all__ = ["Answer", "Question", "is_nothing"]

Question: TypeAlias = Query | AttributesQuery
Answer: TypeAlias = Snapshot | ServiceAttributes


def is_nothing(answer: Answer) -> bool:
    """Whether the answer leaves the caller with nothing, so that it is doubted after another one and kept briefly.

    No instances are that. A service without attributes of its own is what most services are.
    """
    return isinstance(answer, Snapshot) and not answer
