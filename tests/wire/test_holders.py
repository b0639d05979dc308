"""Who holds a loop's connections, and what closes them."""

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
    """Let the loop turn until it holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_the_last_to_leave_closes(servers):
    """Entering twice is leaving twice."""
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
    """On a new connector, held until it is given back."""
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


async def test_a_bare_call_holds_until_it_is_given_back(servers):
    """Somebody else's leaving takes nothing away."""
    bare = Callers()
    entered = Callers(transport=bare.transport)
    await bare.discover(servers.url)
    entered.transport.enter(entered.holder)
    await entered.discover(servers.url)
    await entered.transport.leave(entered.holder)
    assert bare.transport.open_connections == 1
    await bare.transport.aclose(entered.holder)  # has nothing to give back
    assert bare.transport.open_connections == 1
    await bare.transport.aclose(bare.holder)
    assert bare.transport.open_connections == 0


async def test_a_holder_that_is_forgotten_holds_nothing(servers):
    """The next to leave closes what it used."""
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
    """They are answered; then the connections are closed."""
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


async def test_a_new_call_calls_the_closing_off(servers):
    """It keeps what is there: idle connections are used, and nobody waits any more."""
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


async def test_a_release_that_is_cancelled_loses_nothing(servers):
    """The call goes on, the connections stay until the next release."""
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


async def test_a_response_that_nobody_reads_is_not_waited_for_forever(servers, monkeypatch):
    """Silence for a while after its beginning says that it was abandoned."""
    monkeypatch.setattr("aiocloudmap.aws.transport.connection._ABANDONED", 0.05)
    callers = Callers()
    response = await callers.transport.client_session(callers.policy, callers.holder).get(servers.url + "/begun")
    async with asyncio.timeout(10):
        await callers.transport.aclose(callers.holder)
    assert callers.transport.open_connections == 0
    response.close()


async def test_closing_an_http_session_does_nothing(servers):
    """Nor does leaving it; equal options give the same one, others another."""
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
async def test_options_that_cannot_be_are_refused(options):
    """With an error that says whose options they are."""
    callers = Callers()
    with pytest.raises(ConfigurationError, match=r"http_session\(\)"):
        callers.transport.client_session(callers.policy, callers.holder, **options)


async def test_after_a_thaw_idle_connections_are_closed_and_busy_ones_kept(servers):
    """On the running loop at once."""
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


def test_after_a_thaw_other_loops_drop_theirs_before_their_next_use(servers):
    """Not before: nobody but their own thread may touch them."""
    callers = Callers()
    with asyncio.Runner() as runner:
        runner.run(callers.discover(servers.url))
        callers.transport.drop_idle()
        assert callers.transport.open_connections == 1
        runner.run(callers.discover(servers.url))
        assert servers.accepted == 2


async def test_an_idle_connection_is_closed_after_its_time(servers):
    """The policy's keepalive_timeout."""
    callers = Callers(ConnectionPolicy(keepalive_timeout=0.05))
    await callers.discover(servers.url)
    await callers.discover(servers.urls[1])
    assert callers.transport.open_connections == 2
    await until(lambda: callers.transport.open_connections == 0)
    await callers.transport.aclose(callers.holder)
