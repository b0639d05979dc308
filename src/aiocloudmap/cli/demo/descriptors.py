"""The limit on open files: setting it, and recognising its victims."""

from __future__ import annotations

import errno

from aiocloudmap.errors import TooManyOpenFilesError

__all__ = ["can_limit_descriptors", "lacks_descriptors", "limit_descriptors"]


def limit_descriptors(count: int) -> None:
    """Let this process have no descriptor numbered `count` or higher from now on."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def lacks_descriptors(error: BaseException) -> bool:
    """Whether the error is, or hides among its causes, that no descriptor was left."""
    seen: set[int] = set()
    beneath: BaseException | None = error
    while beneath is not None and id(beneath) not in seen:
        seen.add(id(beneath))
        if isinstance(beneath, TooManyOpenFilesError):
            return True
        if isinstance(beneath, OSError) and beneath.errno in (errno.EMFILE, errno.ENFILE):
            return True
        beneath = beneath.__cause__ or beneath.__context__
    return False


def can_limit_descriptors(count: int) -> bool:
    """Whether this system has such a limit, and it is not below `count` already."""
    try:
        import resource
    except ImportError:
        return False
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return hard == resource.RLIM_INFINITY or hard >= count
