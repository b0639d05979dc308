from __future__ import annotations

import subprocess

import pytest

from aiocloudmap.cli.terminal import printable, shell_quoted

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202etxt\r\n'; rm -rf / #\\"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 100 %", "plain text, 100 %"),
        ("größer als ✓", "größer als ✓"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31mred", "\\x9b31mred"),
        ("two\nlines\tand\r", "two\\nlines\\tand\\r"),
        ("\u202eright to left", "\\u202eright to left"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\U000e0001tag", "\\U000e0001tag"),
        ("\udcffsurrogate", "\\udcffsurrogate"),
        ("\x00\x7f", "\\x00\\x7f"),
    ],
)
def test_unprintable_characters_are_escaped(text, shown):
    """These are terminal escapes, line breaks, direction marks and similar characters."""
    assert printable(text) == shown


@pytest.mark.parametrize(
    "text", ["", "a b", "$HOME `id` $(id)", "it's", "new\nline", HOSTILE, "\x017", "größe", "\x01größe"]
)
def test_a_shell_reads_back_quoted_text(text):
    """For bash it is one word with exactly this text."""
    quoted = shell_quoted(text)
    heard = subprocess.run(
        ["bash", "-c", f"X={quoted}\nprintf %s \"$X\""], capture_output=True, check=True, timeout=30
    )  # fmt: skip
    assert heard.stdout.decode() == text


def test_quoted_text_has_no_control_characters():
    """A terminal may show it before a shell runs it."""
    assert shell_quoted(HOSTILE).isprintable()
