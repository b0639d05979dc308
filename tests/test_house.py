"""Rules of this repository that no linter checks."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from tests.support.heavy_modules import HEAVY_MODULES

import aiocloudmap
from aiocloudmap import CachePolicy, ConnectionPolicy
from aiocloudmap.version import VERSION

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "aiocloudmap"
MAX_ROOT_ENTRIES = 16
MAX_MODULE_LINES = 340
SHORT_MODULE_LINES = 40
MAX_SHORT_MODULES = 6


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a new interpreter has loaded after the statement."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", ["import aiocloudmap", "from aiocloudmap import *", "import aiocloudmap.testing"])
def test_importing_loads_no_heavy_module(statement: str):
    """A hit needs none of them, and each slows down a cold start by tens of milliseconds."""
    assert HEAVY_MODULES & loaded_by(statement) == set()


def test_the_pytest_plugin_loads_only_itself():
    """Pytest loads the plugin in every session where the library is installed."""
    assert loaded_by("import pytest, pytest_aiocloudmap") - loaded_by("import pytest") == {"pytest_aiocloudmap"}


def test_the_testing_package_does_not_import_pytest():
    """Its helpers serve every test runner."""
    assert "pytest" not in loaded_by("import aiocloudmap.testing; aiocloudmap.testing.FakeWorld()")


def test_loaded_by_detects_an_import():
    """The helper works: it finds aiohttp when aiohttp is imported."""
    assert "aiohttp" in loaded_by("import aiohttp")


def test_making_a_cloud_map_loads_no_heavy_module():
    """Constructing a CloudMap or a handle is cheap."""
    statement = "import aiocloudmap; aiocloudmap.CloudMap().service('shop/orders').peek()"
    assert HEAVY_MODULES & loaded_by(statement) == set()


def modules_with_all() -> list[str]:
    """Return every module that has `__all__`."""
    found = []
    for path in sorted(SOURCES.parent.rglob("*.py")):
        parts = path.relative_to(SOURCES.parent).with_suffix("").parts
        if "__all__" in path.read_text(encoding="utf-8"):
            found.append(".".join(part for part in parts if part != "__init__"))
    return found


@pytest.mark.parametrize("name", modules_with_all())
def test_names_in_all_exist_once_with_a_docstring(name: str):
    """Names in `__all__` exist, are not repeated, and classes and functions have a docstring."""
    module = importlib.import_module(name)
    names = module.__all__
    assert len(set(names)) == len(names)
    for public in names:
        value = getattr(module, public)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{name}.{public} has no docstring"


@pytest.mark.parametrize("name", aiocloudmap.__all__)
def test_every_public_name_is_in_the_reference(name: str):
    """Every name in `aiocloudmap` is on the API page, by itself or with its module."""
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    value = getattr(aiocloudmap, name)
    by_itself = f"aiocloudmap.{name}\n" in page
    with_module = f"automodule:: {getattr(value, '__module__', '')}\n" in page
    assert by_itself or with_module


@pytest.mark.parametrize("policy", [CachePolicy, ConnectionPolicy])
def test_the_settings_page_lists_every_field_and_default(policy: type):
    """The tables match the fields, environment variables and defaults in the code."""
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    section = page.split(f"## {policy.__name__}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\S+) \|", section, re.MULTILINE)
    assert rows == [(field.name, f"AIOCLOUDMAP_{field.name.upper()}", str(field.default)) for field in fields(policy)]


def test_the_installed_version_is_the_version_in_the_code():
    """The version is defined in one place."""
    try:
        installed = version("aiocloudmap")
    except PackageNotFoundError:
        pytest.skip("aiocloudmap is on the path but not installed")
    assert installed == VERSION


def test_every_test_has_a_docstring():
    """The docstrings make a test report readable."""
    missing = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
            if is_test and not ast.get_docstring(node):
                missing.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert missing == []


def committed_files() -> list[Path]:
    """Return every file that git lists."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        ).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the files are not in a git repository")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


# Absolute paths only: not the end of a URL, of a relative path or after a variable.
MACHINE_PATH = re.compile(r"(?<![\w.$}/:-])/(?:home|root|tmp|Users|work)/[\w.]")


def test_no_file_contains_a_path_of_the_authors_machine():
    """No committed file contains an absolute path of a home or work folder."""
    found = []
    for path in committed_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        where = path.relative_to(ROOT)
        found += [f"{where}:{number}" for number, line in enumerate(lines, 1) if MACHINE_PATH.search(line)]
    assert found == []


# Split, so that this file does not match itself.
@pytest.mark.parametrize("text", ["see /" + "home/ann/x", "'/" + "root/.cache'", "(/" + "tmp/v/new)"])
def test_the_pattern_matches_machine_paths(text: str):
    """The pattern works."""
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize("text", ["https://example.com/home/x", "$HOME/work/x", "`ThreadedResolver`/tmp", "./tmp/x"])
def test_the_pattern_ignores_other_slashes(text: str):
    """URLs, relative paths and variables are allowed."""
    assert not MACHINE_PATH.search(text)


def test_no_module_has_a_vague_name():
    """A module is named after the one idea in it."""
    vague = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
    assert [str(path.relative_to(ROOT)) for path in SOURCES.rglob("*.py") if path.stem.strip("_") in vague] == []


def lines_of_modules() -> dict[str, int]:
    """Return the number of lines of every module of the package."""
    paths = sorted(SOURCES.rglob("*.py"))
    return {str(path.relative_to(SOURCES)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}


def test_the_package_root_stays_small():
    """The root contains folders, and the few modules that every folder uses."""
    entries = sorted(path.name for path in SOURCES.iterdir() if path.name != "__pycache__")
    assert len(entries) <= MAX_ROOT_ENTRIES, entries


def test_no_module_is_too_long():
    """A long module contains more than one idea."""
    too_long = {name: lines for name, lines in lines_of_modules().items() if lines > MAX_MODULE_LINES}
    # One miss reads from top to bottom in the resolver, so it may be longer than any other.
    assert too_long.pop("cache/resolver.py", 0) <= 460
    assert too_long == {}


def test_few_modules_are_very_short():
    """A very short module belongs in the module that uses it."""
    allowed = ("__init__.py", "__main__.py")
    short = {
        name: lines
        for name, lines in lines_of_modules().items()
        if lines < SHORT_MODULE_LINES and not name.endswith(allowed)
    }
    assert len(short) <= MAX_SHORT_MODULES, short


# Split, so that this file does not match itself.
UNFINISHED = re.compile("|".join(rf"\b{word}\b" for word in ("TO" + "DO", "FIX" + "ME", "XX" + "X")))


def test_no_file_contains_unfinished_marks():
    """Work that is not done is planned elsewhere, not in the files."""
    found = []
    for path in committed_files():
        if path.suffix in (".md", ".py", ".toml"):
            lines = path.read_text(encoding="utf-8").splitlines()
            where = path.relative_to(ROOT)
            found += [f"{where}:{number}" for number, line in enumerate(lines, 1) if UNFINISHED.search(line)]
    assert found == []


def test_the_events_have_a_module_of_their_own():
    """They are imported from the package, or from `aiocloudmap.events`."""
    assert importlib.import_module("aiocloudmap.events").Refreshed is aiocloudmap.Refreshed
