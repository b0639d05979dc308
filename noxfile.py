"""The project's sessions: `nox --list` names them, `nox -s tests` passes the tests on every Python that is found.

Needs nothing but nox. Environments are made and filled by uv, which `pip install 'nox[uv]'` brings and which takes
seconds where pip takes minutes; without it by virtualenv, which comes with nox, and pip.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import zipfile
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
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
# botocore brings four hundred services: the layer keeps these.
LAYER_SERVICES = ("servicediscovery", "sqs", "sso", "sso-oidc", "sts")
LAYER_PROOF = """
import os, sys
sys.path[:0] = sys.argv[1:]
from aiocloudmap.local import LocalCloudMap

sent = []
def send_message(members):
    sent.append(members["QueueUrl"])
    return {"MessageId": str(len(sent))}

with LocalCloudMap(targets={"AmazonSQS.SendMessage": send_message}) as local:
    local.world.register("shop/orders", "orders-1", {"QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/orders"})
    os.environ |= {"AWS_ENDPOINT_URL": local.endpoint_url, "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"}
    from handler import handler

    for number in (1, 2, 3):
        assert handler({"order": {"number": number}}, None) == {"message_id": str(number)}
    assert local.stats.calls["DiscoverInstances"] == 1
loaded = {name: module.__file__ for name, module in sys.modules.items() if getattr(module, "__file__", None)}
strangers = [file for name, file in loaded.items() if "site-packages" in file]
assert not strangers, strangers
"""


def _show_shims_their_versions() -> None:
    """Append what pyenv and its like have installed to PATH: a shim runs the versions that are switched on only."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    for shims in [Path(folder) for folder in folders if Path(folder).name == "shims"]:
        folders += [str(found) for found in sorted(shims.parent.glob("versions/3.*/bin"))]
    os.environ["PATH"] = os.pathsep.join(folders)


_show_shims_their_versions()
os.environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
# Trust what the machine trusts, as pip does: uv by itself knows the public authorities only, and no company's proxy.
os.environ.setdefault("UV_NATIVE_TLS", "true")  # what versions before UV_SYSTEM_CERTS call it
os.environ.setdefault("UV_SYSTEM_CERTS", "true")


def _install(session: nox.Session, *groups: str, project: bool = True, pins: list[str] | None = None) -> None:
    """Dependency groups, and the project as it stands in the tree, in one resolution."""
    requirements = nox.project.dependency_groups(PROJECT, *groups)
    arguments = ["--quiet", *requirements, *(["--editable", ".[cli,testing]"] if project else [])]
    if pins is not None:
        # Not in the session's own temporary folder: tests would make theirs in it, inside the repository.
        constraints = Path(session.virtualenv.location) / "constraints.txt"
        constraints.write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
        arguments += ["--constraint", str(constraints)]
    session.install(*arguments)


def _lowest(requirements: list[str]) -> list[str]:
    """`name==version` for each lower bound, of the project's own dependencies only: what they need may be newer."""
    pins: list[str] = []
    for requirement in map(Requirement, requirements):
        [bound] = [item.version for item in requirement.specifier if item.operator == ">="]
        pins.append(f"{requirement.name}=={bound}")
    return pins


def _pytest(session: nox.Session) -> None:
    # Tests of processes, signals and time-outs wait more than they compute.
    session.run("pytest", *(session.posargs or ["-q", "--numprocesses=4", "--dist=worksteal"]))


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
    # As in their reader's tree, which has none of our settings.
    session.run("mypy", "--config-file=", "--strict", "examples")
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


def _slim(folder: Path) -> None:
    """Remove what no function reads: the data of other services, tests, commands."""
    data = folder / "botocore" / "data"
    for path in data.iterdir():
        if path.is_dir() and path.name not in LAYER_SERVICES:
            shutil.rmtree(path)
    for path in [folder / "bin", *folder.rglob("__pycache__"), *folder.rglob("tests"), *data.rglob("examples-1.json*")]:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
    # Every session reads the endpoints of all services, a megabyte of JSON.
    endpoints = json.loads((data / "endpoints.json").read_text(encoding="utf-8"))
    for partition in endpoints["partitions"]:
        partition["services"] = {name: each for name, each in partition["services"].items() if name in LAYER_SERVICES}
    (data / "endpoints.json").write_text(json.dumps(endpoints), encoding="utf-8")


def _zip(folder: Path, target: Path) -> int:
    """Zip the folder's files below its name. Returns their size in bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in files:
            archive.write(path, path.relative_to(folder.parent))
    return sum(path.stat().st_size for path in files)


def _install_into(session: nox.Session, folder: Path, *arguments: str) -> None:
    """Install the wheel of the tree, with its dependencies, into an empty folder."""
    scratch = folder.parents[1]
    for path in (scratch / "dist", folder):
        shutil.rmtree(path, ignore_errors=True)
    session.run("python", "-m", "build", "--wheel", "--outdir", str(scratch / "dist"), silent=True)
    [wheel] = (scratch / "dist").glob("*.whl")
    install = ("python", "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(folder))
    session.run(*install, str(wheel), *arguments)


@nox.session(name="lambda-layer")
def lambda_layer(session: nox.Session) -> None:
    """A slim layer for AWS Lambda, run from its zip alone. Arguments after `--` are for pip: another platform, say."""
    _install(session, "build", project=False)
    scratch = Path(session.create_tmp()).absolute()
    folder, layer, unpacked = scratch / "layer" / "python", scratch / "aiocloudmap-layer.zip", scratch / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    _install_into(session, folder, *session.posargs)
    _slim(folder)
    size = _zip(folder, layer)
    session.log("%s: %.1f MB, %.1f MB unzipped", layer, layer.stat().st_size / 1e6, size / 1e6)
    if session.posargs:
        session.log("not run: it may be for another Python")
        return
    with zipfile.ZipFile(layer) as archive:
        archive.extractall(unpacked)
    world = {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    found = [str(unpacked / "python"), str(HERE / "examples" / "lambda")]
    session.run("python", "-I", "-S", "-W", "error", "-c", LAYER_PROOF, *found, env=world)


@nox.session(name="bench-layer")
def bench_layer(session: nox.Session) -> None:
    """The cold start in the layer, against bare aiobotocore with all of its data. A few minutes."""
    _install(session, "bench", "build")
    scratch = Path(session.create_tmp()).absolute()
    whole, slim = scratch / "whole" / "python", scratch / "slim" / "python"
    _install_into(session, whole)
    shutil.rmtree(slim, ignore_errors=True)
    shutil.copytree(whole, slim)
    _slim(slim)
    for folder in (whole, slim):
        session.run("python", "-m", "compileall", "-q", str(folder), silent=True, success_codes=[0, 1])
    session.run("python", "tests/benchmarks/layer.py", str(whole), str(slim), *session.posargs)


@nox.session(python=PYTHONS)
def bench(session: nox.Session) -> None:
    """Every benchmark, beside others' ways, and docs/benchmarks: minutes. `-- --quick` shows that it runs.

    Everything on the Python that nox itself runs on, which is always there; what has a budget on the others.
    """
    _install(session, "bench")
    everything = session.python == ".".join(platform.python_version_tuple()[:2])
    session.run("python", "tests/benchmarks/run.py", *([] if everything else ["--budgets"]), *session.posargs)


@nox.session
def fleet(session: nox.Session) -> None:
    """A simulated fleet, then fifty real processes, beside their plans. `-- --processes 20` for fewer."""
    _install(session, "test")
    session.run("python", "tests/simulation/simulation.py")
    session.run("python", "tests/simulation/real_fleet.py", *session.posargs)


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
