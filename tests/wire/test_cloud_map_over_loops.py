"""One module-level CloudMap used by many event loops."""

import asyncio
import os
import threading
import traceback

import pytest
import uvloop
from tests.support.client_sockets import client_sockets

from aiocloudmap.local import LocalCloudMap, Quotas, World

RUNS = {"asyncio": asyncio.run, "uvloop": lambda main: uvloop.run(main)}


@pytest.fixture(scope="module", autouse=True)
def libuv_pipe():
    """libuv opens a pipe with its first loop and keeps it: open it before the first test counts descriptors."""
    uvloop.run(asyncio.sleep(0))


@pytest.fixture
def local():
    world = World(quotas=Quotas.unlimited())
    for number in range(8):
        world.register(f"shop/orders-{number}", "one", {"QUEUE_URL": f"https://{number}"})
    with LocalCloudMap(world) as local:
        yield local


def port(local):
    """The port of the server."""
    return local.server.port


@pytest.mark.parametrize("run", RUNS)
def test_fifty_runs_share_answers_and_leave_no_socket(local, run):
    """Half of them fail. One AWS call within the ttl; connections are closed with each loop."""
    cloud_map = local.cloud_map()

    async def main(number: int) -> str:
        url = await cloud_map.service("shop/orders-0").attribute("QUEUE_URL")
        if number % 2:
            raise RuntimeError("the invocation failed")
        return url

    for number in range(50):
        try:
            assert RUNS[run](main(number)) == "https://0"
        except RuntimeError as error:
            assert str(error) == "the invocation failed"
        assert client_sockets([port(local)]) == 0
    assert local.stats.calls["DiscoverInstances"] == 1


@pytest.mark.parametrize("run", RUNS)
def test_fifty_runs_with_forced_misses_share_one_client(local, run):
    """Each run asks AWS on a new connection, and leaves no socket."""
    cloud_map = local.cloud_map()

    async def main() -> int:
        snapshot = await cloud_map.service("shop/orders-0").resolve(max_age=0)
        assert cloud_map.stats().open_connections == 1
        return len(snapshot)

    for _ in range(50):
        assert RUNS[run](main()) == 1
        assert client_sockets([port(local)]) == 0
    assert local.stats.calls["DiscoverInstances"] == 50
    assert cloud_map.stats().open_connections == 0


@pytest.mark.parametrize("run", RUNS)
def test_four_threads_with_a_loop_each_share_answers(local, run):
    """Each loop has its own connection; an answer fetched by one serves all."""
    cloud_map = local.cloud_map()
    barrier = threading.Barrier(4)
    answers: list[str] = []

    async def main(number: int) -> None:
        for turn in range(8):
            name = f"shop/orders-{(number + turn) % 8}"
            answers.append(await cloud_map.service(name).attribute("QUEUE_URL"))
            await cloud_map.service(name).resolve(max_age=0)

    def work(number: int) -> None:
        barrier.wait(10)
        RUNS[run](main(number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answers) == sorted(f"https://{number}" for number in range(8) for _ in range(4))
    assert client_sockets([port(local)]) == 0


def test_forked_children_keep_answers_and_use_their_own_connections(local):
    """Eight children forked while a connection is open each get the answer for their own service."""
    cloud_map = local.cloud_map()

    async def parent() -> list[int]:
        await cloud_map.service("shop/orders-0").resolve()
        assert cloud_map.stats().open_connections == 1
        children = []
        for number in range(8):
            child = os.fork()
            if child == 0:
                in_child(cloud_map, number)
            children.append(child)
        for turn in range(20):
            answer = await cloud_map.service(f"shop/orders-{turn % 8}").resolve(max_age=0)
            assert answer.values("QUEUE_URL") == (f"https://{turn % 8}",)
        loop = asyncio.get_running_loop()
        return [await loop.run_in_executor(None, wait_for, child) for child in children]

    assert asyncio.run(parent()) == [0] * 8


def wait_for(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(cloud_map, number: int) -> None:
    """Runs in the child and never returns."""
    code = 1
    try:
        # The parent's loop counts as running here, unlike in a worker that is forked outside a loop.
        asyncio._set_running_loop(None)

        async def main() -> None:
            known = cloud_map.service("shop/orders-0").peek()
            assert known is not None, "answers survive a fork"
            for _ in range(20):
                answer = await cloud_map.service(f"shop/orders-{number}").resolve(max_age=0)
                assert answer.values("QUEUE_URL") == (f"https://{number}",), answer

        asyncio.run(main())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
