"""What is loaded at the first use: AWS's libraries, which are heavy and which no hit needs, and what is told."""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
from collections.abc import Iterator
from typing import Final

from aiocloudmap.errors import TooManyOpenFilesError

__all__ = ["TOLD", "collector_at_rest", "forget_after_fork", "load_what_is_told", "loading_aws"]

_FROZEN_BY_PYTHON: Final = 1000
"""Python 3.12 freezes some hundred objects as it starts; a program that freezes what it has loaded, many thousands."""

TOLD: Final = ("aiocloudmap.events", "aiocloudmap.reports")
"""The modules of what is told: a third of what importing the library would take, and most programs name none of it."""

_at_rest = False


@contextlib.contextmanager
def collector_at_rest() -> Iterator[None]:
    """While much is made that is kept: the garbage collector would look through it again and again, for nothing.

    That is an eighth of the time that loading AWS's libraries takes, and more than half of reading their data. What was
    made counts as old afterwards, so that only full collections look at it. Not around anything that waits. A collector
    that the program itself has switched off stays off, and what it has frozen stays frozen.
    """
    global _at_rest  # noqa: PLW0603 - as there is one collector
    if not gc.isenabled():
        yield
        return
    _at_rest = True
    gc.disable()
    try:
        yield
    finally:
        if gc.get_freeze_count() < _FROZEN_BY_PYTHON:
            # Into the permanent generation and on into the oldest one, without a look at any object.
            gc.freeze()
            gc.unfreeze()
        gc.enable()
        _at_rest = False


def forget_after_fork() -> None:
    """In the child: another thread of the parent's may have been in the middle of it."""
    global _at_rest  # noqa: PLW0603 - as above
    if _at_rest:
        _at_rest = False
        gc.enable()


def load_what_is_told() -> None:
    """Load it with the first engine: when there is something to tell, no descriptor may be left to load it with."""
    for name in TOLD:
        importlib.import_module(name)


@contextlib.contextmanager
def loading_aws() -> Iterator[None]:
    """Around an import of `aiocloudmap.aws`: its files need descriptors, too.

    Raises:
        TooManyOpenFilesError: There is none left.
    """
    try:
        with collector_at_rest():
            yield
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        raise TooManyOpenFilesError(
            "no file descriptor was left to load the AWS libraries with",
            advice="Look for what keeps them open in this process; see also ulimit -n.",
        ) from error
