"""The code in README and docs runs: the blocks of each document in order, as a reader would run them."""

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
USES_FIXTURES = re.compile(r"def test_\w+\([^)]+\)")


def evaluate(example: Example) -> None:
    """Run a block in the document's namespace; a top-level `await` runs on the document's event loop."""
    # The code begins below the fence. Empty lines before it make a traceback show the document's line numbers.
    source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
    code = compile(source, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    coroutine = eval(code, example.namespace)
    if coroutine is not None:
        example.namespace["__runner__"].run(coroutine)


def parsed(path: Path, language: str) -> Document:
    """The document, parsed for blocks of one language."""
    return Sybil([CodeBlockParser(language=language, evaluator=evaluate)], path=str(path.parent)).parse(path)


def blocks(path: Path, language: str) -> list[str]:
    """The text of the document's blocks of one language."""
    return [str(example.parsed) for example in parsed(path, language).examples()]


def is_for_pytest(example: Example) -> bool:
    """Whether it has tests with fixtures, which test_pytest_blocks.py runs."""
    return USES_FIXTURES.search(example.parsed) is not None


def name_of(path: Path) -> str:
    """The document's path in the repository."""
    return str(path.relative_to(ROOT))


def has_python(path: Path) -> bool:
    """Whether it has Python blocks."""
    return bool(blocks(path, "python"))


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloudMap]:
    """The local server of the tutorial, and the environment for its clients."""
    before = dict(os.environ)
    [definition] = blocks(ROOT / "docs" / "tutorial.md", "toml")
    with LocalCloudMap.from_toml(definition) as local:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SERVICEDISCOVERY", local.endpoint_url)
        monkeypatch.setenv("AWS_REGION", local.world.region)
        monkeypatch.setenv("AWS_DEFAULT_REGION", local.world.region)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        yield local
    # A block may set variables.
    for variable in set(os.environ) - set(before):
        if variable.startswith("AIOCLOUDMAP_"):
            del os.environ[variable]


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if has_python(path)], ids=name_of)
def test_the_python_blocks_of_a_document_run(path: Path, shop: LocalCloudMap):
    """In order, against the local server of the tutorial."""
    document = parsed(path, "python")
    with asyncio.Runner() as runner:
        document.namespace["__runner__"] = runner
        for example in document.examples():
            if not is_for_pytest(example):
                example.evaluate()


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if blocks(path, "toml")], ids=name_of)
def test_the_toml_blocks_of_a_document_are_valid(path: Path):
    """Each of them describes services."""
    for text in blocks(path, "toml"):
        assert World.from_toml(text).services()


def test_documents_with_code_are_found():
    """A check of this test itself."""
    names = [name_of(path) for path in DOCUMENTS if has_python(path)]
    assert {"README.md", "docs/tutorial.md", "docs/how-to/failures.md"} <= set(names)


def test_a_failing_block_is_reported(tmp_path: Path):
    """With the document's line number."""
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nx = 1\nassert x == 2\n```\n", encoding="utf-8")
    [example] = parsed(page, "python").examples()
    with pytest.raises(AssertionError) as caught:
        example.evaluate()
    assert caught.traceback[-1].lineno + 1 == 5
