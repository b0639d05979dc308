"""File descriptors running out (errno 24 and 23): noticed wherever it hides, told with figures, warned of before."""

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

__all__ = ["Watch", "find_descriptor_error", "too_many_open_files"]

_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE)
_SCANNED: Final = 4096
_LOW: Final = 0.8
_ENOUGH: Final = 0.7
_LISTS: Final = ("/proc/self/fd", "/dev/fd")
"""Directories with an entry for each open descriptor, on Linux and on macOS."""


class Watch:
    """Warns once when the process's descriptors run low, and again after there were enough of them.

    Args:
        ours: How many sockets this library holds open.
        tell: Is told when they have run low.
    """

    def __init__(self, ours: Callable[[], int], tell: Callable[[DescriptorsLow], object]) -> None:
        self._ours, self._tell = ours, tell
        self._told = False

    def look(self) -> None:
        """Count, where there is a limit. Microseconds, or half a millisecond per thousand on a Linux before 6.2."""
        limit = _limit()
        count = None if limit is None else _count()
        if limit is None or count is None:
            return
        if count < limit * _ENOUGH:
            self._told = False
        elif count >= limit * _LOW and not self._told:
            from aiocloudmap.model.events import DescriptorsLow  # noqa: PLC0415 - as aiocloudmap.client.engine has it

            self._told = True
            self._tell(DescriptorsLow(count, self._ours(), limit))


def find_descriptor_error(error: BaseException) -> OSError | None:
    """The error that says so, anywhere in the chain of causes; None where descriptors are not the reason.

    A failed name look-up may raise any OSError or gaierror, so then one more descriptor is opened to find out.
    """
    resolving = False
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in _EXHAUSTED and not isinstance(cause, socket.gaierror):
            return cause
        resolving = resolving or isinstance(cause, socket.gaierror | aiohttp.ClientConnectorDNSError)
    return _probe() if resolving else None


def too_many_open_files(cause: OSError, ours: int) -> TooManyOpenFilesError:
    """The error to raise.

    Args:
        cause: What the operating system said.
        ours: How many sockets this library holds open.
    """
    if cause.errno == errno.ENFILE:
        return TooManyOpenFilesError(
            f"the system has no file descriptor left; {ours} of this process's are connections of aiocloudmap",
            advice="Raise fs.file-max, or find the process that keeps files open.",
        )
    limit = _limit()
    scanned = _SCANNED if limit is None else min(limit, _SCANNED)
    # Listing /proc/self/fd would need a descriptor itself.
    count = sum(map(_is_open, range(scanned)))
    more = "" if limit is not None and limit <= _SCANNED else f" among the first {_SCANNED}"
    return TooManyOpenFilesError(
        f"too many open files: {count} descriptors are open{more}, {ours} of them connections of aiocloudmap; "
        f"the limit is {'unknown' if limit is None else limit}",
        advice="Something else keeps files or sockets open: a client or a session made per request is the usual cause.",
    )


def _probe(open_one: Callable[[], int] = lambda: os.open(os.devnull, os.O_RDONLY)) -> OSError | None:
    try:
        os.close(open_one())
    except OSError as error:
        return error if error.errno in _EXHAUSTED else None
    return None


def _count() -> int | None:
    """How many descriptors are open; None where the system does not say."""
    with contextlib.suppress(OSError):
        # Linux from 6.2 on tells it as the size of the directory, a hundred times as fast as listing it.
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
    import resource  # noqa: PLC0415 - not everywhere

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft
