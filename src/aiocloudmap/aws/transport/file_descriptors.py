"""Running out of file descriptors (errno 24 and 23): found in any error, reported with figures, warned of early."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from aiocloudmap.aws.errors import causes
from aiocloudmap.errors import TooManyOpenFilesError

if TYPE_CHECKING:
    from aiocloudmap.model.events import DescriptorsLow

__all__ = ["DescriptorWatch", "find_descriptor_error", "too_many_open_files"]

_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE)
_MAX_PROBED: Final = 4096
_WARN_ABOVE: Final = 0.8
_REARM_BELOW: Final = 0.7
_LISTS: Final = ("/proc/self/fd", "/dev/fd")
"""Directories with an entry for each open descriptor, on Linux and on macOS."""


class DescriptorWatch:
    """Calls `notify` once when the descriptors of the process run low, and again after enough were free in between.

    `ours` returns the number of this library's sockets.
    """

    def __init__(self, ours: Callable[[], int], notify: Callable[[DescriptorsLow], object]) -> None:
        self.ours, self._notify = ours, notify
        self._notified = False

    def check(self) -> None:
        """Count, if there is a limit. Takes microseconds; before Linux 6.2, 0.5 ms per thousand descriptors."""
        if (limit := _limit()) is None or (count := _count()) is None:
            return
        if count < limit * _REARM_BELOW:
            self._notified = False
        elif count >= limit * _WARN_ABOVE and not self._notified:
            from aiocloudmap.model.events import DescriptorsLow  # noqa: PLC0415 - a hit should not load it

            self._notified = True
            self._notify(DescriptorsLow(count, self.ours(), limit))


def find_descriptor_error(error: BaseException) -> OSError | None:
    """The error that says that descriptors ran out, anywhere in the chain of causes, or None.

    A failed name look-up may raise any OSError or gaierror, so then one more descriptor is opened to find out.
    """
    resolving = False
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in _EXHAUSTED and not isinstance(cause, socket.gaierror):
            return cause
        resolving = resolving or isinstance(cause, socket.gaierror | aiohttp.ClientConnectorDNSError)
    if resolving:
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as probed:
            return probed if probed.errno in _EXHAUSTED else None
    return None


def too_many_open_files(cause: OSError, ours: int) -> TooManyOpenFilesError:
    """The error to raise for the operating system's `cause`; `ours` is the number of this library's sockets."""
    if cause.errno == errno.ENFILE:
        return TooManyOpenFilesError(
            f"the system has run out of file descriptors; {ours} of this process's are connections of aiocloudmap",
            advice="Raise fs.file-max, or find the process that keeps files open.",
        )
    limit = _limit()
    probed = _MAX_PROBED if limit is None else min(limit, _MAX_PROBED)
    # Listing /proc/self/fd would need a descriptor itself.
    count = sum(map(_is_open, range(probed)))
    scope = "" if limit is not None and limit <= _MAX_PROBED else f" among the first {_MAX_PROBED}"
    return TooManyOpenFilesError(
        f"too many open files: {count} descriptors are open{scope}, {ours} of them connections of aiocloudmap; "
        f"the limit is {'unknown' if limit is None else limit}",
        advice="Other code keeps files or sockets open, usually a client or a session made per request.",
    )


def _count() -> int | None:
    """Open descriptors of the process; None if the system does not say."""
    with contextlib.suppress(OSError):
        # Linux 6.2 and newer report it as the size of the directory, 100 times as fast as listing it.
        if (known := Path(_LISTS[0]).stat().st_size) > 0:
            return known
    for path in _LISTS:
        with contextlib.suppress(OSError):
            return len(os.listdir(path)) - 1  # noqa: PTH208 - the directory itself was open too
    return None


def _is_open(descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        os.fstat(descriptor)
        return True
    return False


def _limit() -> int | None:
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - not available on Windows

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft
