"""Exit codes: the promise that scripts rely on."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Exit"]


class Exit(IntEnum):
    """What the process leaves behind."""

    OK = 0
    FAILURE = 1
    """Something that none of the others names."""

    USAGE = 2
    """The command line itself is wrong."""

    NOT_FOUND = 3
    """AWS answered: no such namespace, service, instance or attribute."""

    CONFIGURATION = 4
    """A setting, a file or the credentials are wrong or missing."""

    UNAVAILABLE = 5
    """AWS refused, throttled, or could not be reached."""

    TIMED_OUT = 124
    """`--timeout` passed; the same number as timeout(1)."""

    INTERRUPTED = 130
    """Ctrl-C: 128 + SIGINT."""

    TERMINATED = 143
    """128 + SIGTERM; `serve`, which such a signal is meant to end, leaves with 0."""
