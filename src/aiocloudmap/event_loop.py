"""The event loop that a call runs on; asyncio's, or uvloop's in its place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiocloudmap.errors import ConfigurationError

if TYPE_CHECKING:
    from aiocloudmap.model import ServiceName

__all__ = ["running_loop"]


def running_loop(service: ServiceName | None = None) -> asyncio.AbstractEventLoop:
    """The running loop; refused is a call from trio, or from synchronous code.

    Args:
        service: Who was asked for, for the message.

    Raises:
        ConfigurationError: None runs.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError as error:
        raise ConfigurationError(
            "no asyncio event loop is running",
            service=service,
            advice="Await this in a coroutine that asyncio or uvloop runs.",
        ) from error
