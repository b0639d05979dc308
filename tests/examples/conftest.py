"""A world for the examples: the local Cloud Map, moto's SQS, and child processes that talk to both."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from aiocloudmap.local import LocalCloudMap

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds that a child may take for anything: bounds a hang, measures nothing."""

KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
REGION = "eu-west-1"


@dataclass
class Queue:
    """A queue on moto, seen from outside."""

    client: Any
    url: str

    def bodies(self) -> list[str]:
        """Take what is there."""
        answer = self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        return sorted(message["Body"] for message in answer.get("Messages", []))

    def put(self, body: str) -> None:
        """Put a message there."""
        self.client.send_message(QueueUrl=self.url, MessageBody=body)

    def left(self) -> int:
        """How many messages are there, those that somebody works on included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(value) for value in found.values())


@dataclass
class Program:
    """A program that runs."""

    process: asyncio.subprocess.Process

    async def line(self, beginning: str) -> str:
        """The next line of its output that begins so; what comes before is skipped."""
        assert self.process.stdout is not None
        skipped: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while text := (await self.process.stdout.readline()).decode():
                if text.startswith(beginning):
                    return text.rstrip("\n")
                skipped.append(text)
        raise AssertionError(f"no line begins with {beginning!r}: {''.join(skipped)}")

    async def end(self, signal_number: int | None = None) -> tuple[int, str]:
        """Its exit code and the rest of its output, after the signal where one is given."""
        if signal_number is not None:
            self.process.send_signal(signal_number)
        async with asyncio.timeout(PATIENCE):
            output, _ = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, output.decode()


Start = Callable[..., AbstractAsyncContextManager[Program]]


@pytest.fixture(scope="module")
def sqs_url() -> Iterator[str]:
    """Moto's SQS."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def queue(sqs_url: str, request: pytest.FixtureRequest) -> Iterator[Queue]:
    """A queue of the test's own."""
    client = boto3.client(
        "sqs",
        region_name=REGION,
        endpoint_url=sqs_url,
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )
    url = client.create_queue(QueueName=f"orders-{abs(hash(request.node.name))}")["QueueUrl"]
    yield Queue(client, url)
    client.delete_queue(QueueUrl=url)
    client.close()


@pytest.fixture
async def shop(queue: Queue) -> AsyncIterator[LocalCloudMap]:
    """The world of `services.toml`, in which the orders go to the test's queue."""
    async with LocalCloudMap.from_toml(ROOT / "examples" / "services.toml") as local:
        local.world.register("shop/orders", "orders-1", {"QUEUE_URL": queue.url})
        yield local


@pytest.fixture
def start(shop: LocalCloudMap, sqs_url: str) -> Start:
    """Runs Python with these arguments as a child that knows the world by its environment only."""
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
