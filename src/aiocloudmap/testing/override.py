"""Every `CloudMap` of the process at once: for tests of programs that make their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiocloudmap.client.registry import registry
from aiocloudmap.model.interfaces import SYSTEM_CLOCK, Backend, Clock
from aiocloudmap.model.validation import check_backend

__all__ = ["every_cloud_map", "reset"]


@contextmanager
def every_cloud_map(*, backend: Backend | None = None, clock: Clock = SYSTEM_CLOCK) -> Iterator[None]:
    """Until the block ends, every CloudMap of the process asks this backend and goes by this clock.

    ```python
    with every_cloud_map(backend=local.backend()):
        ...  # the program, whatever CloudMap() it makes, or made when it was imported
    ```

    Those that were made before are meant as well, and handles that came from them, whatever their Region, endpoint and
    session. One with a backend of its own is left alone, and one with a clock of its own keeps that. All begin without
    answers, here and when the block ends, and their calls under way are cancelled. Costs no AWS call.

    `ConnectionPolicy.max_calls_per_second` limits nothing meanwhile: by a clock that stands still it would for ever.
    After a throttle calls come slowly all the same.

    What `client()` and `http_session()` give is not diverted: they are AWS's and HTTP's own.

    Args:
        backend: What they ask; None leaves them with AWS, or with wherever the environment leads by now.
        clock: What they go by.

    Raises:
        ConfigurationError: An argument cannot be what it is.
    """
    check_backend(backend, clock)
    with registry.overridden(backend=backend, clock=clock):
        yield


# MERGED testing/slate: A clean slate between tests.


def reset() -> None:
    """Every CloudMap begins anew: without answers, with a new session that reads the environment as it is by then.

    Those that were made before are meant as well, and handles that came from them; only one with a backend of its own
    is left alone. Calls under way are cancelled. Connections are not closed by it; they close with their event loop.
    """
    registry.reset()
