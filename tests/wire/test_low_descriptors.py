"""A warning before the process runs out of file descriptors."""

from __future__ import annotations

from child_process import ChildProcess

PROGRAM = """
import asyncio, logging, os, resource
from aiocloudmap import CloudMap, DescriptorsLow
from aiocloudmap.local.cloud_map import local_session

logged = []
handler = logging.Handler()
handler.emit = lambda record: logged.append([record.levelname, record.aiocloudmap_event])
logging.getLogger("aiocloudmap").addHandler(handler)

def listen(name):
    def hear(event):
        if isinstance(event, DescriptorsLow):
            say([name, event.open, event.ours, event.limit])
    return hear

def cloud_map(name):
    settings = {"region": "eu-west-1", "session_factory": local_session, "shared": False}
    return CloudMap(endpoint_url=url, on_event=listen(name), **settings)

def opened():
    return len(os.listdir("/proc/self/fd")) - 1

async def ask_on_a_new_connection(one):
    await one.aclose()
    await one.service("shop/orders").resolve(max_age=0)

async def main():
    one, other = cloud_map("one"), cloud_map("other")
    await ask_on_a_new_connection(one)
    await one.aclose()
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    kept = []
    for count in (78, 79, 90, 50, 79):  # the connection comes on top
        while opened() < count:
            kept.append(os.open(os.devnull, os.O_RDONLY))
        while opened() > count:
            os.close(kept.pop())
        await ask_on_a_new_connection(one)
        await one.service("shop/orders").resolve(max_age=0)
        say(count)
        await one.aclose()
    for number in kept:
        os.close(number)

asyncio.run(main())
say(logged)
"""


def test_every_engine_is_notified_once_per_crossing(local):
    """At 80 of 100 when a connection is opened; not again at 91, nor for a call on an open connection."""
    with ChildProcess(PROGRAM, url=local.endpoint_url) as child:
        assert child.said() == 78
        assert sorted(child.said() for _ in range(2)) == [["one", 80, 1, 100], ["other", 80, 1, 100]]
        assert [child.said() for _ in range(3)] == [79, 90, 50]
        assert sorted(child.said() for _ in range(2)) == [["one", 80, 1, 100], ["other", 80, 1, 100]]
        assert child.said() == 79
        assert child.said() == [["WARNING", "DescriptorsLow"]] * 2
        child.end()
