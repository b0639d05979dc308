"""The page about the architecture says what the code does."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "aiocloudmap"
PAGES = (ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md")
NAMED = sorted({found for page in PAGES for found in re.findall(r"`([\w/]+\.py):([\w.]+)`", page.read_text("utf-8"))})


def names_of(node: ast.AST) -> set[str]:
    """What a statement defines."""
    if isinstance(node, ast.Assign):
        return {ast.unparse(target) for target in node.targets}
    if isinstance(node, ast.AnnAssign):
        return {ast.unparse(node.target)}
    return {getattr(node, "name", "")}


def test_the_picture_is_the_one_that_the_code_draws():
    """Run `python docs/draw_architecture.py` after a room, a file or an import has changed."""
    drawing = runpy.run_path(str(ROOT / "docs" / "draw_architecture.py"))
    assert drawing["PICTURE"].read_text("utf-8") == drawing["draw"]()


def test_the_walks_name_functions():
    """The check below has something to check."""
    assert len(NAMED) > 20


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_function_that_a_page_names_exists(file, name):
    """By file, class and function."""
    node: ast.AST = ast.parse((SOURCES / file).read_text("utf-8"))
    for part in name.split("."):
        found = [child for child in ast.iter_child_nodes(node) if part in names_of(child)]
        assert found, f"{file} has no {name}"
        node = found[0]
