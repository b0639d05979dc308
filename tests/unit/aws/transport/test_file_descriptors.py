"""Finding the errno that means "too many open files", and telling it."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest
from botocore.exceptions import HTTPClientError

from aiocloudmap import DescriptorsLow
from aiocloudmap.aws.transport import file_descriptors as descriptors
from aiocloudmap.aws.transport.file_descriptors import Watch, find_descriptor_error, too_many_open_files

FULL = OSError(errno.EMFILE, "Too many open files")


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        OSError(errno.ENFILE, "Too many open files in system"),
        HTTPClientError(error=FULL),
        HTTPClientError(error=caused(RuntimeError("x"), FULL)),
        caused(ssl.SSLError("x"), FULL),
        aiohttp.ClientConnectorError(None, FULL),
        ExceptionGroup("x", [ValueError("y"), FULL]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_it_is_found_anywhere_in_the_chain(error):
    """Of causes, of botocore's argument, of aiohttp's os_error, of a group."""
    assert find_descriptor_error(error) is not None


def test_what_the_caller_was_handling_is_not_this_failure():
    """A call made in an except block carries that block's error as its context."""
    try:
        try:
            raise FULL
        except OSError:
            raise ConnectionResetError(errno.ECONNRESET, "reset")  # noqa: B904
    except OSError as error:
        assert find_descriptor_error(error) is None


def test_a_chain_that_bites_its_own_tail_ends():
    """Re-raised errors do that."""
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    assert find_descriptor_error(one) is None


def test_a_failed_look_up_is_believed_while_descriptors_are_left():
    """The name is wrong then."""
    assert find_descriptor_error(socket.gaierror(socket.EAI_AGAIN, "x")) is None


def test_a_failed_look_up_for_want_of_descriptors_is_recognised(monkeypatch):
    """The resolver does not say so; trying to open something does."""

    def full(*_):
        raise FULL

    monkeypatch.setattr(os, "open", full)
    assert find_descriptor_error(socket.gaierror(socket.EAI_AGAIN, "x")) is FULL


def test_the_message_has_the_figures():
    """How many are open, how many are ours, and the limit."""
    text = str(too_many_open_files(FULL, 5))
    assert "5 of them connections of aiocloudmap" in text
    counted = int(text.split(" descriptors", maxsplit=1)[0].rpartition(" ")[2])
    assert 3 <= counted <= 4096


def test_a_limit_too_high_to_count_to_is_told_as_such(monkeypatch):
    """Counting a million would take a second."""
    monkeypatch.setattr(descriptors, "_limit", lambda: 1_000_000)
    assert "among the first 4096" in str(too_many_open_files(FULL, 0))
    monkeypatch.setattr(descriptors, "_limit", lambda: None)
    assert "the limit is unknown" in str(too_many_open_files(FULL, 0))


@pytest.fixture
def look(monkeypatch):
    """What a watch tells of so many open descriptors, with a limit of 100 unless another one is given."""
    told: list[DescriptorsLow] = []
    watch = Watch(lambda: 5, told.append)

    def look(count: int | None, limit: int | None = 100) -> list[DescriptorsLow]:
        monkeypatch.setattr(descriptors, "_count", lambda: count)
        monkeypatch.setattr(descriptors, "_limit", lambda: limit)
        told.clear()
        watch.look()
        return list(told)

    return look


def test_four_fifths_of_the_limit_are_told(look):
    """With all three figures; not one less."""
    assert look(79) == []
    assert look(80) == [DescriptorsLow(80, 5, 100)]


def test_one_crossing_is_told_once(look):
    """However many connections follow, and though the count goes back and forth a little; then the next crossing."""
    assert look(85) != []
    assert [look(count) for count in (90, 79, 80, 70, 99)] == [[]] * 5
    assert look(69) == []
    assert look(80) == [DescriptorsLow(80, 5, 100)]


def test_without_a_limit_or_a_count_nothing_is_told(look):
    """Some systems have no limit, and some do not tell how many are open."""
    assert look(10_000, limit=None) == []
    assert look(None) == []


def test_open_descriptors_are_counted_exactly(monkeypatch):
    """Where the system knows their number, and where they have to be listed; None where neither is possible."""

    def of_its_size(self, **_):
        raise OSError

    def counted_with_three_more() -> list[int | None]:
        before = descriptors._count()
        with contextlib.ExitStack() as opened:
            for _ in range(3):
                opened.enter_context(Path(os.devnull).open())
            return [before, descriptors._count()]

    listed = len(os.listdir("/proc/self/fd")) - 1
    assert counted_with_three_more() == [listed, listed + 3]
    monkeypatch.setattr(Path, "stat", of_its_size)
    assert counted_with_three_more() == [listed, listed + 3]
    monkeypatch.setattr(descriptors, "_LISTS", ("/nowhere",))
    assert descriptors._count() is None
