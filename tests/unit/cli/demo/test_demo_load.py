from __future__ import annotations

import errno
import os

import pytest

from aiocloudmap.cli.demo.load import can_limit_descriptors, lacks_descriptors
from aiocloudmap.errors import TooManyOpenFilesError


def _wrapped(cause):
    outer = RuntimeError("could not connect")
    outer.__cause__ = cause
    return outer


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_lack_of_a_descriptor_is_found_among_causes(number):
    """Clients wrap it in other errors."""
    assert lacks_descriptors(_wrapped(_wrapped(OSError(number, os.strerror(number)))))


def test_the_error_of_the_library_is_recognised():
    """TooManyOpenFilesError has no errno."""
    assert lacks_descriptors(TooManyOpenFilesError("none left"))


def test_other_failures_are_not_mistaken_for_it():
    """A refused connection is another failure."""
    assert not lacks_descriptors(_wrapped(ConnectionRefusedError(errno.ECONNREFUSED, "refused")))


def test_a_circular_chain_of_causes_ends():
    """Exceptions can be chained in a circle."""
    error = RuntimeError("a")
    error.__context__ = error2 = RuntimeError("b")
    error2.__cause__ = error
    assert not lacks_descriptors(error)


def test_a_limit_above_the_hard_one_cannot_be_set():
    """The demo reports that at its start."""
    resource = pytest.importorskip("resource")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert can_limit_descriptors(64)
    assert hard == resource.RLIM_INFINITY or not can_limit_descriptors(hard + 1)
