"""One client on several event loops: one after another, at once, and loops that do not end in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme
import uvloop
from callers import RUNNERS, Callers
from counting_server import Servers

from aiocloudmap.errors import ConfigurationError, ConnectError

HERE = Path(__file__).parent


@pytest.fixture
def servers():
    with Servers(2) as running:
        yield running


@pytest.mark.parametrize("runner", RUNNERS)
def test_fifty_loops_one_after_another_leave_nothing(runner, servers):
    """Half of them end with an exception and calls in flight."""
    callers = Callers()

    async def main(number: int) -> None:
        await asyncio.gather(*(callers.discover(url) for url in servers.urls), callers.call(servers.url))
        async with callers.transport.client_session(callers.policy, callers.holder).get(servers.url) as response:
            await response.read()
        if number % 2:
            asyncio.create_task(callers.call(servers.url + "/hold"))  # noqa: RUF006 - the loop ends it
            await asyncio.sleep(0)
            raise ZeroDivisionError

    after = []
    for number in range(50):
        with contextlib.suppress(ZeroDivisionError):
            RUNNERS[runner](main(number))
        after.append(callers.transport.open_connections)
    assert after == [0] * 50
    assert servers.seen_by_the_system() == 0
    servers.release()  # their clients are gone
    assert callers.transport.connectors == 0


@pytest.mark.parametrize("runner", RUNNERS)
def test_four_threads_with_a_loop_each_share_one_client(runner, servers):
    """Each has its own connector and gets its own answers."""
    callers, failures = Callers(), []

    async def main() -> None:
        for _ in range(5):
            answers = await asyncio.gather(*(callers.discover(url) for url in servers.urls * 5))
            assert set(answers) == {b'{"Instances": []}'}

    def work() -> None:
        try:
            for _ in range(3):
                RUNNERS[runner](main())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert callers.transport.open_connections == 0


def test_a_runner_keeps_its_connections_from_run_to_run(servers):
    """They are closed with the runner."""
    callers = Callers()
    with asyncio.Runner() as runner:
        for _ in range(5):
            runner.run(callers.discover(servers.url))
        assert servers.accepted == 1
        assert callers.transport.open_connections == 1
    assert callers.transport.open_connections == 0


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_after_shutdown_asyncgens_each_call_uses_a_new_connection(new_loop, servers):
    """Without warnings, though the loop closes no more generators."""
    callers = Callers()
    loop = new_loop()
    loop.run_until_complete(callers.discover(servers.url))
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert callers.transport.open_connections == 0
    for _ in range(2):
        loop.run_until_complete(callers.discover(servers.url))
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
    assert servers.accepted == 3
    assert callers.transport.open_connections == 0
    loop.close()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_connections_of_a_closed_loop_are_closed_by_the_next(tls, tmp_path):
    """After a close without shutdown_asyncgens, and without warnings."""
    context = None
    authority = trustme.CA()
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Servers(3, tls=context) as servers:
        callers = Callers(verify=str(tmp_path / "ca.pem") if tls else True)
        loop = asyncio.new_event_loop()
        for url in servers.urls:
            loop.run_until_complete(callers.discover(url))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        del loop
        assert callers.transport.open_connections == 3
        asyncio.run(callers.discover(servers.url))
        assert callers.transport.open_connections == 0
        gc.collect()
        assert servers.open == 0


def test_the_count_is_right_after_uvloop_closes_connections(servers):
    """uvloop warns of each, so warnings are ignored here."""
    code = f"""
import sys; sys.path.insert(0, {str(HERE)!r})
import asyncio, uvloop
from callers import Callers
callers = Callers()
loop = uvloop.new_event_loop()
loop.run_until_complete(callers.discover({servers.url!r}))
loop.close()
asyncio.run(callers.discover({servers.url!r}))
assert callers.transport.open_connections == 0, callers.transport
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


def test_connections_of_a_loop_whose_thread_ended_are_closed(servers):
    """The loop is open and will not run again."""
    callers = Callers()
    left = []

    def work() -> None:
        loop = asyncio.new_event_loop()
        left.append(loop)
        loop.run_until_complete(callers.discover(servers.url))
        loop.run_until_complete(loop.shutdown_default_executor())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert callers.transport.open_connections == 1
    asyncio.run(callers.discover(servers.url))
    assert callers.transport.open_connections == 0
    left[0].close()


