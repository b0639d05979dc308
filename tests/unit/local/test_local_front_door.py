"""The names of `aiocloudmap.local` are loaded on first use, and the world imports no AWS or HTTP library."""

from __future__ import annotations

import subprocess
import sys

import pytest

import aiocloudmap.local


def test_every_public_name_can_be_loaded():
    """An unknown name is an AttributeError."""
    for name in aiocloudmap.local.__all__:
        assert getattr(aiocloudmap.local, name).__name__ == name
    with pytest.raises(AttributeError, match="Nothing"):
        _ = aiocloudmap.local.Nothing


def test_a_world_and_its_backend_import_neither_aiohttp_nor_botocore():
    """They do no I/O."""
    program = (
        "import sys; from aiocloudmap.local import World, LocalBackend, Faults;"
        " World.from_toml('[shop.orders.instances.a]\\n');"
        " assert not {'aiohttp', 'botocore', 'aiobotocore'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
