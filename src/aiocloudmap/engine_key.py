"""The settings that make an engine: equal ones share it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from aiocloudmap.settings import ConnectionPolicy

if TYPE_CHECKING:
    from aiobotocore.session import AioSession

__all__ = ["EngineKey"]


class EngineKey(NamedTuple):
    """The settings that make an engine: equal ones share it."""

    region: str | None
    endpoint_url: str | None
    session_factory: Callable[[], AioSession] | None
    connections: ConnectionPolicy
    environment: tuple[tuple[str, str], ...]

    @classmethod
    def of(
        cls,
        region: str | None,
        endpoint_url: str | None,
        session_factory: Callable[[], AioSession] | None,
        connections: ConnectionPolicy,
    ) -> EngineKey:
        """With the environment that AWS's settings and credentials come from, as it is now."""
        environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
        return cls(region, endpoint_url, session_factory, connections, environment)

    def __repr__(self) -> str:
        # The environment holds keys and tokens.
        return f"<EngineKey with {len(self.environment)} variable(s)>"

    def differences(self, other: EngineKey) -> list[str]:
        """Which settings differ; names only, since values may be secret."""
        names = [name for name in self._fields[:-1] if getattr(self, name) != getattr(other, name)]
        changed = set(self.environment) ^ set(other.environment)
        return names + sorted({variable for variable, _ in changed})
