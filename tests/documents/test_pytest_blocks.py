"""The tests in README and docs pass, run by pytest as a reader would run them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
USES_FIXTURES = re.compile(r"def test_\w+\([^)]+\)")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The file name of the first program on a page, for the tests below it.
PROGRAMS = {"docs/how-to/lambda.md": "src/handler.py", "docs/how-to/workers.md": "worker.py"}


def suites() -> dict[str, str]:
    """The code of each section with tests that use fixtures, by document and heading."""
    found: dict[str, str] = {}
    for path in DOCUMENTS:
        for section in re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            source = "\n\n".join(BLOCK.findall(section))
            if USES_FIXTURES.search(source):
                found[f"{path.relative_to(ROOT)}, {section.splitlines()[0]}"] = source
    return found


SUITES = suites()


@pytest.mark.parametrize("name", SUITES)
def test_the_tests_in_a_section_pass(name: str, pytester: pytest.Pytester):
    """With the program above them, and with warnings as errors."""
    source = SUITES[name]
    pytester.makepyfile(source)
    page, _ = name.split(", ", 1)
    if page in PROGRAMS:
        program = pytester.path / PROGRAMS[page]
        program.parent.mkdir(exist_ok=True)
        program.write_text(BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))[0], encoding="utf-8")
    settings = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
    # In a separate process, so that no module has been imported.
    result = pytester.runpytest_subprocess("-p", "pytest_aiocloudmap", "-W", "error", *settings, timeout=60)
    result.assert_outcomes(passed=source.count("def test_"))


def test_sections_with_tests_are_found():
    """A check of this test itself."""
    assert set(SUITES) == {
        "README.md, Test your program",
        "docs/how-to/lambda.md, Test it as Lambda runs it",
        "docs/how-to/testing.md, With pytest",
        "docs/how-to/workers.md, Stop it",
    }
