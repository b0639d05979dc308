"""How the documentation is built: `nox -s docs`."""

from __future__ import annotations

from importlib.metadata import version as installed_version

from sphinx.application import Sphinx

project = "aiocloudmap"
author = "the aiocloudmap developers"
copyright = author
version = release = installed_version("aiocloudmap")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
nitpicky = False

myst_heading_anchors = 3
# Plain CommonMark and tables; a page reads the same where the repository is browsed.
myst_enable_extensions: list[str] = []

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
default_role = "code"

html_theme = "furo"
html_title = f"aiocloudmap {version}"


def setup(app: Sphinx) -> None:
    """Before napoleon, which has priority 500."""
    app.connect("autodoc-process-docstring", _fences_to_directives, priority=400)


def _fences_to_directives(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings show code between fences, as editors understand them; docutils wants directives."""
    found, fenced = [], False
    for line in lines:
        if line.startswith("```"):
            fenced = not fenced
            found += ["", f".. code-block:: {line[3:] or 'text'}", ""] if fenced else [""]
        else:
            found.append(f"    {line}" if fenced else line)
    lines[:] = found
