"""Holders of a loop's connections, and when these are closed."""

from __future__ import annotations

import asyncio
import gc

import pytest
from callers import Callers, Holder
from counting_server import Servers

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.model.policy import ConnectionPolicy


@pytest.fixture
def servers():
    with Servers(2) as running:
        yield running


async def until(condition) -> None:
    """Run the loop until the condition is true."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_the_last_holder_to_leave_closes(servers):
    """A holder that enters twice leaves twice."""
    one = Callers()
    other = Callers(transport=one.transport)
    transport = one.transport
    transport.enter(one.holder)
    transport.enter(one.holder)
    transport.enter(other.holder)
    await one.discover(servers.url)
    await transport.leave(one.holder)
    await transport.leave(other.holder)
    assert transport.open_connections == 1
    await transport.leave(one.holder)
    assert transport.open_connections == 0
    assert transport.connectors == 0


async def test_after_closing_the_next_call_opens_again(servers):
    """On a new connector, held until aclose."""
    callers = Callers()
    transport = callers.transport
    transport.enter(callers.holder)
    await callers.discover(servers.url)
    session = transport.client_session(callers.policy, callers.holder)
    await transport.leave(callers.holder)
    await callers.discover(servers.url)
    async with session.get(servers.url) as response:
        assert response.status == 200
    assert transport.connectors == 1
    await transport.aclose(callers.holder)
    assert transport.open_connections == 0


async def test_a_call_outside_enter_holds_until_aclose(servers):
    """Another holder that leaves closes nothing."""
    bare = Callers()
    entered = Callers(transport=bare.transport)
    await bare.discover(servers.url)
    entered.transport.enter(entered.holder)
    await entered.discover(servers.url)
    await entered.transport.leave(entered.holder)
    assert bare.transport.open_connections == 1
    await bare.transport.aclose(entered.holder)  # holds nothing
    assert bare.transport.open_connections == 1
    await bare.transport.aclose(bare.holder)
    assert bare.transport.open_connections == 0


async def test_a_garbage_collected_holder_holds_nothing(servers):
    """The next holder to leave closes its connections."""
    forgotten = Callers()
    transport = forgotten.transport
    await forgotten.discover(servers.url)
    del forgotten
    gc.collect()
    entered = Holder()
    transport.enter(entered)
    await transport.leave(entered)
    assert transport.open_connections == 0


@pytest.mark.parametrize("how", ["leave", "aclose"])
async def test_the_last_release_waits_for_calls_in_flight(servers, how):
    """The connections are closed once they are answered."""
    callers = Callers()
    transport = callers.transport
    if how == "leave":
        transport.enter(callers.holder)
    call = asyncio.create_task(callers.call(servers.url + "/hold"))
    await servers.until("/hold", 1)
    release = asyncio.create_task(getattr(transport, how)(callers.holder))
    done, _ = await asyncio.wait([release], timeout=0.05)
    assert not done
    servers.release()
    await release
    assert await call == b'{"Instances": []}'
    assert transport.open_connections == 0


async def test_a_new_call_cancels_the_closing(servers):
    """The connections stay, and the waiting release returns."""
    callers = Callers()
    transport = callers.transport
    transport.enter(callers.holder)
    call = asyncio.create_task(callers.call(servers.url + "/hold"))
    await servers.until("/hold", 1)
    release = asyncio.create_task(transport.leave(callers.holder))
    await asyncio.sleep(0)
    await callers.discover(servers.url)
    await release
    assert not call.done()
    assert transport.open_connections == 2
    servers.release()
    await call
    await transport.aclose(callers.holder)


async def test_a_cancelled_release_leaves_connections_open(servers):
    """The call continues, and the next release closes them."""
    callers = Callers()
    transport = callers.transport
    transport.enter(callers.holder)
    call = asyncio.create_task(callers.call(servers.url + "/hold"))
    await servers.until("/hold", 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await transport.leave(callers.holder)
    servers.release()
    assert await call == b'{"Instances": []}'
    assert transport.open_connections == 1
    transport.enter(callers.holder)
    await transport.leave(callers.holder)
    assert transport.open_connections == 0


async def test_closing_does_not_wait_for_an_abandoned_response(servers, monkeypatch):
    """One that has begun and gets no more bytes."""
    monkeypatch.setattr("aiocloudmap.aws.transport.connection._ABANDONED_AFTER", 0.05)
    callers = Callers()
    response = await callers.transport.client_session(callers.policy, callers.holder).get(servers.url + "/begun")
    async with asyncio.timeout(10):
        await callers.transport.aclose(callers.holder)
    assert callers.transport.open_connections == 0
    response.close()


async def test_closing_an_http_session_does_nothing(servers):
    """Nor does `async with`. Equal options return the same session."""
    callers = Callers()
    make = callers.transport.client_session
    session = make(callers.policy, callers.holder, headers={"a": "b"})
    async with session:
        await session.close()
    async with session.get(servers.url) as response:
        assert response.status == 200
    assert make(callers.policy, callers.holder, headers={"a": "b"}) is session
    assert make(callers.policy, callers.holder) is not session
    assert make(callers.policy, Holder(), headers={"a": "b"}) is not session
    await callers.transport.aclose(callers.holder)


@pytest.mark.parametrize("options", [{"connector": None}, {"timeout": 3}, {"colour": "red"}, {"base_url": "x"}])
async def test_invalid_options_are_refused(options):
    """The error names http_session()."""
    callers = Callers()
    with pytest.raises(ConfigurationError, match=r"http_session\(\)"):
        callers.transport.client_session(callers.policy, callers.holder, **options)


async def test_after_a_thaw_only_idle_connections_are_closed(servers):
    """On the running loop, at once."""
    callers = Callers()
    await callers.discover(servers.urls[1])
    call = asyncio.create_task(callers.call(servers.url + "/hold"))
    await servers.until("/hold", 1)
    assert callers.transport.open_connections == 2
    callers.transport.drop_idle()
    await until(lambda: callers.transport.open_connections == 1)
    servers.release()
    await call
    await callers.transport.aclose(callers.holder)


def test_after_a_thaw_other_loops_close_before_their_next_use(servers):
    """Not before: only their own thread may touch them."""
    callers = Callers()
    with asyncio.Runner() as runner:
        runner.run(callers.discover(servers.url))
        callers.transport.drop_idle()
        assert callers.transport.open_connections == 1
        runner.run(callers.discover(servers.url))
        assert servers.accepted == 2


async def test_an_idle_connection_is_closed_after_keepalive_timeout(servers):
    """Without another call."""
    callers = Callers(ConnectionPolicy(keepalive_timeout=0.05))
    await callers.discover(servers.url)
    await callers.discover(servers.urls[1])
    assert callers.transport.open_connections == 2
    await until(lambda: callers.transport.open_connections == 0)
    await callers.transport.aclose(callers.holder)
