"""A fresh process: import, first client, first answer, against bare aiobotocore; and what importing alone costs."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pairs import compare_synchronously, spread
from shares import REMAINDER, imported
from stage import child_server

__all__ = ["BUDGETS", "measure"]

# Times bare aiobotocore; and seconds over what is imported anyway.
BUDGETS = {"http": 0.9, "https": 0.96, "import": 0.015}
_CLOCK = "import time; begun = time.perf_counter()\n"
_TOLD = "\nprint(time.perf_counter() - begun)"
_BARE = """
import asyncio
from aiobotocore.session import get_session
async def main():
    async with get_session().create_client("servicediscovery") as client:
        await client.discover_instances(NamespaceName="bench", ServiceName="of-1")
asyncio.run(main())
"""
_OURS = """
import asyncio
from aiocloudmap import CloudMap
async def main():
    await CloudMap().service("bench/of-1").resolve()
asyncio.run(main())
"""
_ANYWAY = "import asyncio, dataclasses, cachetools\n"
_IMPORTS = {
    "aiocloudmap": "import aiocloudmap",
    "aiobotocore": "import aiobotocore.session",
    "boto3": "import boto3",
}


def measure(*, quick: bool) -> dict[str, Any]:
    """Wall seconds of whole programs over http and https; seconds of imports."""
    rounds = 1 if quick else 16
    found: dict[str, Any] = {"budgets": BUDGETS, "http": _first_answers(None, rounds), "https": None}
    # What makes certificates is a development tool: without it, https is left out, as in a quick look.
    if importlib.util.find_spec("trustme") and not quick:
        import botocore
        import trustme

        with tempfile.TemporaryDirectory() as folder:
            authority, server = trustme.CA(), Path(folder) / "server.pem"
            issued = authority.issue_cert("127.0.0.1")
            chain = [blob.bytes() for blob in issued.cert_chain_pems]
            server.write_bytes(b"".join([issued.private_key_pem.bytes(), *chain]))
            # Against AWS, everybody reads all the authorities that botocore brings.
            everyone = Path(botocore.__file__).with_name("cacert.pem").read_bytes()
            (Path(folder) / "ca.pem").write_bytes(everyone + b"\n" + authority.cert_pem.bytes())
            found["https"] = _first_answers(server, rounds, AWS_CA_BUNDLE=str(Path(folder) / "ca.pem"))
    imports: dict[str, list[float]] = {name: [] for name in _IMPORTS if importlib.util.find_spec(name)}
    for _ in range(rounds):
        for name, seconds in imports.items():
            seconds.append(_run(_ANYWAY + _CLOCK + _IMPORTS[name] + _TOLD, {}))
    found["imports"] = {name: spread(values) for name, values in imports.items()}
    found["shares"] = _shares()
    return found


def _first_answers(certificate: Path | None, rounds: int, **more: str) -> Any:
    with child_server(certificate) as environment:

        def timed(program: str) -> Callable[[], float]:
            return lambda: _run(_CLOCK + program + _TOLD, environment | more)

        return compare_synchronously(timed(_BARE), {"aiocloudmap": timed(_OURS)}, rounds)["aiocloudmap"]


def _shares() -> dict[str, float]:
    """Seconds, under a clock that takes some itself: importing, by package, and all else."""
    clocked = ("-X", "importtime", "-c")
    before = _python(*clocked, _CLOCK).stderr
    with child_server() as environment:
        done = _python(*clocked, _CLOCK + _OURS + _TOLD, environment=environment)
    found = imported(done.stderr, after=before)
    return found | {REMAINDER: round(float(done.stdout) - sum(found.values()), 4)}


def _run(program: str, environment: dict[str, str]) -> float:
    return float(json.loads(_python("-c", program, environment=environment).stdout))


def _python(*arguments: str, environment: Mapping[str, str] = MappingProxyType({})) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True, timeout=60
    )
