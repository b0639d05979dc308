"""A Cloud Map on the loopback that says one thing, and the processes that ask it; what several benchmarks share."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import botocore
import trustme
from fresh_process import Runner, runner

__all__ = ["askers", "found"]


def found(count: int) -> bytes:
    """DiscoverInstances' answer with so many instances, each with eight attributes, as ECS registers them."""
    instances = [
        {
            "InstanceId": f"{number:032x}",
            "NamespaceName": "shop",
            "ServiceName": "orders",
            "HealthStatus": "HEALTHY",
            "Attributes": {
                "AWS_INSTANCE_IPV4": f"10.0.{number // 256}.{number % 256}",
                "AWS_INSTANCE_PORT": "8080",
                "AVAILABILITY_ZONE": f"eu-west-1{'abc'[number % 3]}",
                "AWS_INIT_HEALTH_STATUS": "HEALTHY",
                "ECS_CLUSTER_NAME": "shop",
                "ECS_SERVICE_NAME": "orders",
                "ECS_TASK_DEFINITION_FAMILY": "orders-live",
                "REGION": "eu-west-1",
            },
        }
        for number in range(count)
    ]
    return json.dumps({"Instances": instances, "InstancesRevision": 7}).encode()


@contextlib.contextmanager
def askers(scheme: str, answer: bytes) -> Iterator[Runner]:
    """Processes that find a Cloud Map behind this scheme, which gives this answer.

    Its certificate is checked against botocore's whole bundle and one authority more.
    """
    with tempfile.TemporaryDirectory() as folder:
        context, bundle = _certified(folder)
        with (
            _server(answer, context if scheme == "https" else None) as port,
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


def _certified(folder: str) -> tuple[ssl.SSLContext, str]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    bundle = Path(folder, "bundle.pem")
    public = Path(botocore.__file__).with_name("cacert.pem").read_bytes()
    bundle.write_bytes(public + authority.cert_pem.bytes())
    return context, str(bundle)


@contextlib.contextmanager
def _server(answer: bytes, context: ssl.SSLContext | None) -> Iterator[int]:
    """In a thread; its port."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    ports: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n"
                    b"Content-Length: %d\r\n\r\n%b" % (len(answer), answer)
                )
                await writer.drain()
        writer.close()

    async def begin() -> asyncio.Server:
        server = await asyncio.start_server(serve, "127.0.0.1", ssl=context)
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
