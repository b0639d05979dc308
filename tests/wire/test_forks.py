"""A forked child starts without its parent's connections, and does not disturb them."""

from __future__ import annotations

import asyncio
import os
import signal
import traceback

import pytest
from callers import Callers
from counting_server import Servers


def in_child(work) -> int:
    """Fork; the child runs `work` and exits, with 0 on success."""
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(60)  # a child that hangs must not outlive the test
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def status_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def answers_match_their_requests(callers: Callers, servers: Servers, mark: str) -> None:
    """Each call gets the answer for its own path."""

    async def main() -> None:
        for number in range(10):
            path = f"/echo/{mark}/{number}"
            answer = await callers.discover(servers.url + path)
            assert answer.decode() == path, (answer, path)

    asyncio.run(main())


@pytest.fixture
def servers():
    with Servers() as running:
        yield running


def test_children_and_parent_never_get_each_others_answers(servers):
    """Eight children, forked while the parent's runner has a connection."""
    callers = Callers()
    with asyncio.Runner() as runner:
        runner.run(callers.discover(servers.url))

        def work(number: int) -> None:
            callers.transport.forget_after_fork()
            assert callers.transport.open_connections == 0
            answers_match_their_requests(callers, servers, f"child-{number}")

        children = [in_child(lambda number=number: work(number)) for number in range(8)]
        for number in range(30):
            path = f"/echo/parent/{number}"
            assert runner.run(callers.discover(servers.url + path)).decode() == path
        assert [status_of(pid) for pid in children] == [0] * 8
        assert callers.transport.open_connections == 1
        # The parent's connection is still open.
        runner.run(callers.discover(servers.url))
        assert servers.accepted == 1 + 8


def test_a_child_forked_inside_a_running_loop_starts_fresh(servers):
    """As multiprocessing forks. It does not wait for a lock held in the parent."""
    callers = Callers()

    async def main() -> None:
        await callers.discover(servers.url)
        with callers.transport._loops._lock:

            def work() -> None:
                callers.transport.forget_after_fork()
                answers_match_their_requests(callers, servers, "child")

            pid = in_child(work)
        assert await asyncio.to_thread(status_of, pid) == 0
        assert (await callers.discover(servers.url + "/echo/parent")).decode() == "/echo/parent"
        await callers.transport.aclose(callers.holder)

    asyncio.run(main())
    assert servers.accepted == 2


def test_a_child_that_leaves_for_its_parent_closes_nothing(servers):
    """The parent's connection stays open."""
    callers = Callers()

    async def main() -> None:
        callers.transport.enter(callers.holder)
        await callers.discover(servers.url)

        def work() -> None:
            callers.transport.forget_after_fork()
            asyncio.run(callers.transport.leave(callers.holder))
            asyncio.run(callers.transport.aclose(callers.holder))

        assert await asyncio.to_thread(status_of, in_child(work)) == 0
        await callers.discover(servers.url)
        await callers.transport.leave(callers.holder)

    asyncio.run(main())
    assert servers.accepted == 1
