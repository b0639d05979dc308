"""The tests that README and docs show are run by pytest, as their reader's would be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
ASKS_FOR_A_FIXTURE = re.compile(r"def test_\w+\([^)]+\)")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Where a page says that the program at its top is, for the tests below.
PROGRAMS = {"docs/how-to/lambda.md": "src/handler.py", "docs/how-to/workers.md": "worker.py"}


def suites() -> dict[str, str]:
    """The Python of every section whose tests ask for fixtures, by document and heading: each a file of tests."""
    found: dict[str, str] = {}
    for path in DOCUMENTS:
        for section in re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            source = "\n\n".join(BLOCK.findall(section))
            if ASKS_FOR_A_FIXTURE.search(source):
                found[f"{path.relative_to(ROOT)}, {section.splitlines()[0]}"] = source
    return found


SUITES = suites()


@pytest.mark.parametrize("name", SUITES)
def test_the_tests_that_a_section_shows_pass(name: str, pytester: pytest.Pytester):
    """All of them, with the program above them, and with warnings as errors."""
    source = SUITES[name]
    pytester.makepyfile(source)
    page, _ = name.split(", ", 1)
    if page in PROGRAMS:
        program = pytester.path / PROGRAMS[page]
        program.parent.mkdir(exist_ok=True)
        program.write_text(BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))[0], encoding="utf-8")
    settings = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
    # In a process of its own, where nothing else has been imported.
    result = pytester.runpytest_subprocess("-p", "pytest_aiocloudmap", "-W", "error", *settings, timeout=60)
    result.assert_outcomes(passed=source.count("def test_"))


def test_there_is_something_to_run():
    """The look itself works: it sees the sections that teach testing."""
    assert set(SUITES) == {
        "README.md, Test your program",
        "docs/how-to/lambda.md, Test it as Lambda runs it",
        "docs/how-to/testing.md, With pytest",
        "docs/how-to/workers.md, Stop it",
    }
