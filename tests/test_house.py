"""The rules of the house that no linter knows."""

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

import aiocloudmap
from aiocloudmap import CachePolicy, ConnectionPolicy
from aiocloudmap.version import VERSION

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "aiocloudmap"
HEAVY = ("aiobotocore", "aiohttp", "botocore", "rich", "typer")


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after the statement."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", ["import aiocloudmap", "from aiocloudmap import *", "import aiocloudmap.testing"])
def test_importing_it_loads_no_aws_library_and_no_command_line(statement: str):
    """A hit needs none of them, and each costs a cold start tens of milliseconds."""
    assert set(HEAVY) & loaded_by(statement) == set()


def test_the_pytest_plugin_loads_nothing_but_pytest_and_what_that_loads():
    """It is part of every session of everybody who has the library installed, used or not."""
    assert loaded_by("import pytest, pytest_aiocloudmap") - loaded_by("import pytest") == {"pytest_aiocloudmap"}


def test_only_the_plugin_knows_pytest():
    """Helpers for tests serve every runner."""
    assert "pytest" not in loaded_by("import aiocloudmap.testing; aiocloudmap.testing.FakeWorld()")


def test_the_same_look_sees_what_an_import_loads():
    """The look itself works: it sees aiohttp where aiohttp is imported."""
    assert "aiohttp" in loaded_by("import aiohttp")


def test_making_a_cloud_map_and_a_handle_loads_no_aws_library():
    """Constructing is free, at import as in a request."""
    statement = "import aiocloudmap; aiocloudmap.CloudMap().service('shop/orders').peek()"
    assert set(HEAVY) & loaded_by(statement) == set()


def modules_with_names() -> list[str]:
    """Every module of the package that promises names."""
    found = []
    for path in sorted(SOURCES.parent.rglob("*.py")):
        parts = path.relative_to(SOURCES.parent).with_suffix("").parts
        if "__all__" in path.read_text(encoding="utf-8"):
            found.append(".".join(part for part in parts if part != "__init__"))
    return found


@pytest.mark.parametrize("name", modules_with_names())
def test_what_a_module_promises_is_there_once_and_explained(name: str):
    """Names in `__all__` exist, are not repeated, and have a docstring where they can have one."""
    module = importlib.import_module(name)
    promised = module.__all__
    assert len(set(promised)) == len(promised)
    for each in promised:
        value = getattr(module, each)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{name}.{each} has no docstring"


@pytest.mark.parametrize("name", aiocloudmap.__all__)
def test_every_public_name_is_in_the_reference(name: str):
    """What can be imported from `aiocloudmap` is on the page of the API, by itself or with its module."""
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    value = getattr(aiocloudmap, name)
    by_itself = f"aiocloudmap.{name}\n" in page
    with_module = f"automodule:: {getattr(value, '__module__', '')}\n" in page
    assert by_itself or with_module


@pytest.mark.parametrize("policy", [CachePolicy, ConnectionPolicy])
def test_the_page_of_settings_has_every_field_with_its_variable_and_default(policy: type):
    """The table is the code's own defaults."""
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    section = page.split(f"## {policy.__name__}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\S+) \|", section, re.MULTILINE)
    assert rows == [(field.name, f"AIOCLOUDMAP_{field.name.upper()}", str(field.default)) for field in fields(policy)]


def test_the_version_is_said_once():
    """The installed distribution is of the version that the project has."""
    try:
        installed = version("aiocloudmap")
    except PackageNotFoundError:
        pytest.skip("aiocloudmap is on the path, and not installed")
    assert installed == VERSION


def test_every_test_says_in_one_line_what_it_shows():
    """Each test function has a docstring; a report then reads as a list of what holds."""
    bare = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
            if is_test and not ast.get_docstring(node):
                bare.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert bare == []


def committed_texts() -> list[Path]:
    """Every text file of the project, as git lists it; what stands in the tree where there is no git."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        ).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the files are not in a git repository")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


# Not the tail of an address, of a relative path or of a variable's value.
MACHINE_PATH = re.compile(r"(?<![\w.$}/:-])/(?:home|root|tmp|Users|work)/[\w.]")


def test_no_file_speaks_of_the_machine_it_was_written_on():
    """No committed file has an absolute path of somebody's home or work place."""
    found = []
    for path in committed_texts():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        where = path.relative_to(ROOT)
        found += [f"{where}:{number}" for number, line in enumerate(lines, 1) if MACHINE_PATH.search(line)]
    assert found == []


# Spelled so that this file does not hold what it looks for.
@pytest.mark.parametrize("text", ["see /" + "home/ann/x", "'/" + "root/.cache'", "(/" + "tmp/v/new)"])
def test_the_same_look_sees_a_machine_path(text: str):
    """The look itself works."""
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize("text", ["https://example.com/home/x", "$HOME/work/x", "`ThreadedResolver`/tmp", "./tmp/x"])
def test_the_same_look_lets_other_slashes_be(text: str):
    """Addresses and relative paths are nobody's machine."""
    assert not MACHINE_PATH.search(text)


def test_no_module_has_a_name_that_says_nothing():
    """A module is named after the one idea in it."""
    vague = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
    assert [str(path.relative_to(ROOT)) for path in SOURCES.rglob("*.py") if path.stem.strip("_") in vague] == []


# Spelled so that this file does not hold what it looks for.
UNFINISHED = re.compile("|".join(rf"\b{word}\b" for word in ("TO" + "DO", "FIX" + "ME", "XX" + "X")))


def test_no_file_puts_work_off():
    """What is to be done stands where work is planned, not in the files."""
    found = []
    for path in committed_texts():
        if path.suffix in (".md", ".py", ".toml"):
            lines = path.read_text(encoding="utf-8").splitlines()
            where = path.relative_to(ROOT)
            found += [f"{where}:{number}" for number, line in enumerate(lines, 1) if UNFINISHED.search(line)]
    assert found == []
