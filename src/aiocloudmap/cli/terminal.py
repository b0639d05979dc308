"""Safe output: attributes and error messages are untrusted and may contain terminal escape sequences."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["can_draw", "console", "counted", "printable", "say", "shell_quoted"]

_MIN_COLUMNS = 40  # a narrower table shows nothing


def printable(text: str) -> str:
    r"""The text with each unprintable character written as an escape, such as `\x1b`.

    These are control characters, line breaks, zero-width and direction marks, and lone surrogates.
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def shell_quoted(text: str) -> str:
    """Quote the text as one shell word, without control characters.

    Printable text is quoted for every POSIX shell. Other text needs `$'...'`, which bash, zsh, ksh and POSIX 2024 have.
    """
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_shell_octet, text.encode("utf-8", "surrogateescape"))) + "'"


def console(stream: TextIO) -> Console:
    """A console that does not interpret markup. rich itself obeys NO_COLOR and FORCE_COLOR."""
    from rich.console import Console

    plain = Console(file=stream, markup=False, emoji=False, highlight=False)
    plain.width = max(plain.width, _MIN_COLUMNS)
    return plain


def can_draw(stream: TextIO) -> bool:
    """Whether the stream is a terminal that can move its cursor. FORCE_COLOR does not change that."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def counted(number: int, noun: str, plural: str = "") -> str:
    """The number and the noun, such as "1 service" or "2,000 services"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def say(*lines: str) -> None:
    """Write lines to standard error. A line break inside of one, for example in an attribute name, is escaped."""
    sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))
    sys.stderr.flush()


def _shell_octet(octet: int) -> str:
    if octet in b"'\\":
        return "\\" + chr(octet)
    # Three octal digits: a hexadecimal escape would include digits that follow it.
    return chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03o}"
