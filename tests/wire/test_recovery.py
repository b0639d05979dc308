"""No descriptor left, wherever a call to Cloud Map needs one first: a named error, and no restart afterwards."""

from __future__ import annotations

import pytest
from certificates import tls_of
from child_process import ChildProcess

from aiocloudmap.local import LocalCloudMap, Quotas, World


@pytest.fixture
def local(request, monkeypatch, authority, bundle):
    """Over TLS where the test says so."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CA_BUNDLE", bundle)
    world = World(quotas=Quotas.unlimited())
    world.register("shop/orders", "one", {"QUEUE_URL": "https://queue"})
    tls = tls_of(authority, "127.0.0.1") if request.param == "https" else None
    with LocalCloudMap(world, ssl_context=tls) as local:
        yield local


PROGRAM = """
import asyncio, os, resource
from tests.support.client_sockets import client_sockets
from aiocloudmap import CloudMap, TooManyOpenFilesError

class Still:
    # Time passes only when it is told to; the network's time-outs are real.
    now = 1000.0
    def monotonic(self):
        return self.now
    time = monotonic
    def call_later(self, delay, callback):
        return asyncio.get_running_loop().call_later(delay, callback)

clock = Still()
cloud_map = CloudMap(endpoint_url=url, region="eu-west-1", clock=clock)
orders = cloud_map.service("shop/orders")
port = int(url.rpartition(":")[2])

def opened():
    # Sockets and the like: libraries keep some files open for good.
    targets = []
    for number in range(64):
        try:
            targets.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            pass
    return sum(not target.startswith("/") for target in targets)

def connections():
    return [cloud_map.stats().open_connections, client_sockets([port])]

async def told(**arguments):
    try:
        return len(await orders.resolve(**arguments))
    except TooManyOpenFilesError as error:
        return ["of them connections of aiocloudmap; the limit is 64" in str(error), error.retry_after]

async def main():
    if ready == "asked before":
        await orders.resolve()
        await cloud_map.aclose()
        cloud_map.clear()
    elif ready == "libraries loaded":
        import aiocloudmap.aws.backend, aiocloudmap.aws.session
    elif ready == "client made":
        # All files are read, but for those that say whom to trust.
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
    say(await told())
    ours = cloud_map.stats().open_connections
    for number in kept:
        os.close(number)
    say([ours, *connections(), opened() - before])
    say(await told())
    if backoff:
        clock.now += 0.5
        say(await told())
    else:
        say(await told(max_age=0))
    say(connections())
    await cloud_map.aclose()
    say([*connections(), opened() - before])

asyncio.run(main())
"""


@pytest.mark.parametrize("backoff", [True, False], ids=["after the backoff", "with max_age=0"])
@pytest.mark.parametrize(
    ("local", "ready", "host"),
    [
        ("http", "asked before", "127.0.0.1"),
        ("http", "asked before", "localhost"),
        ("http", "libraries loaded", "127.0.0.1"),
        ("https", "client made", "127.0.0.1"),
    ],
    ids=["the socket", "the look-up of the name", "the files a client is made from", "the certificates"],
    indirect=["local"],
)
def test_the_call_after_the_relief_is_answered(local, ready, host, backoff):
    """At once with max_age=0, which waits for no backoff; else after half a second at most. Nothing is left open."""
    url = f"{local.endpoint_url.partition(':')[0]}://{host}:{local.server.port}"
    with ChildProcess(PROGRAM, url=url, ready=ready, backoff=backoff) as child:
        with_figures, retry_after = child.said()
        assert with_figures
        assert 0.25 <= retry_after <= 0.5
        assert child.said() == [0, 0, 0, 0]
        assert child.said() == [True, retry_after]  # the same error until the backoff is over
        assert child.said() == 1
        assert child.said() == [1, 1]
        assert child.said() == [0, 0, 0]
        child.end()
