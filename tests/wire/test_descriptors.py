"""Running out of file descriptors is reported at once, with figures, wherever it happens."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from callers import Callers
from counting_server import Servers

from aiocloudmap.aws.transport.connection import CountedSocket
from aiocloudmap.aws.transport.transport import Purpose
from aiocloudmap.errors import CloudMapError, TooManyOpenFilesError


@pytest.fixture
def servers():
    with Servers() as running:
        yield running


EMFILE = """
import sys; sys.path.insert(0, {here!r})
import asyncio, os, resource, time
from callers import RUNNERS, Callers
from aiocloudmap.errors import TooManyOpenFilesError, ConnectError
callers = Callers(verify={verify!r})
url = {url!r}

async def main():
    if {warm}:
        await callers.discover(url)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    kept = []
    try:
        while True:
            kept.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    try:
        await (callers.discover if {discover} else callers.call)({bad!r})
    except TooManyOpenFilesError as error:
        text = str(error)
    else:
        text = "no error"
    for number in kept:
        os.close(number)
    print(text)
    assert await callers.discover(url)
    await callers.transport.aclose(callers.holder)

RUNNERS[{runner!r}](main())
"""


@pytest.mark.parametrize("runner", ["asyncio", "uvloop"])
@pytest.mark.parametrize("where", ["socket", "name", "certificates"])
def test_running_out_of_descriptors_is_reported_with_figures(servers, runner, where):
    """For a socket, a name look-up or a certificate file. Calls work again afterwards."""
    bad = {
        "socket": servers.url + "/other",
        "name": "http://unheard-of.invalid:1/",
        "certificates": "https://127.0.0.1:1/",
    }[where]
    warm = where != "socket"
    code = EMFILE.format(
        here=str(Path(__file__).parent), url=servers.url, bad=bad, warm=warm, discover=True, runner=runner, verify=True
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stderr == ""
    assert ended.stdout.startswith("too many open files: 64 descriptors are open, "), ended.stdout
    assert f"{int(warm)} of them connections of aiocloudmap; the limit is 64" in ended.stdout


def test_too_many_open_files_is_a_cloud_map_error():
    """So one except clause catches it."""
    assert issubclass(TooManyOpenFilesError, CloudMapError)
    assert not issubclass(TooManyOpenFilesError, OSError)


@pytest.mark.parametrize("mode", ["standard", "legacy"])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
async def test_botocore_does_not_retry_without_descriptors(monkeypatch, mode, number):
    """Retries would fail too, and take seconds."""
    attempts = []

    def refuse(self, *arguments):
        attempts.append(arguments)
        raise OSError(number, "no descriptor left")

    monkeypatch.setattr(CountedSocket, "__init__", refuse)
    callers = Callers()
    config = AioConfig(
        http_session_cls=callers.transport.http_session_class(callers.policy, Purpose.CLIENT, callers.holder),
        inject_host_prefix=False,
        retries={"mode": mode, "total_max_attempts": 4},
    )
    options = {"region_name": "eu-west-1", "aws_access_key_id": "a", "aws_secret_access_key": "s", "config": config}
    async with get_session().create_client("servicediscovery", endpoint_url="http://127.0.0.1:1", **options) as client:
        with pytest.raises(TooManyOpenFilesError) as caught:
            await client.discover_instances(NamespaceName="shop", ServiceName="orders")
    assert len(attempts) == 1
    assert ("the system has run out" in str(caught.value)) == (number == errno.ENFILE)
    await callers.transport.aclose(callers.holder)