def test_an_idle_loop_keeps_its_connections(servers):
    """They are used when it runs again."""
    callers = Callers()
    with asyncio.Runner() as runner:
        runner.run(callers.discover(servers.url))
        asyncio.run(callers.discover(servers.url))
        assert callers.transport.open_connections == 1
        runner.run(callers.discover(servers.url))
        assert servers.accepted == 2


def test_calls_in_flight_when_connections_close_raise_connect_error(servers):
    """Whether they queue, wait for an answer or read one."""
    callers = Callers()
    loop = asyncio.new_event_loop()
    session = None

    async def begin() -> list[asyncio.Task]:
        nonlocal session
        session = callers.transport.client_session(callers.policy, callers.holder)
        paths = ["/hold"] * 10 + ["/begun"] * 2
        tasks = [asyncio.ensure_future(callers.call(servers.url + path)) for path in paths]
        tasks.append(asyncio.ensure_future(session.get(servers.urls[1] + "/hold")))
        await servers.until("/hold", 7)
        return tasks

    tasks = loop.run_until_complete(begin())
    loop.run_until_complete(loop.shutdown_asyncgens())
    results = loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()
    assert [type(result) for result in results] == [ConnectError] * 13
    assert callers.transport.open_connections == 0


def test_without_a_running_loop_the_error_says_so():
    """It is a ConfigurationError, not asyncio's RuntimeError."""
    callers = Callers()
    with pytest.raises(ConfigurationError, match="no asyncio event loop"):
        callers.transport.enter(callers.holder)
    callers.transport.drop_idle()


def test_an_http_session_of_another_loop_is_refused(servers):
    """Before it sends anything."""
    callers = Callers()

    async def session():
        return callers.transport.client_session(callers.policy, callers.holder)

    with asyncio.Runner() as first:
        kept = first.run(session())

        async def call() -> None:
            await kept.get(servers.url)

        with pytest.raises(ConfigurationError, match="another event loop"):
            asyncio.run(call())


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_name_look_up_survives_its_first_caller(runner, servers, monkeypatch):
    """Cancelling one caller does not fail the others. Ending the loop during one causes no warning."""
    asked, answer = threading.Semaphore(0), threading.Event()
    look_up = socket.getaddrinfo

    def slow(*arguments, **options):
        asked.release()
        answer.wait(30)
        return look_up("127.0.0.1", *arguments[1:], **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    callers = Callers()
    port = servers.ports[0]

    async def main() -> None:
        first = asyncio.create_task(callers.discover(f"http://somewhere.test:{port}"))
        second = asyncio.create_task(callers.discover(f"http://somewhere.test:{port}"))
        await asyncio.to_thread(asked.acquire)
        first.cancel()
        await asyncio.wait([first])
        asyncio.get_running_loop().call_soon(answer.set)
        assert await second == b'{"Instances": []}'
        answer.clear()
        asyncio.create_task(callers.discover(f"http://elsewhere.test:{port}"))  # noqa: RUF006 - ends with the loop
        await asyncio.to_thread(asked.acquire)
        asyncio.get_running_loop().call_later(0.01, answer.set)

    RUNNERS[runner](main())
    assert callers.transport.open_connections == 0


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_full_default_executor_does_not_stop_calls(runner, servers, monkeypatch, tmp_path):
    """Names are looked up, and TLS contexts built, in threads of the library's own."""
    look_up, release = socket.getaddrinfo, threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args, **options: look_up("127.0.0.1", *args, **options))
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("somewhere.test").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    callers = Callers(verify=str(tmp_path / "ca.pem"))

    async def main(secure: Servers) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
        jobs = [loop.run_in_executor(None, release.wait) for _ in range(3)]
        try:
            for url in (f"http://somewhere.test:{servers.ports[0]}", f"https://somewhere.test:{secure.ports[0]}"):
                async with asyncio.timeout(60):
                    assert await callers.discover(url) == b'{"Instances": []}'
        finally:
            release.set()
            await asyncio.gather(*jobs)

    with Servers(tls=context) as secure:
        RUNNERS[runner](main(secure))
    assert callers.transport.open_connections == 0
