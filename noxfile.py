"""The project's sessions: `nox --list` names them, `nox -s tests` passes the tests on every Python that is found.

Needs nothing but nox itself: environments are made by virtualenv, which comes with it, and filled by pip.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "layers", "tests"]
# nox would fail where the variable CI is set; a Python that is not installed is skipped, with a line that says so.
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"

HERE = Path(__file__).parent
PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
# Of the oldest allowed aiohttp there are wheels for these.
OLDEST_PYTHONS = [version for version in PYTHONS if version in ("3.11", "3.13")]
SMOKE = """
import asyncio, sys, aiocloudmap
loaded = {"aiobotocore", "aiohttp", "botocore", "rich", "typer"} & set(sys.modules)
assert not loaded, f"import aiocloudmap loads {sorted(loaded)}"
assert "site-packages" in aiocloudmap.__file__, aiocloudmap.__file__

from aiocloudmap.local import LocalCloudMap

async def ask():
    async with LocalCloudMap() as local:
        local.world.register("shop/orders", "orders-1", {"QUEUE_URL": "here"})
        async with local.cloud_map() as cloud_map:
            return await cloud_map.service("shop/orders").attribute("QUEUE_URL")

assert asyncio.run(ask()) == "here"
"""


def _show_shims_their_versions() -> None:
    """Append what pyenv and its like have installed to PATH: a shim runs the versions that are switched on only."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    for shims in [Path(folder) for folder in folders if Path(folder).name == "shims"]:
        folders += [str(found) for found in sorted(shims.parent.glob("versions/3.*/bin"))]
    os.environ["PATH"] = os.pathsep.join(folders)


_show_shims_their_versions()
os.environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"


def _install(session: nox.Session, *groups: str, project: bool = True, pins: list[str] | None = None) -> None:
    """Dependency groups, and the project as it stands in the tree, in one resolution."""
    requirements = nox.project.dependency_groups(PROJECT, *groups)
    arguments = ["--quiet", *requirements, *(["--editable", ".[cli]"] if project else [])]
    if pins is not None:
        constraints = Path(session.create_tmp()) / "constraints.txt"
        constraints.write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
        arguments += ["--constraint", str(constraints)]
    session.install(*arguments)


def _lowest(requirements: list[str]) -> list[str]:
    """`name==version` for each lower bound, as pip has no resolution that prefers the lowest."""
    pins: list[str] = []
    for requirement in map(Requirement, requirements):
        [bound] = [item.version for item in requirement.specifier if item.operator == ">="]
        pins.append(f"{requirement.name}=={bound}")
    return pins


def _pytest(session: nox.Session) -> None:
    session.run("pytest", *(session.posargs or ["-q", "--numprocesses=2", "--dist=loadfile"]))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests, with the newest dependencies."""
    _install(session, "test")
    _pytest(session)


@nox.session(name="tests-oldest", python=OLDEST_PYTHONS)
def tests_oldest(session: nox.Session) -> None:
    """The tests, with exactly the lowest dependencies that pyproject.toml allows."""
    project = PROJECT["project"]
    extras = [item for extra in project["optional-dependencies"].values() for item in extra]
    pins = _lowest(project["dependencies"] + extras)
    session.log("lowest allowed: %s", ", ".join(pins))
    _install(session, "test", pins=pins)
    _pytest(session)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and likely mistakes."""
    _install(session, "lint", project=False)
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Strict types, by mypy and by pyright."""
    _install(session, "types")
    session.run("mypy")
    session.run("pyright")


@nox.session
def layers(session: nox.Session) -> None:
    """Who may import whom."""
    _install(session, "layers")
    session.run("lint-imports", "--no-cache")


@nox.session
def examples(session: nox.Session) -> None:
    """The examples, run for real against the local world."""
    _install(session, "test")
    session.run("pytest", "-q", "tests/examples", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, warnings being errors; its code blocks are run by the tests."""
    _install(session, "docs")
    target = session.posargs[0] if session.posargs else "docs/_build/html"
    session.run("sphinx-build", "--quiet", "--fail-on-warning", "--keep-going", "--builder", "html", "docs", target)


@nox.session
def build(session: nox.Session) -> None:
    """Wheel and sdist; the wheel runs in an environment that has nothing else."""
    _install(session, "build", project=False)
    scratch = Path(session.create_tmp()).absolute()
    target, clean = scratch / "dist", scratch / "clean"
    shutil.rmtree(target, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(target), silent=True)
    session.run("python", "-m", "venv", "--clear", str(clean))
    binaries = clean / ("Scripts" if os.name == "nt" else "bin")
    [wheel] = target.glob("*.whl")
    python = str(binaries / "python")
    session.run(python, "-m", "pip", "install", "--quiet", str(wheel), external=True)
    with session.chdir(clean):
        session.run(python, "-c", SMOKE, external=True)
        session.run(python, "-m", "pip", "install", "--quiet", f"{wheel}[cli]", external=True)
        session.run(str(binaries / "aiocloudmap"), "--version", external=True)


@nox.session(python=PYTHONS)
def bench(session: nox.Session) -> None:
    """The hit path against its floor, in one run on one machine that should have nothing else to do."""
    _install(session)
    session.run("python", "tests/benchmarks/hit_path.py", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Ten minutes of load with random faults: nothing may grow, no answer may be wrong. `-- --seconds 60` for less."""
    _install(session, "test")
    session.run("python", "tests/soak/soak.py", *session.posargs)


@nox.session
def properties(session: nox.Session) -> None:
    """The resolver beside its model of freshness: at least 100,000 random steps, and whether broken code is noticed."""
    _install(session, "test")
    attacks = {"FRESHNESS_ATTACKS": os.environ.get("FRESHNESS_ATTACKS", "2500")}
    session.run("pytest", "-q", "tests/properties", *session.posargs, env=attacks)
    session.run("python", "tests/properties/broken_on_purpose.py")
