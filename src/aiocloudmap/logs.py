"""The library's logger, and who hears what is written to it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiocloudmap.events import Event

__all__ = ["LOGGER", "log"]

LOGGER: Final = logging.getLogger("aiocloudmap")
# A library leaves it to the program where its log goes; without this, warnings would go to stderr.
LOGGER.addHandler(logging.NullHandler())


def log(event: Event) -> None:
    """Write the event to the library's logger, at its level."""
    if LOGGER.isEnabledFor(event.level):
        LOGGER.log(event.level, "%s", event, extra={"aiocloudmap_event": type(event).__name__})
