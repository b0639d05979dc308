"""The command line. It needs the `cli` extra, and `main` says so if the extra is missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with a code of `aiocloudmap.cli.errors.Exit`."""
    missing = [name for name in ("typer", "rich") if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"error: the command line needs {' and '.join(missing)}, which are not installed\n"
            "  hint: pip install 'aiocloudmap[cli]'\n"
        )
        sys.exit(2)
    from aiocloudmap.cli.app import run

    run()
