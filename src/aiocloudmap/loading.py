"""AWS's libraries are loaded at the first use: they are heavy, and a hit needs none of them."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from aiocloudmap.errors import TooManyOpenFilesError

__all__ = ["loading_aws"]


@contextlib.contextmanager
def loading_aws() -> Iterator[None]:
    """Around an import of `aiocloudmap.aws`: its files need descriptors, too.

    Raises:
        TooManyOpenFilesError: There is none left.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        raise TooManyOpenFilesError(
            "no file descriptor was left to load the AWS libraries with",
            advice="Look for what keeps them open in this process; see also ulimit -n.",
        ) from error
