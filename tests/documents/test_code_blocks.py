"""What README and docs say is run, as a reader would: one document after the other, its blocks in order."""

from __future__ import annotations

import ast
import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from aiocloudmap.local import LocalCloudMap, World

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
ASKS_FOR_FIXTURES = re.compile(r"def test_\w+\([^)]+\)")


def evaluate(example: Example) -> None:
    """Run a block in the document's namespace; an `await` that stands free is run by the document's loop."""
    # The code begins below the fence; with as many lines before it, a traceback shows the document's own.
    source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
    code = compile(source, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    coroutine = eval(code, example.namespace)
    if coroutine is not None:
        example.namespace["__runner__"].run(coroutine)


def parsed(path: Path, language: str) -> Document:
    """The document's blocks of one language."""
    return Sybil([CodeBlockParser(language=language, evaluator=evaluate)], path=str(path.parent)).parse(path)


def blocks(path: Path, language: str) -> list[str]:
    """The text of the document's blocks of one language."""
    return [str(example.parsed) for example in parsed(path, language).examples()]


def is_for_pytest(example: Example) -> bool:
    """Whether it has tests that ask for fixtures: those are run by pytest, see test_pytest_blocks.py."""
    return ASKS_FOR_FIXTURES.search(example.parsed) is not None


def name_of(path: Path) -> str:
    """The document as the project names it."""
    return str(path.relative_to(ROOT))


def has_python(path: Path) -> bool:
    """Whether there is something to run."""
    return bool(blocks(path, "python"))


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloudMap]:
    """The local world that the tutorial's reader has started, and the environment that leads to it."""
    before = dict(os.environ)
    [definition] = blocks(ROOT / "docs" / "tutorial.md", "toml")
    with LocalCloudMap.from_toml(definition) as local:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SERVICEDISCOVERY", local.endpoint_url)
        monkeypatch.setenv("AWS_REGION", local.world.region)
        monkeypatch.setenv("AWS_DEFAULT_REGION", local.world.region)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        yield local
    # A block may set variables, as a program would.
    for variable in set(os.environ) - set(before):
        if variable.startswith("AIOCLOUDMAP_"):
            del os.environ[variable]


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if has_python(path)], ids=name_of)
def test_the_blocks_of_a_document_run_as_they_stand(path: Path, shop: LocalCloudMap):
    """Every Python block works, in order, against the world of the tutorial."""
    document = parsed(path, "python")
    with asyncio.Runner() as runner:
        document.namespace["__runner__"] = runner
        for example in document.examples():
            if not is_for_pytest(example):
                example.evaluate()


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if blocks(path, "toml")], ids=name_of)
def test_the_worlds_of_a_document_can_be_served(path: Path):
    """Every TOML block describes a world."""
    for text in blocks(path, "toml"):
        assert World.from_toml(text).services()


def test_there_is_something_to_run():
    """The look itself works: README and the tutorial have blocks."""
    names = [name_of(path) for path in DOCUMENTS if has_python(path)]
    assert {"README.md", "docs/tutorial.md", "docs/how-to/failures.md"} <= set(names)


def test_a_block_that_is_wrong_is_red(tmp_path: Path):
    """The look itself works: a failing assertion fails, with the document's own line."""
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nx = 1\nassert x == 2\n```\n", encoding="utf-8")
    [example] = parsed(page, "python").examples()
    with pytest.raises(AssertionError) as caught:
        example.evaluate()
    assert caught.traceback[-1].lineno + 1 == 5
