"""`aiocloudmap.local` is loaded on first use, and its world imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

import aiocloudmap.local


def test_everything_that_is_promised_is_there():
    """By its name, and by no other."""
    for name in aiocloudmap.local.__all__:
        assert getattr(aiocloudmap.local, name).__name__ == name
    with pytest.raises(AttributeError, match="Nothing"):
        _ = aiocloudmap.local.Nothing


def test_a_world_and_its_backend_import_neither_aiohttp_nor_botocore():
    """They are pure: no I/O, so nothing that does any."""
    program = (
        "import sys; from aiocloudmap.local import World, LocalBackend, Faults;"
        " World.from_toml('[shop.orders.instances.a]\\n');"
        " assert not {'aiohttp', 'botocore', 'aiobotocore'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
