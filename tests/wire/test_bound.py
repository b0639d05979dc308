"""Open sockets never exceed the limit, as counted by the servers, the kernel and this library."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import ssl
from typing import Self

import aiohttp
import pytest
import trustme
from callers import RUNNERS, Callers
from counting_server import Servers

from aiocloudmap.aws.transport.pool import PoolRequest
from aiocloudmap.aws.transport.tls import TlsSettings
from aiocloudmap.errors import ConnectionLimitError
from aiocloudmap.model.policy import ConnectionPolicy

LIMIT = 6


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=["plain", "tls"])
def trust(request, authority, tmp_path):
    """The servers' side of TLS and the clients' verify, or None and True."""
    if request.param == "plain":
        return None, True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return context, str(tmp_path / "ca.pem")


@pytest.fixture(params=RUNNERS)
def run(request):
    """asyncio.run or uvloop.run."""
    # uvloop logs an error when a call is cancelled just as its TLS handshake ends, with any connector.
    expected = "Fatal error on SSL protocol" if request.param == "uvloop" else "nothing"
    logger = logging.getLogger("asyncio")

    def is_unexpected(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(expected)

    logger.addFilter(is_unexpected)
    yield RUNNERS[request.param]
    logger.removeFilter(is_unexpected)


class Watch:
    """Polls the kernel's and this library's count while it is entered."""

    def __init__(self, callers: Callers, servers: Servers) -> None:
        self._callers, self._servers = callers, servers
        self.ours = self.system = 0

    async def _look(self) -> None:
        while True:
            self.ours = max(self.ours, self._callers.transport.open_connections)
            self.system = max(self.system, self._servers.seen_by_the_system())
            await asyncio.sleep(0.005)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def test_the_limit_holds_over_twelve_hosts_and_all_failures(run, trust):
    """300 calls, many cancellations, refused connections and calls that give up, all at once."""
    tls, verify = trust
    policy = ConnectionPolicy(max_connections=LIMIT, max_connections_per_host=3)
    chance = random.Random(7)

    async def main(servers: Servers) -> None:
        callers = Callers(policy, verify=verify, timeout=(20, 30))
        hasty = Callers(policy, callers.transport, verify=verify, timeout=(0.02, 30))
        refusing = f"http://127.0.0.1:{unused_port()}"

        async def one(number: int) -> None:
            method = callers.discover if number % 5 == 0 else hasty.call if number % 7 == 0 else callers.call
            url = refusing if number % 11 == 0 else servers.urls[number % 12] + ("/close" if number % 13 == 0 else "")
            with contextlib.suppress(Exception):
                await method(url)

        async with Watch(callers, servers) as watch:
            await asyncio.gather(*(one(number) for number in range(300)))
            tasks = [asyncio.create_task(one(number)) for number in range(150)]
            while not all(task.done() for task in tasks):
                await asyncio.sleep(0.002)
                for task in chance.sample(tasks, 10):
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # No permit was lost: the clients' whole share can still be used at once.
            urls = servers.urls[: LIMIT - 2]
            await asyncio.gather(*(callers.call(url) for url in urls))
        assert 0 < servers.peak <= LIMIT
        assert 0 < watch.ours <= LIMIT
        assert watch.system <= LIMIT
        assert max(servers.peaks_per_host.values()) <= 3 + 2

    with Servers(12, tls=tls) as servers:
        run(main(servers))
        assert servers.open == 0


async def test_clients_alone_never_exceed_the_limit_per_host():
    """Nor do they use the last two connections."""
    with Servers(3) as servers:
        callers = Callers(ConnectionPolicy(max_connections=7, max_connections_per_host=2))
        await asyncio.gather(*(callers.call(url) for url in servers.urls * 20))
        assert max(servers.peaks_per_host.values()) == 2
        assert servers.peak <= 7
        await callers.transport.aclose(callers.holder)


@pytest.mark.parametrize("hosts", [1, 4], ids=["same host", "other hosts"])
async def test_long_polls_do_not_block_discovery(hosts):
    """Even if there are more than connections, and to the host that discovery asks."""
    with Servers(hosts) as servers:
        callers = Callers(ConnectionPolicy(max_connections=5, max_connections_per_host=3), timeout=(30, 30))
        polls = [asyncio.create_task(callers.call(servers.urls[n % hosts] + "/hold")) for n in range(8)]
        await servers.until("/hold", 3)
        for _ in range(3):
            async with asyncio.timeout(10):
                await asyncio.gather(*(callers.discover(servers.url) for _ in range(4)))
        assert servers.requests["/hold"] == 3
        assert servers.peak <= 5
        servers.release()
        await asyncio.gather(*polls)
        assert servers.requests["/hold"] == 8
        await callers.transport.aclose(callers.holder)


async def test_a_client_gives_up_at_its_connect_timeout():
    """With ConnectionLimitError, not wrapped and not retried, which names the limits."""
    with Servers() as servers:
        callers = Callers(ConnectionPolicy(max_connections=3, max_connections_per_host=3), timeout=(0.05, 30))
        poll = asyncio.create_task(callers.call(servers.url + "/hold"))
        await servers.until("/hold", 1)
        with pytest.raises(
            ConnectionLimitError, match=r"0\.1 s, with a limit of 3 \(3 per host, 2 reserved for discovery\)"
        ):
            await callers.call(servers.url)
        servers.release()
        await poll
        await callers.transport.aclose(callers.holder)


# ConnectionLimitError has to come before the total timeout: 5 % earlier, which a loaded machine may need.
@pytest.mark.parametrize(("field", "seconds"), [("total", 2), ("connect", 0.1), ("sock_connect", 0.1)])
async def test_an_http_session_gives_up_at_its_timeout(field, seconds):
    """With ConnectionLimitError: aiohttp's own error would not name the reason."""
    with Servers() as servers:
        callers = Callers(ConnectionPolicy(max_connections=3, max_connections_per_host=3))
        poll = asyncio.create_task(callers.call(servers.url + "/hold"))
        await servers.until("/hold", 1)
        session = callers.transport.client_session(callers.policy, callers.holder)
        with pytest.raises(ConnectionLimitError):
            await session.get(servers.url, timeout=aiohttp.ClientTimeout(**{field: seconds}))
        servers.release()
        await poll
        await callers.transport.aclose(callers.holder)


