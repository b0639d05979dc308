"""`aiocloudmap serve`: run a local Cloud Map until Ctrl-C."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from aiocloudmap.cli.errors import explain, reporting
from aiocloudmap.cli.runner import run_async
from aiocloudmap.cli.terminal import counted, printable, say, shell_quoted
from aiocloudmap.errors import CloudMapError

if TYPE_CHECKING:
    from aiocloudmap.local import LocalServer, World

__all__ = ["SAMPLE_WORLD", "serve"]

_POLL_INTERVAL = 0.5

SAMPLE_WORLD: Final = """\
[shop.orders]
attributes = { OWNER = "team-a" }

[shop.orders.instances.orders-1]
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
STAGE = "live"

[shop.orders.instances.orders-2]
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders-canary"
STAGE = "canary"

[shop.payments.instances.payments-1]
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/payments"

[shop.mail.instances.mail-1]
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/mail"
AWS_INSTANCE_IPV4 = "10.0.0.7"
AWS_INSTANCE_PORT = "8025"
"""
"""Served without a file, and used by the demo."""


def serve(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A TOML file of services.", show_default="a sample shop"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 5556,
    reload: Annotated[bool, typer.Option(help="Read the file again when it changes.")] = True,
) -> None:
    r"""Run a local Cloud Map that any AWS client can use.

    Prints shell commands that make other programs use it. The file has services, instances and their attributes:

    \[shop.orders.instances.orders-1]

    QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"

    [bold]Examples[/bold]

    aiocloudmap serve services.toml

    aiocloudmap serve --port 0

    [dim]Ctrl-C ends it with exit code 130, SIGTERM with 0.
    After a change or SIGHUP, it reads the file again and forgets what programs registered.
    It has no authentication, so other machines should not be able to reach it.[/dim]
    """
    with reporting(context):
        run_async(_serve(file, host, port, reload=reload))


async def _serve(file: Path | None, host: str, port: int, *, reload: bool) -> None:
    from aiocloudmap.local import LocalServer

    server = LocalServer(_world(file), host=host, port=port)
    reloader = _Reloader(file, reload=reload)
    async with server:
        if not _is_loopback(host):
            say(f"warning: {host} can be reached from other machines, and this server has no authentication")
        print("\n".join(_introduction(server, file)), flush=True)
        while (renewed := await reloader.next_world()) is not None:
            server.world = renewed
            say(f"read {file or 'the sample shop'} again: {_size(renewed)}")


class _Reloader:
    """Waits for a change of the file or a signal. Create one for each event loop."""

    def __init__(self, file: Path | None, *, reload: bool) -> None:
        self._file = file
        self._ended = False
        self._signalled = asyncio.Event()
        self._polls = reload and file is not None
        self._seen = self._stamp()
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError):
            loop.add_signal_handler(signal.SIGTERM, self._end)
            loop.add_signal_handler(signal.SIGHUP, self._signalled.set)

    async def next_world(self) -> World | None:
        """The world of the changed file, or after SIGHUP. None after SIGTERM."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_INTERVAL if self._polls else None):
                    await self._signalled.wait()
            if self._ended:
                return None
            stamp = self._stamp()
            if stamp == self._seen and not self._signalled.is_set():
                continue
            self._signalled.clear()
            self._seen = stamp
            try:
                return _world(self._file)
            except CloudMapError as error:
                say(f"{explain(error).message}; still serving the previous world")

    def _end(self) -> None:
        self._ended = True
        self._signalled.set()

    def _stamp(self) -> tuple[int, int] | None:
        with suppress(OSError):
            if self._file is not None:
                status = self._file.stat()
                # With the size, because two changes within one tick of the file system's clock have the same time.
                return status.st_mtime_ns, status.st_size
        return None


def _world(file: Path | None) -> World:
    from aiocloudmap.local import World

    return World.from_toml(SAMPLE_WORLD if file is None else file)


def _introduction(server: LocalServer, file: Path | None) -> Iterator[str]:
    """Shell commands and comments to paste into a shell."""
    world, what = server.world, "a sample shop" if file is None else printable(str(file))
    yield f"# Cloud Map at {server.endpoint_url}: {what}, {_size(world)}"
    yield f"export AWS_ENDPOINT_URL_SERVICEDISCOVERY={server.endpoint_url}"
    yield f"export AWS_REGION={world.region} AWS_DEFAULT_REGION={world.region}"
    yield "export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local"
    # boto3 and the AWS CLI would look up the host data-127.0.0.1.
    yield "export AWS_DISABLE_HOST_PREFIX_INJECTION=true"
    yield "# in other SDKs, switch the host prefix off; for JavaScript: disableHostPrefix: true"
    if names := world.services():
        yield f"# then, for example: aiocloudmap resolve {shell_quoted(str(names[0]))}"


def _size(world: World) -> str:
    names = world.services()
    instances = sum(len(world.instances(name)) for name in names)
    return f"{counted(len(names), 'service')}, {counted(instances, 'instance')}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
