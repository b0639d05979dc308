"""Parts that need more than the plain package say what brings it."""

from __future__ import annotations

from aiocloudmap.errors import missing_extra


def test_a_missing_library_is_named_with_the_command_that_brings_it():
    """Whoever reads the traceback can copy its last line."""
    error = missing_extra("fastapi", ImportError("No module named 'fastapi'", name="fastapi"))
    assert str(error).startswith("fastapi is not installed")
    assert str(error).endswith("pip install 'aiocloudmap[fastapi]'")
    assert error.name == "fastapi"


def test_an_import_that_names_nothing_is_told_too():
    """An extension module that cannot be loaded may leave its name out."""
    assert str(missing_extra("httpx", ImportError("broken"))).startswith("a library is not installed")
