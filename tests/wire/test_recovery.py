"""No file descriptor left, wherever a call needs one first: a named error, and the next call works."""

from __future__ import annotations

import errno
import socket

import pytest
from certificates import tls_of
from child_process import ChildProcess

from aiocloudmap.local import LocalCloudMap, Quotas, World


@pytest.fixture
def local(request, monkeypatch, authority, bundle):
    """A local Cloud Map, over http or https."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CA_BUNDLE", bundle)
    world = World(quotas=Quotas.unlimited())
    world.register("shop/orders", "one", {"QUEUE_URL": "https://queue"})
    tls = tls_of(authority, "127.0.0.1") if request.param == "https" else None
    with LocalCloudMap(world, ssl_context=tls) as local:
        yield local


PROGRAM = """
import asyncio, os, resource, socket
from tests.support.client_sockets import client_sockets
from aiocloudmap import CloudMap, TooManyOpenFilesError

class Still:
    # Time passes only when the test sets it; the network's time-outs are real.
    now = 1000.0
    def monotonic(self):
        return self.now
    time = monotonic
    def call_later(self, delay, callback):
        return asyncio.get_running_loop().call_later(delay, callback)

look_up = socket.getaddrinfo

def look_up_with_a_descriptor(*arguments, **options):
    # The system's resolver needs one too, but without one its errors differ from machine to machine.
    if not has_descriptor():
        raise socket.gaierror(*failure) if failure[0] < 0 else OSError(*failure)
    return look_up(*arguments, **options)

def has_descriptor():
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True

if failure:
    socket.getaddrinfo = look_up_with_a_descriptor

clock = Still()
cloud_map = CloudMap(endpoint_url=url, region="eu-west-1", clock=clock)
orders = cloud_map.service("shop/orders")
port = int(url.rpartition(":")[2])

def opened():
    # Sockets and pipes: libraries keep some files open.
    targets = []
    for number in range(64):
        try:
            targets.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            pass
    return sum(not target.startswith("/") for target in targets)

def connections():
    return [cloud_map.stats().open_connections, client_sockets([port])]

async def outcome(**arguments):
    try:
        return len(await orders.resolve(**arguments))
    except TooManyOpenFilesError as error:
        return ["of them connections of aiocloudmap; the limit is 64" in str(error), error.retry_after]

async def main():
    if ready == "called before":
        await orders.resolve()
        await cloud_map.aclose()
        cloud_map.clear()
    elif ready == "libraries loaded":
        import aiocloudmap.aws.backend, aiocloudmap.aws.session, aiocloudmap.aws.transport.transport
    elif ready == "client made":
        # All files are read, except those with certificates.
        import aiocloudmap.aws.backend
        await cloud_map.client("servicediscovery")
    before = opened()
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    kept = []
    try:
        while True:
            kept.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    say(await outcome())
    ours = cloud_map.stats().open_connections
    for number in kept:
        os.close(number)
    say([ours, *connections(), opened() - before])
    say(await outcome())
    if backoff:
        clock.now += 0.5
        say(await outcome())
    else:
        say(await outcome(max_age=0))
    say(connections())
    await cloud_map.aclose()
    say([*connections(), opened() - before])

asyncio.run(main())
"""


@pytest.mark.parametrize("backoff", [True, False], ids=["after the backoff", "with max_age=0"])
@pytest.mark.parametrize(
    ("local", "ready", "host", "failure"),
    [
        ("http", "called before", "127.0.0.1", None),
        ("http", "called before", "localhost", (socket.EAI_AGAIN, "Temporary failure in name resolution")),
        ("http", "called before", "localhost", (errno.EBUSY, "Device or resource busy")),
        ("http", "libraries loaded", "127.0.0.1", None),
        ("https", "client made", "127.0.0.1", None),
    ],
    ids=["the socket", "the look-up", "the look-up, busy", "the files of a client", "the certificates"],
    indirect=["local"],
)
def test_the_call_after_the_shortage_is_answered(local, ready, host, failure, backoff):
    """Immediately with max_age=0, else after the backoff of half a second at most. Nothing is left open."""
    url = f"{local.endpoint_url.partition(':')[0]}://{host}:{local.server.port}"
    with ChildProcess(PROGRAM, url=url, ready=ready, failure=failure, backoff=backoff) as child:
        with_figures, retry_after = child.said()
        assert with_figures
        assert 0.25 <= retry_after <= 0.5
        assert child.said() == [0, 0, 0, 0]
        assert child.said() == [True, retry_after]  # the same error until the backoff is over
        assert child.said() == 1
        assert child.said() == [1, 1]
        assert child.said() == [0, 0, 0]
        child.end()
