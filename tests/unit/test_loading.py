"""While AWS's libraries are loaded the garbage collector rests, and nothing is different afterwards."""

from __future__ import annotations

import gc

import pytest

from aiocloudmap.loading import collector_at_rest, forget_after_fork, loading_aws


class Kept:
    """Something that the collector looks after."""


@pytest.mark.parametrize("resting", [collector_at_rest, loading_aws])
def test_the_collector_rests_and_comes_back(resting):
    """Also where one of them begins within the other."""
    with resting():
        assert not gc.isenabled()
        with resting():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_comes_back_after_a_failure():
    """An import may fail."""
    with pytest.raises(ImportError), collector_at_rest():
        raise ImportError
    assert gc.isenabled()


def test_one_that_the_program_has_switched_off_stays_off():
    """It has its reasons."""
    gc.disable()
    try:
        with collector_at_rest():
            pass
        forget_after_fork()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_was_made_counts_as_old():
    """Else the next look at what is young would look at all of it."""
    with collector_at_rest():
        kept = Kept()
    assert any(each is kept for each in gc.get_objects(generation=2))


def test_what_the_program_has_frozen_stays_frozen():
    """As before a fork; the few objects that Python freezes by itself do not count."""
    before = gc.get_freeze_count()
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        assert frozen > before + 1000
        with collector_at_rest():
            kept = Kept()
        assert gc.get_freeze_count() == frozen
        assert any(each is kept for each in gc.get_objects())
    finally:
        gc.unfreeze()


def test_a_child_forked_meanwhile_has_a_collector():
    """Another thread of the parent's may have been in the middle of it."""
    with collector_at_rest():
        forget_after_fork()
        assert gc.isenabled()
        gc.disable()
        try:
            forget_after_fork()  # in a child of the child, which has its reasons
            assert not gc.isenabled()
        finally:
            gc.enable()
