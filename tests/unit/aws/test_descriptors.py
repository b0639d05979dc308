"""Finding the errno that means "too many open files", and telling it."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import aiohttp
import pytest
from botocore.exceptions import HTTPClientError

from aiocloudmap.aws import descriptors
from aiocloudmap.aws.descriptors import exhausted, ran_out

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
    assert ran_out(error) is not None


def test_what_the_caller_was_handling_is_not_this_failure():
    """A call made in an except block carries that block's error as its context."""
    try:
        try:
            raise FULL
        except OSError:
            raise ConnectionResetError(errno.ECONNRESET, "reset")  # noqa: B904
    except OSError as error:
        assert ran_out(error) is None


def test_a_chain_that_bites_its_own_tail_ends():
    """Re-raised errors do that."""
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    assert ran_out(one) is None


def test_a_failed_look_up_is_believed_while_descriptors_are_left():
    """The name is wrong then."""
    assert ran_out(socket.gaierror(socket.EAI_AGAIN, "x")) is None


def test_a_failed_look_up_for_want_of_descriptors_is_recognised(monkeypatch):
    """The resolver does not say so; trying to open something does."""

    def full(*_):
        raise FULL

    monkeypatch.setattr(os, "open", full)
    assert ran_out(socket.gaierror(socket.EAI_AGAIN, "x")) is FULL


def test_the_message_has_the_figures():
    """How many are open, how many are ours, and the limit."""
    text = str(exhausted(FULL, 5))
    assert "5 of them connections of aiocloudmap" in text
    counted = int(text.split(" descriptors", maxsplit=1)[0].rpartition(" ")[2])
    assert 3 <= counted <= 4096


def test_a_limit_too_high_to_count_to_is_told_as_such(monkeypatch):
    """Counting a million would take a second."""
    monkeypatch.setattr(descriptors, "_limit", lambda: 1_000_000)
    assert "among the first 4096" in str(exhausted(FULL, 0))
    monkeypatch.setattr(descriptors, "_limit", lambda: None)
    assert "the limit is unknown" in str(exhausted(FULL, 0))