async def test_discovery_cancelled_in_the_queue_leaves_it():
    """And costs no permit."""
    with Servers() as servers:
        callers = Callers(ConnectionPolicy(max_connections=3, max_connections_per_host=3))
        held = [asyncio.create_task(callers.discover(servers.url + "/hold")) for _ in range(3)]
        await servers.until("/hold", 3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await callers.discover(servers.url)
        assert "0 waiting" in repr(connector_of(callers))
        servers.release()
        await asyncio.gather(*held)
        await callers.discover(servers.url)
        assert servers.accepted == 3
        await callers.transport.aclose(callers.holder)


async def test_a_connection_returned_by_a_cancelled_call_expires(monkeypatch):
    """A call that is cancelled just after it was assigned an idle connection returns it."""
    assign = PoolRequest.assign

    def assign_and_cancel(self, permit) -> None:
        assign(self, permit)
        queued.cancel()

    monkeypatch.setattr(PoolRequest, "assign", assign_and_cancel)
    with Servers() as servers:
        callers = Callers(ConnectionPolicy(max_connections=3, max_connections_per_host=3, keepalive_timeout=0.05))
        poll = asyncio.create_task(callers.call(servers.url + "/hold"))
        await servers.until("/hold", 1)
        queued = asyncio.create_task(callers.call(servers.url))
        while "1 waiting" not in repr(connector_of(callers)):
            await asyncio.sleep(0.001)
        servers.release()
        await poll
        await asyncio.wait([queued])
        assert queued.cancelled()
        async with asyncio.timeout(10):
            while callers.transport.open_connections:
                await asyncio.sleep(0.001)
        await callers.transport.aclose(callers.holder)


async def test_the_oldest_idle_connection_makes_room():
    """The others stay, and are reused."""
    with Servers(4) as servers:
        callers = Callers(ConnectionPolicy(max_connections=3, max_connections_per_host=3))
        for url in servers.urls[:3]:
            await callers.discover(url)
        await callers.discover(servers.urls[3])
        assert servers.accepted == 4
        await callers.discover(servers.urls[1])
        await callers.discover(servers.urls[2])
        assert servers.accepted == 4
        await callers.discover(servers.urls[0])
        assert servers.accepted == 5
        assert servers.peak == 3
        await callers.transport.aclose(callers.holder)


@pytest.mark.parametrize("runner", RUNNERS)
def test_an_idle_connection_closed_by_the_peer_is_not_used(runner, trust):
    """Even if the loop has not noticed yet: no request is lost or sent twice."""
    tls, verify = trust

    async def main(servers: Servers) -> None:
        callers = Callers(verify=verify)
        await asyncio.gather(*(callers.discover(servers.url) for _ in range(3)))
        before = servers.requests["/"]
        servers.drop_idle()  # blocks this loop, which reads nothing until it returns
        assert await callers.discover(servers.url) == b'{"Instances": []}'
        assert servers.requests["/"] == before + 1

    with Servers(tls=tls) as servers:
        RUNNERS[runner](main(servers))


def connector_of(callers: Callers):
    """The only connector, for its repr."""
    return next(iter(callers.transport._loops.current().connectors.values()))


async def test_other_tls_settings_mean_another_connector():
    """With a limit of its own."""
    with Servers() as servers:
        callers = Callers()
        await callers.discover(servers.url)
        session = callers.transport.client_session(callers.policy, callers.holder, tls=TlsSettings(verify=False))
        async with session.get(servers.url):
            pass
        assert callers.transport.connectors == 2
        async with callers.transport.client_session(callers.policy, callers.holder).get(servers.url):
            pass
        assert callers.transport.connectors == 2
        await callers.transport.aclose(callers.holder)
        assert callers.transport.connectors == 0


@pytest.mark.parametrize(
    "signal",
    ["on_connection_create_start", "on_connection_create_end", "on_connection_reuseconn", "on_connection_queued_start"],
)
async def test_a_trace_that_raises_leaves_no_connection_behind(signal):
    """At any of the signals that aiohttp sends to the user's traces."""

    async def broken(*_):
        raise ZeroDivisionError

    traces = aiohttp.TraceConfig()
    getattr(traces, signal).append(broken)
    with Servers() as servers:
        callers = Callers(ConnectionPolicy(max_connections=3, max_connections_per_host=3))
        if signal == "on_connection_reuseconn":
            await callers.call(servers.url)
        polls = []
        if signal == "on_connection_queued_start":
            polls.append(asyncio.create_task(callers.call(servers.url + "/hold")))
            await servers.until("/hold", 1)
        session = callers.transport.client_session(callers.policy, callers.holder, trace_configs=[traces])
        with pytest.raises(ZeroDivisionError):
            await session.get(servers.url)
        async with asyncio.timeout(5):
            while callers.transport.open_connections > len(polls):
                await asyncio.sleep(0.001)
        assert "0 waiting" in repr(connector_of(callers))
        assert f"{len(polls)} call(s) in flight" in repr(connector_of(callers))
        servers.release()
        await asyncio.gather(*polls)
        await callers.transport.aclose(callers.holder)
