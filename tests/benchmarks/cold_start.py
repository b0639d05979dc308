"""A new process: import, first client and first answer, against bare aiobotocore, and what importing alone costs."""

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

from pairs import compare_synchronously
from testbed import child_server
from time_by_package import REMAINDER, imported

__all__ = ["measure"]

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
# Modules that an asyncio program has imported already.
_BEFORE = "import asyncio, dataclasses, cachetools\n"
_IMPORTS = {
    "aiocloudmap": "import aiocloudmap",
    "aiobotocore": "import aiobotocore.session",
    "boto3": "import boto3",
}


def measure(*, quick: bool) -> dict[str, Any]:
    """Measure CPU seconds of whole programs over http and https, and of imports against `import asyncio`."""
    rounds = 1 if quick else 16
    found: dict[str, Any] = {"http": _first_answers(None, rounds), "https": None}
    # trustme is a development tool: without it https is left out, as in a quick run.
    if importlib.util.find_spec("trustme") and not quick:
        import botocore
        import trustme

        with tempfile.TemporaryDirectory() as folder:
            authority, server = trustme.CA(), Path(folder) / "server.pem"
            issued = authority.issue_cert("127.0.0.1")
            chain = [blob.bytes() for blob in issued.cert_chain_pems]
            server.write_bytes(b"".join([issued.private_key_pem.bytes(), *chain]))
            # A client of AWS reads all the authorities that botocore brings.
            public = Path(botocore.__file__).with_name("cacert.pem").read_bytes()
            (Path(folder) / "ca.pem").write_bytes(public + b"\n" + authority.cert_pem.bytes())
            found["https"] = _first_answers(server, rounds, AWS_CA_BUNDLE=str(Path(folder) / "ca.pem"))
    imports = {
        name: _timed(statement, before=_BEFORE)
        for name, statement in _IMPORTS.items()
        if importlib.util.find_spec(name)
    }
    found["imports"] = compare_synchronously(_timed("import asyncio"), imports, rounds)
    found["shares"] = _shares()
    return found


def _first_answers(certificate: Path | None, rounds: int, **more: str) -> Any:
    with child_server(certificate) as environment:
        bare, ours = (_timed(program, environment=environment | more) for program in (_BARE, _OURS))
        return compare_synchronously(bare, {"aiocloudmap": ours}, rounds)["aiocloudmap"]


def _shares() -> dict[str, float]:
    """Return wall seconds of imports by package, and of the rest, under `-X importtime`, which takes time itself."""
    options = ("-X", "importtime", "-c")
    before = _python(*options, "import time").stderr
    with child_server() as environment:
        done = _python(*options, _clocked(_OURS, clock="perf_counter"), environment=environment)
    found = imported(done.stderr, after=before)
    return found | {REMAINDER: round(float(done.stdout) - sum(found.values()), 4)}


def _clocked(program: str, *, before: str = "", clock: str = "process_time") -> str:
    """Let a program print its seconds, without those of what comes before."""
    return f"{before}import time; started = time.{clock}()\n{program}\nprint(time.{clock}() - started)"


def _timed(
    program: str, *, before: str = "", environment: Mapping[str, str] = MappingProxyType({})
) -> Callable[[], float]:
    """Return a function that runs a program in a new process and returns its CPU seconds."""
    clocked = _clocked(program, before=before)
    return lambda: float(json.loads(_python("-c", clocked, environment=environment).stdout))


def _python(*arguments: str, environment: Mapping[str, str] = MappingProxyType({})) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True, timeout=60
    )
