from __future__ import annotations

import errno
import os

import pytest

from aiocloudmap.cli.demo.load import can_limit_descriptors, lacks_descriptors
from aiocloudmap.errors import TooManyOpenFilesError


def _beneath(cause):
    outer = RuntimeError("could not connect")
    outer.__cause__ = cause
    return outer


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_want_of_a_descriptor_is_found_however_deep(number):
    """Clients wrap it in errors that speak of an endpoint."""
    assert lacks_descriptors(_beneath(_beneath(OSError(number, os.strerror(number)))))


def test_our_own_word_for_it_is_known():
    """The library names it itself."""
    assert lacks_descriptors(TooManyOpenFilesError("none left"))


def test_other_failures_are_not_taken_for_it():
    """A refused connection is no want of descriptors."""
    assert not lacks_descriptors(_beneath(ConnectionRefusedError(errno.ECONNREFUSED, "refused")))


def test_a_chain_that_bites_its_tail_ends():
    """Exceptions can be chained in a circle."""
    error = RuntimeError("a")
    error.__context__ = error2 = RuntimeError("b")
    error2.__cause__ = error
    assert not lacks_descriptors(error)


def test_a_limit_above_the_hard_one_cannot_be_set():
    """The demo says so instead of failing half-way."""
    resource = pytest.importorskip("resource")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert can_limit_descriptors(64)
    assert hard == resource.RLIM_INFINITY or not can_limit_descriptors(hard + 1)
