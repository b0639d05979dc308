"""What the examples run against: a local Cloud Map, moto's SQS, and child processes that use both."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from moto.sqs.models import Queue as MotoQueue

from aiocloudmap.local import LocalCloudMap

ROOT = Path(__file__).parents[2]
TIMEOUT = 60.0
"""Seconds that a child may take for anything: it only bounds a hang."""

KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
REGION = "eu-west-1"


@dataclass
class Queue:
    """A queue on moto."""

    client: Any
    url: str

    def bodies(self) -> list[str]:
        """Receive the messages that are visible."""
        answer = self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        return sorted(message["Body"] for message in answer.get("Messages", []))

    def put(self, body: str) -> None:
        """Send a message."""
        self.client.send_message(QueueUrl=self.url, MessageBody=body)

    def left(self) -> int:
        """The number of messages, including those in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(value) for value in found.values())


@dataclass
class Program:
    """A running program."""

    process: asyncio.subprocess.Process

    async def line(self, beginning: str) -> str:
        """Skip its output up to the next line with this beginning, and return that line."""
        assert self.process.stdout is not None
        skipped: list[str] = []
        async with asyncio.timeout(TIMEOUT):
            while text := (await self.process.stdout.readline()).decode():
                if text.startswith(beginning):
                    return text.rstrip("\n")
                skipped.append(text)
        raise AssertionError(f"no line begins with {beginning!r}: {''.join(skipped)}")

    async def end(self, signal_number: int | None = None) -> tuple[int, str]:
        """Send the signal, if any, and wait for the exit code and the rest of the output."""
        if signal_number is not None:
            self.process.send_signal(signal_number)
        async with asyncio.timeout(TIMEOUT):
            output, _ = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, output.decode()


Start = Callable[..., AbstractAsyncContextManager[Program]]


@pytest.fixture(scope="module")
def sqs_url() -> Iterator[str]:
    """Moto's SQS.

    Its `delete_message` copies the list of messages, removes one and stores the copy. Of two deletions at the same
    time, one is lost, and so is a message that arrives in between. A lock prevents both.
    """
    lock, delete, add = threading.RLock(), MotoQueue.delete_message, MotoQueue.add_message

    def delete_alone(queue: MotoQueue, receipt_handle: str) -> None:
        with lock:
            delete(queue, receipt_handle)

    def add_alone(queue: MotoQueue, message: Any) -> None:
        with lock:
            add(queue, message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MotoQueue, "delete_message", delete_alone)
        patch.setattr(MotoQueue, "add_message", add_alone)
        yield from serve_sqs()


def serve_sqs() -> Iterator[str]:
    """Start moto, and stop it afterwards."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def queue(sqs_url: str, request: pytest.FixtureRequest) -> Iterator[Queue]:
    """An empty queue. Messages in flight become visible after an hour only, however slow the machine is."""
    client = boto3.client(
        "sqs",
        region_name=REGION,
        endpoint_url=sqs_url,
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )
    name = f"orders-{abs(hash(request.node.name))}"
    url = client.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "3600"})["QueueUrl"]
    yield Queue(client, url)
    client.delete_queue(QueueUrl=url)
    client.close()


@pytest.fixture
async def shop(queue: Queue) -> AsyncIterator[LocalCloudMap]:
    """The services of `services.toml`, with the test's queue for the orders."""
    async with LocalCloudMap.from_toml(ROOT / "examples" / "services.toml") as local:
        local.world.register("shop/orders", "orders-1", {"QUEUE_URL": queue.url})
        yield local


@pytest.fixture
def start(shop: LocalCloudMap, sqs_url: str) -> Start:
    """Runs Python with these arguments in a child process that is configured by its environment only."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_SERVICEDISCOVERY": shop.endpoint_url,
        "AWS_ENDPOINT_URL_SQS": sqs_url,
        **KEYS,
    }

    @asynccontextmanager
    async def run(*arguments: str, **variables: str) -> AsyncIterator[Program]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=ROOT,
            env=environment | variables,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield Program(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    return run
