"""What is safe to print, and where: attributes are text that strangers wrote, and a terminal obeys what it is sent."""

from __future__ import annotations

import re
import shlex
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "draws", "printable", "shell_quoted"]

_NARROWEST = 40
"""Columns below which a table says nothing, whatever COLUMNS says."""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    r"""The text with everything that is no visible character written as an escape, such as `\x1b`.

    That covers control characters of both ranges, line breaks, zero-width and direction marks, and lone surrogates.
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def shell_quoted(text: str) -> str:
    """One word of shell that stands for the text and holds no control character itself.

    Text without any is quoted for every POSIX shell; the rest needs `$'...'`, which bash, zsh, ksh and POSIX 2024 know.
    """
    if text.isprintable():
        return shlex.quote(text)
    octets = text.encode("utf-8", "surrogateescape")
    return "$'" + "".join(_shell_octet(octet) for octet in octets) + "'"


def console(stream: TextIO) -> Console:
    """A console that takes nothing in its text for markup; rich itself obeys NO_COLOR and FORCE_COLOR."""
    from rich.console import Console

    made = Console(file=stream, markup=False, emoji=False, highlight=False)
    made.width = max(made.width, _NARROWEST)
    return made


def draws(stream: TextIO) -> bool:
    """Whether the stream is a terminal that can move its cursor. FORCE_COLOR does not make a pipe one."""
    import os

    return stream.isatty() and os.environ.get("TERM") != "dumb"


def say(text: str) -> None:
    """One line for the person at the keyboard, who reads standard error."""
    sys.stderr.write(re.sub(r"[^\n]+", lambda line: printable(line[0]), text) + "\n")
    sys.stderr.flush()


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    if short := _SHORT.get(character):
        return short
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _shell_octet(octet: int) -> str:
    if octet in b"'\\":
        return "\\" + chr(octet)
    # Octal with three digits: a hexadecimal escape would swallow digits that follow it.
    return chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03o}"
