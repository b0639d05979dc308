"""When an answer arrived: what every answer in memory tells about itself."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from datetime import datetime

    from aiocloudmap.ports import Clock

__all__ = ["Dated"]


class Dated:
    """What a source of truth said at one moment, never changed afterwards.

    Args:
        clock: Tells when that was, and how old it is.
        elapsed: Seconds since the answer was given, where they passed before it could be noticed.
        fields: What else there is, set once and for all.
    """

    __slots__ = ("_clock", "_fetched", "_written")

    _clock: Clock
    _fetched: float
    _written: float

    def __init__(self, clock: Clock, elapsed: float, **fields: object) -> None:
        self._put(_clock=clock, _fetched=clock.time() - elapsed, _written=clock.monotonic() - elapsed, **fields)

    @property
    def fetched_at(self) -> datetime:
        """When the answer arrived, in UTC."""
        from datetime import UTC, datetime  # noqa: PLC0415 - a fifteenth of what importing the library takes

        return datetime.fromtimestamp(self._fetched, UTC)

    @property
    def age(self) -> float:
        """Seconds since the answer arrived.

        The longer of what the two clocks say: a monotonic clock may stand still while a sandbox is frozen, a wall
        clock may be set back.
        """
        clock = self._clock
        return max(clock.monotonic() - self._written, clock.time() - self._fetched)

    @abstractmethod
    def _content(self) -> dict[str, Any]:
        """The arguments that make an equal one."""

    def _put(self, **fields: object) -> None:
        """Set what nobody changes afterwards."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, _: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        # The monotonic clock of another process, on another machine, says something else.
        return _restored, (type(self), self._content(), self._fetched)


def _restored(kind: type[Dated], content: dict[str, Any], fetched: float) -> Dated:
    """What was pickled, as old as the wall clock says."""
    made = kind(**content)
    made._put(_fetched=fetched)
    return made
