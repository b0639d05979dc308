"""Finding the errno of "too many open files", and reporting it."""

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
from aiocloudmap.aws.transport.file_descriptors import DescriptorWatch, find_descriptor_error, too_many_open_files

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
def test_the_errno_is_found_anywhere_in_the_chain(error):
    """In causes, botocore's argument, aiohttp's os_error and groups."""
    assert find_descriptor_error(error) is not None


def test_the_context_of_an_error_is_not_searched():
    """In an except block it is the error that the caller was handling."""
    try:
        try:
            raise FULL
        except OSError:
            raise ConnectionResetError(errno.ECONNRESET, "reset")  # noqa: B904
    except OSError as error:
        assert find_descriptor_error(error) is None


def test_a_circular_chain_ends():
    """Errors that are raised again may form one."""
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    assert find_descriptor_error(one) is None


def test_a_failed_look_up_with_free_descriptors_is_another_error():
    """The name is wrong."""
    assert find_descriptor_error(socket.gaierror(socket.EAI_AGAIN, "x")) is None


def test_a_failed_look_up_without_descriptors_is_recognised(monkeypatch):
    """The resolver does not say so; opening a file does."""

    def full(*_):
        raise FULL

    monkeypatch.setattr(os, "open", full)
    assert find_descriptor_error(socket.gaierror(socket.EAI_AGAIN, "x")) is FULL


def test_the_message_contains_the_counts():
    """Open descriptors, those of this library, and the limit."""
    text = str(too_many_open_files(FULL, 5))
    assert "5 of them connections of aiocloudmap" in text
    counted = int(text.split(" descriptors", maxsplit=1)[0].rpartition(" ")[2])
    assert 3 <= counted <= 4096


def test_only_the_first_4096_descriptors_are_counted(monkeypatch):
    """Counting a million would take a second, and the message says so."""
    monkeypatch.setattr(descriptors, "_limit", lambda: 1_000_000)
    assert "among the first 4096" in str(too_many_open_files(FULL, 0))
    monkeypatch.setattr(descriptors, "_limit", lambda: None)
    assert "the limit is unknown" in str(too_many_open_files(FULL, 0))


@pytest.fixture
def look(monkeypatch):
    """A function that returns the events of a watch for a count and a limit."""
    events: list[DescriptorsLow] = []
    watch = DescriptorWatch(lambda: 5, events.append)

    def look(count: int | None, limit: int | None = 100) -> list[DescriptorsLow]:
        monkeypatch.setattr(descriptors, "_count", lambda: count)
        monkeypatch.setattr(descriptors, "_limit", lambda: limit)
        events.clear()
        watch.check()
        return list(events)

    return look


def test_80_percent_of_the_limit_is_reported(look):
    """With all three counts."""
    assert look(79) == []
    assert look(80) == [DescriptorsLow(80, 5, 100)]


def test_one_crossing_is_reported_once(look):
    """Again only after less than 70 % were in use."""
    assert look(85) != []
    assert [look(count) for count in (90, 79, 80, 70, 99)] == [[]] * 5
    assert look(69) == []
    assert look(80) == [DescriptorsLow(80, 5, 100)]


def test_without_a_limit_or_a_count_nothing_is_reported(look):
    """Some systems have no limit, and some do not report open descriptors."""
    assert look(10_000, limit=None) == []
    assert look(None) == []


def test_open_descriptors_are_counted_exactly(monkeypatch):
    """By the size of the directory, or by listing it; None if neither is possible."""

    def failing_stat(self, **_):
        raise OSError

    def counted_with_three_more() -> list[int | None]:
        before = descriptors._count()
        with contextlib.ExitStack() as opened:
            for _ in range(3):
                opened.enter_context(Path(os.devnull).open())
            return [before, descriptors._count()]

    listed = len(os.listdir("/proc/self/fd")) - 1
    assert counted_with_three_more() == [listed, listed + 3]
    monkeypatch.setattr(Path, "stat", failing_stat)
    assert counted_with_three_more() == [listed, listed + 3]
    monkeypatch.setattr(descriptors, "_LISTS", ("/nowhere",))
    assert descriptors._count() is None
