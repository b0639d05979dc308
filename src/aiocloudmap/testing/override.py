"""Redirect or reset every `CloudMap` of the process, for tests of programs that create their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiocloudmap.client.registry import registry
from aiocloudmap.model.interfaces import SYSTEM_CLOCK, Backend, Clock
from aiocloudmap.model.validation import check_backend

__all__ = ["every_cloud_map", "reset"]


@contextmanager
def every_cloud_map(*, backend: Backend | None = None, clock: Clock = SYSTEM_CLOCK) -> Iterator[None]:
    """Until the block ends, every CloudMap of the process uses this backend and this clock.

    ```python
    with every_cloud_map(backend=local.backend()):
        ...  # the program, with any CloudMap() that it creates, or created when it was imported
    ```

    This includes existing CloudMaps and their handles, whatever their Region, endpoint and session. A CloudMap with its
    own backend is not affected, and one with its own clock keeps it. Caches are emptied and running calls cancelled
    when the block begins and when it ends. Costs no AWS call.

    `ConnectionPolicy.max_calls_per_second` has no effect in the block: under a clock that stands still it would never
    allow another call. Throttling by the backend still slows calls down.

    `client()` and `http_session()` are not redirected.

    Args:
        backend: What they ask; None leaves them with AWS, or with the endpoint that the environment names.
        clock: Where their time comes from.

    Raises:
        ConfigurationError: An invalid argument.
    """
    check_backend(backend, clock)
    with registry.overridden(backend=backend, clock=clock):
        yield


def reset() -> None:
    """Reset every CloudMap: empty its cache, and use a new session that reads the environment again.

    This includes existing CloudMaps and their handles, except those with their own backend. Running calls are
    cancelled. Connections stay open until their event loop closes.
    """
    registry.reset()
