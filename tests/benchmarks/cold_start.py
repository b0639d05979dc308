"""From nothing to the first answer, as a ratio to bare aiobotocore doing the same; and an invocation in a warm process.

    python tests/benchmarks/cold_start.py [--rounds 20] [--json]

A cold start is a process of its own: import, first client, first answer, timed from the first import on. The two sides
take turns, against one server on the loopback, without TLS and with it (the certificate is checked against botocore's
whole bundle, as AWS's own would be). An invocation is one `asyncio.run` in a warm process that has to ask the server
anew; on the other side it makes a session and a client each time. Ends with 1 if a figure is over its budget.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import ssl
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trustme
from fresh_process import Runner, runner, spread

BUDGETS = {"http": 0.9, "https": 0.96}
INVOCATION_BUDGET = 5.0
"""Milliseconds."""

_ANSWER = json.dumps(
    {
        "Instances": [
            {
                "InstanceId": "orders-1",
                "NamespaceName": "shop",
                "ServiceName": "orders",
                "HealthStatus": "HEALTHY",
                "Attributes": {"QUEUE_URL": "https://queue", "STAGE": "live"},
            }
        ],
        "InstancesRevision": 7,
    }
).encode()

_BARE = """
import time
begun = time.perf_counter()
import asyncio
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

async def main():
    async with get_session().create_client("servicediscovery", config=AioConfig(inject_host_prefix=False)) as client:
        answer = await client.discover_instances(NamespaceName="shop", ServiceName="orders")
        assert answer["Instances"]
        return time.perf_counter()

print((asyncio.run(main()) - begun) * 1e3)
"""

_OURS = """
import time
begun = time.perf_counter()
import asyncio
from aiocloudmap import CloudMap

async def main():
    assert await CloudMap().service("shop/orders").resolve()
    return time.perf_counter()

print((asyncio.run(main()) - begun) * 1e3)
"""

_BARE_INVOCATIONS = """
import asyncio, statistics, time
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

async def main():
    async with get_session().create_client("servicediscovery", config=AioConfig(inject_host_prefix=False)) as client:
        await client.discover_instances(NamespaceName="shop", ServiceName="orders")

times = []
for _ in range(12):
    begun = time.perf_counter()
    asyncio.run(main())
    times.append((time.perf_counter() - begun) * 1e3)
print(statistics.median(times[2:]))
"""

_OUR_INVOCATIONS = """
import asyncio, statistics, time
from aiocloudmap import CloudMap

async def main():
    await CloudMap().service("shop/orders").resolve(max_age=0)

times = []
for _ in range(42):
    begun = time.perf_counter()
    asyncio.run(main())
    times.append((time.perf_counter() - begun) * 1e3)
print(statistics.median(times[2:]))
"""


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection: the same answer to every request."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(_ANSWER), _ANSWER)
            )
            await writer.drain()
    writer.close()


@contextlib.contextmanager
def _server(context: ssl.SSLContext | None) -> Iterator[int]:
    """A server in a thread; its port."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    ports: list[int] = []

    async def begin() -> asyncio.Server:
        server = await asyncio.start_server(_serve, "127.0.0.1", ssl=context)
        ports.append(server.sockets[0].getsockname()[1])
        return server

    def run() -> None:
        loop.run_until_complete(begin())
        started.set()
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait()
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _certified(folder: str) -> tuple[ssl.SSLContext, str]:
    """The server's side, and a bundle of authorities that is as long as botocore's own."""
    import botocore

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    bundle = Path(folder, "bundle.pem")
    public = Path(botocore.__file__).with_name("cacert.pem").read_bytes()
    bundle.write_bytes(public + authority.cert_pem.bytes())
    return context, str(bundle)


@contextlib.contextmanager
def _children(scheme: str) -> Iterator[Runner]:
    """Processes that find a Cloud Map behind this scheme."""
    with tempfile.TemporaryDirectory() as folder:
        context, bundle = _certified(folder)
        with (
            _server(context if scheme == "https" else None) as port,
            runner(
                AWS_ENDPOINT_URL_SERVICEDISCOVERY=f"{scheme}://localhost:{port}",
                AWS_REGION="eu-west-1",
                AWS_DEFAULT_REGION="eu-west-1",
                AWS_ACCESS_KEY_ID="local",
                AWS_SECRET_ACCESS_KEY="local",
                AWS_CA_BUNDLE=bundle,
                AWS_EC2_METADATA_DISABLED="true",
                AWS_CONFIG_FILE=os.devnull,
                AWS_SHARED_CREDENTIALS_FILE=os.devnull,
            ) as processes,
        ):
            yield processes


def measure(*, rounds: int = 20) -> dict[str, Any]:
    """By scheme: both sides' milliseconds and their ratio; and the milliseconds of invocations."""
    found: dict[str, Any] = {}
    for scheme in BUDGETS:
        with _children(scheme) as processes:
            pairs = processes.pairs(_OURS, _BARE, rounds)
            invocations = processes.pairs(_OUR_INVOCATIONS, _BARE_INVOCATIONS, 3)
        found[scheme] = {
            "ratio": spread([ours / bare for ours, bare in pairs]),
            "milliseconds": statistics.median(ours for ours, _ in pairs),
            "bare_milliseconds": statistics.median(bare for _, bare in pairs),
            "invocation_milliseconds": statistics.median(ours for ours, _ in invocations),
            "bare_invocation_milliseconds": statistics.median(bare for _, bare in invocations),
        }
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(rounds=options.rounds)
    if options.json:
        print(json.dumps({"python": platform.python_version(), "load": os.getloadavg()[0], **found}))
    else:
        print(f"Python {platform.python_version()}, {options.rounds} pairs of processes, load {os.getloadavg()[0]:.1f}")
    over = False
    for scheme, each in found.items():
        ratio = each["ratio"]
        over |= ratio["median"] > BUDGETS[scheme] or each["invocation_milliseconds"] > INVOCATION_BUDGET
        if not options.json:
            print(
                f"{scheme}: cold start {each['milliseconds']:.0f} ms, bare {each['bare_milliseconds']:.0f} ms,"
                f" ratio {ratio['median']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f}), budget {BUDGETS[scheme]}"
            )
            print(
                f"{scheme}: an invocation {each['invocation_milliseconds']:.1f} ms, with a new client"
                f" {each['bare_invocation_milliseconds']:.0f} ms, budget {INVOCATION_BUDGET:g} ms"
            )
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
